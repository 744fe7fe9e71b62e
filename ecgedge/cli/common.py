"""What several commands share: finding data and models, saying what happens."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ecgedge.cli.options import NORMALIZE, told_columns, told_files, trusted
from ecgedge.errors import EcgEdgeError, cut
from ecgedge.files import escape
from ecgedge.files.opening import ending_of
from ecgedge.report.lines import COLUMNS

if TYPE_CHECKING:  # numpy and the core are imported when a command runs, so that --help is quick
    from ecgedge.convert.opening import Opener
    from ecgedge.data.dataset import Dataset
    from ecgedge.plugins import Parts
    from ecgedge.workers.client import Limits


def load_parts() -> Parts:
    """All parts; a plugin that was left out is a warning."""
    from ecgedge.commands import loading

    return loading.load_parts()


def load_data(location: str | None) -> Dataset:
    """The data that ``--dataset`` names, read as ``--label-column`` and ``--ignore-column`` say, normalised where
    ``--normalize`` is given; prints how a table was read, and its warning."""
    from ecgedge.commands import loading

    context = click.get_current_context(silent=True)
    return loading.load_data(location, bool(context and context.meta.get(NORMALIZE)), told_columns())


def data_words(location: str | None) -> list[str]:
    """The options that name the data and say how they are read, for a command line that reads the same."""
    told = told_columns()
    said = [
        ("--dataset", location), ("--label-column", told.label), *(("--ignore-column", each) for each in told.ignore),
        ("--group", told.group), ("--leads", ",".join(told.leads) or None), ("--layout", told.layout),
        ("--label-file", told.labels), ("--class-names", told.classes),
    ]  # fmt: skip
    context = click.get_current_context(silent=True)
    normalize = bool(context and context.meta.get(NORMALIZE))
    return [word for option, value in said if value is not None for word in (option, value)] + (
        ["--normalize"] if normalize else []
    )


@contextlib.contextmanager
def opener(parts: Parts, limits: Limits, threads: int = 1) -> Iterator[Opener]:
    """What opens files, told of them what the command's options say."""
    from ecgedge.convert import opening

    with opening.opener(parts, limits, told_files(), trusted(), threads) as opened:
        yield opened


def warn(text: str) -> None:
    say(f"Warning: {text}", err=True)


def note(text: str) -> None:
    """Say what was guessed."""
    say(f"Note: {text}", err=True)


def aside(text: str) -> None:
    """Say what is no part of the result."""
    say(text, err=True)


def say(text: str, err: bool = False) -> None:
    """Print one line, whatever the names in it hold."""
    click.echo(escape.line(text), err=err)


@contextlib.contextmanager
def written(out: Path, mode: str = "wb", **how: Any) -> Iterator[IO[Any]]:
    """The file that the user names for what a command gives: whole or not at all, through links, and devices too.

    Raises:
        EcgEdgeError: it cannot be written.
    """
    from ecgedge.files.locks import whole_file

    if out.is_dir():
        raise EcgEdgeError(f"{cut(out)} is a folder, and no file can be written in its place", "name a file")
    check_writable(out)
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


def check_writable(out: Path) -> None:
    """Raise EcgEdgeError, before anything takes its time, where a file that the user names cannot be written there."""
    if out.is_dir():
        raise EcgEdgeError(f"{cut(out)} cannot be written: it is a folder", "name a file in it")
    if not out.absolute().parent.is_dir():
        raise EcgEdgeError(f"{cut(out)} cannot be written: there is no folder {cut(out.parent)}",
                           "make it, or name another file")  # fmt: skip


def check_ending(out: Path, endings: tuple[str, ...], what: str) -> None:
    """Raise EcgEdgeError, before anything takes its time, where a file is named as what it will not be.

    Args:
        endings: those that fit, the usual one first; an empty one stands for none at all. Devices may have any.
        what: is written.
    """
    ending = ending_of(out)
    if ending not in endings and (not out.exists() or out.is_file()):
        fitting = " or ".join(filter(None, endings))
        named = out.with_suffix(endings[0]) if out.suffix or not ending else out.with_name(endings[0])
        raise EcgEdgeError(f"{cut(out)}: {what} is no {cut(ending) or 'file without an ending'}",
                           f"name it {cut(named)}; it may end with {fitting}")  # fmt: skip


def columns(stream: IO[str]) -> int:
    """How wide what is printed may be: as the terminal is; elsewhere 120 columns, so that files and logs are alike."""
    return shutil.get_terminal_size((COLUMNS, 24)).columns if stream.isatty() else COLUMNS


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
        text = escape.line(f"[{min(told + 1, total)}/{total}] {what}  {clock(spent)}{left}")
        click.echo(f"\r\x1b[K{text[: columns(sys.stderr) - 2]}" if live else text, stream, nl=not live)

    return tell


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
