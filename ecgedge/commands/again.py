"""What a run was asked for, asked once more: on another machine, or on a board, with the names that its rows have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import copy_to, digest_of, file_name
from ecgedge.commands.loading import load_parts
from ecgedge.errors import EcgEdgeError
from ecgedge.files.cache import cache_folder
from ecgedge.files.notices import note
from ecgedge.run import MatrixRequest, RunFolder
from ecgedge.run.resume import asked_then


def asked_again(folder: Path, said: Mapping[str, Any]) -> MatrixRequest:
    """The request of a run, to be measured anew here.

    A user's file that does not lie here as it was named then is taken from the run's folder, where that has it byte for
    byte: so a run that was copied to a board brings its files along.

    Args:
        folder: of the run, which may be a stranger's; nothing of it is run but what is opened as any file is.
        said: what is asked for otherwise, by the fields of a request.

    Raises:
        EcgEdgeError: there is no run, it is damaged, or a file of it is nowhere.
    """
    run = RunFolder.read(folder)
    request = asked_then(run.request, load_parts().models)
    named = {"devices": (), "sent": False, "place": str(Path.cwd()), **said}
    files = named.pop("files", ()) or tuple(brought(run, name) for name in request.files)
    return replace(request, files=files, **named)


def brought(run: RunFolder, name: str) -> str:
    """A user's file, by a name that it can be found by here."""
    if os.path.lexists(name):
        return name
    label = Path(name).name
    for row in run.rows():
        came = row.as_it_came or (row.quantizer == "none" and row.file is not None and not row.file.passes)
        if row.model != file_name(label) or row.route or not came or row.file is None or row.file.path is None:
            continue
        kept = run.path / row.file.path
        if kept.is_file() and digest_of(kept) == row.file.digest:
            here = cache_folder() / "again" / str(row.file.digest) / file_name(label)
            here.parent.mkdir(parents=True, exist_ok=True)
            copy_to(kept, here)
            note(f"{name} is not here: it is taken from {run.path}, {'as it came' if row.as_it_came else 'a copy'}")
            return str(here)
    told = f"{name} is not here, and {run.path} has no copy of it as it came"
    raise EcgEdgeError(told, "--artifact FILE says where it is, under the same name")
