"""What several commands share: finding data and models, saying what happens."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ecgedge.cli import availability
from ecgedge.cli.options import NORMALIZE, told_columns
from ecgedge.errors import EcgEdgeError, cut
from ecgedge.files import escape

if TYPE_CHECKING:  # numpy and the core are imported when a command runs, so that --help is quick
    import numpy as np

    from ecgedge.api.artifact import Artifact
    from ecgedge.convert.lab import Lab
    from ecgedge.convert.store import Store
    from ecgedge.data.dataset import Dataset
    from ecgedge.plugins import Parts

STEPS = ("exporter", "quantizer", "runtime")  # the kinds that carry out a cell


def load_parts() -> Parts:
    """All parts; a plugin that was left out is a warning."""
    from ecgedge import plugins

    parts = plugins.load()
    for owner, reason in parts.broken:
        warn(f"plugin {owner} is left out: {reason} (ecgedge plugins)")
    for told in parts.warnings:
        warn(told)
    return parts


def load_data(location: str | None) -> Dataset:
    """The data that ``--dataset`` names, read as ``--label-column`` and ``--ignore-column`` say, normalised where
    ``--normalize`` is given; prints how a table was read, and its warning."""
    from ecgedge.data import dataset

    context = click.get_current_context(silent=True)
    data, warning = dataset.load(location, bool(context and context.meta.get(NORMALIZE)), told_columns())
    if data.told:
        note(data.told)
    if warning:
        warn(warning)
    return data


def warn(text: str) -> None:
    say(f"Warning: {text}", err=True)


def note(text: str) -> None:
    """Say what was guessed."""
    say(f"Note: {text}", err=True)


def say(text: str, err: bool = False) -> None:
    """Print one line, whatever the names in it hold."""
    click.echo(escape.line(text), err=err)


def open_lab(
    parts: Parts,
    data: Dataset,
    sources: dict[str, Artifact],
    folder: Path,
    index: np.ndarray,
    calibration: int,
    seed: int,
    options: Mapping[str, Any],
    unavailable: Mapping[tuple[str, str], str],
    seconds: float = 300,
    memory: int | None = None,
    batch_sizes: Sequence[int] | None = None,
) -> Lab:
    """What cells share: the test beats of ``index``, calibration beats, the store, the converter.

    Args:
        options: of the parts.
        batch_sizes: see ``Lab``.
    """
    from ecgedge.convert.lab import Lab
    from ecgedge.data.dataset import calibration_beats, judging_beats
    from ecgedge.plugins.hosts import hosts

    return Lab(
        data=data,
        sources=sources,
        parts={
            (kind, name): part
            for kind in STEPS
            for name, part in parts.of(kind).items()
            if (kind, name) not in unavailable
        },
        owners={key: (owner.distribution, owner.version) for key, owner in parts.owners.items()},
        index=index,
        calibration=calibration_beats(data, calibration, seed),
        judging=judging_beats(data, calibration, seed),
        store=open_store(),
        folder=folder,
        gate=gate(),
        seed=seed,
        seconds=seconds,
        memory=memory,
        options=options,
        batch_sizes=tuple(batch_sizes) if batch_sizes else None,
        hosts=hosts(parts),
        installed=availability.installed(parts),
    )


def gate() -> Path | None:
    """The file by which whatever measures on this machine takes turns; None where that is not wanted."""
    from ecgedge.files.cache import cache_folder

    return cache_folder() / "turn.lock" if os.environ.get("ECGEDGE_TURNS") != "0" else None


def open_store() -> Store:
    """The artifact store in the cache. Raises EcgEdgeError where there is none and none can be made."""
    from ecgedge.convert.store import Store
    from ecgedge.files.cache import cache_folder

    return Store(cache_folder() / "store")


@contextlib.contextmanager
def written(out: Path, mode: str = "wb", **how: Any) -> Iterator[IO[Any]]:
    """The file that the user names for what a command gives: whole or not at all, through links, and devices too.

    Raises:
        EcgEdgeError: it cannot be written.
    """
    from ecgedge.files.locks import whole_file

    target = out.resolve() if out.is_file() else out  # a link to a pipe leads nowhere
    try:
        with whole_file(target, mode, **how) as file:
            yield file
    except OSError as error:
        is_of_another = error.filename and Path(error.filename).absolute().parent != target.absolute().parent
        if error.errno is None or is_of_another:
            raise
        told = f"{cut(out)} cannot be written: {error.strerror}"
        raise EcgEdgeError(told, "make room, or name another file") from error


def usable_folder(folder: Path) -> Path:
    """Make a folder for results. Raises EcgEdgeError where that, or writing into it, fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise EcgEdgeError(f"{cut(folder)} cannot be written: {error.strerror}", "name another folder") from error
    return folder


def progress_line(total: int) -> Callable[[float, str], None]:
    """A live line on a terminal, a line a step elsewhere, with the time left; no text ends it.

    The function that it returns takes how many steps are done, and what comes next.
    """
    start = time.monotonic()
    live = sys.stderr.isatty()
    told = -1

    def tell(done: float, what: str) -> None:
        nonlocal told
        stream = escape.raw(sys.stderr)  # where the cursor may be moved
        if not what:
            click.echo("\r\x1b[K" if live else "", stream, nl=not live)
        if not what or (int(done) == told and not live):
            return
        told = int(done)
        spent = time.monotonic() - start
        left = f", about {clock(spent / done * (total - done))} left" if done else ""
        text = escape.line(f"[{told + 1}/{total}] {what}  {clock(spent)}{left}")
        click.echo(f"\r\x1b[K{text[:118]}" if live else text, stream, nl=not live)

    return tell


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
