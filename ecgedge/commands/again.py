"""What a run was asked for, asked once more: on another machine, or on a board, with the names that its rows have."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import copy_to, digest_of, file_name
from ecgedge.commands.loading import load_parts
from ecgedge.commands.planning import Plan
from ecgedge.errors import EcgEdgeError
from ecgedge.files.cache import cache_folder
from ecgedge.files.notices import note, warn
from ecgedge.run import MatrixRequest, RunFolder
from ecgedge.run.resume import asked_then


def asked_again(folder: Path, said: Mapping[str, Any]) -> MatrixRequest:
    """The request of a run, to be measured anew here.

    A user's file that does not lie here as it was named then is taken from the run's folder, where that has it byte for
    byte: so a run that was copied to a board brings its files along. What can be made of them elsewhere alone comes
    along, too, see ``run.brought``.

    Args:
        folder: of the run, which may be a stranger's; nothing of it is run but what is opened as any file is.
        said: what is asked for otherwise, by the fields of a request; each of ``files`` stands for that of the run
            which has its name, and those that are not named are where they were.

    Raises:
        EcgEdgeError: there is no run, it is damaged, a file of it is nowhere, or one that is named is none of it.
    """
    run = RunFolder.read(folder)
    request = asked_then(run.request, load_parts().models)
    named = {"devices": (), "sent": False, "place": str(Path.cwd()), **said}
    at = places(run, request.files, named.pop("files", ()))
    files = tuple(at.get(row_name(name)) or brought(run, name) for name in request.files)
    return replace(request, files=files, brought=str(run.path), **named)


def row_name(file: str) -> str:
    """What the rows of a user's file are called."""
    return file_name(Path(file).name)


def places(run: RunFolder, files: Sequence[str], named: Sequence[str]) -> dict[str, str]:
    """Where files of a run are by what the user names, by the names of their rows. Raises EcgEdgeError where one is
    none of the run's, or is named twice."""
    at: dict[str, str] = {}
    there = [row_name(name) for name in files]
    for name in named:
        label = row_name(name)
        if label not in there:
            hint = f"its files: {', '.join(there)}" if there else "it measured none: leave --artifact out"
            raise EcgEdgeError(f"{run.path} measured no file {label}, and --again keeps the names of its rows", hint)
        if label in at:
            raise EcgEdgeError(f"--artifact names two files {label}", "name one of them")
        at[label] = name
    return at


def tell_otherwise(folder: Path, plan: Plan) -> None:
    """Warn where what is measured now is not what the run measured, though its rows have the same names."""
    about = RunFolder.read(folder).about
    for name, source in plan.sources.items():
        if about["sources"].get(name, source.digest) != source.digest:
            warn(f"{name} is not the one that {folder} measured: its content is another")
    if about["data_digest"] != plan.data.digest:
        warn(f"the data is not that of {folder}: it was {about['data']}; now it is {plan.data.describe()}")


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
