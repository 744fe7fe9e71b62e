"""The boards that the user has named, and how each is reached: a small file of the user's configuration."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgedge.errors import EcgEdgeError, cut, unknown
from ecgedge.files import strict_json, typed_json
from ecgedge.files.locks import lock, open_lock, whole_file
from ecgedge.files.schema import SchemaError

NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?")
HOST = "host"  # the name of the machine itself, where boards are asked for
TAKEN = {HOST: f"{HOST} is this machine"} | {
    name: f"{name} is what runtimes compute on, not a board" for name in ("cpu", "cuda", "gpu")
}
SSH = re.compile(r"(ssh://)?[A-Za-z0-9_][A-Za-z0-9_.@:%+\[\]-]{0,254}")  # never an option of ssh
PATH = re.compile(r"[^-\x00-\x1f\x7f\ud800-\udfff][^\x00-\x1f\x7f\ud800-\udfff]{0,299}")
LOCAL = re.compile(r"[^\x00\ud800-\udfff]+")  # bytes that are no UTF-8 become halves of pairs, which no JSON takes
WAYS = "--ssh USER@HOST, or --emulated CORE --rootfs FOLDER"
CACHE_MIB = (16, 1 << 20)  # at least and at most
CACHE = "~/.cache/ecgedge-board"
VERSION = 1


@dataclass(frozen=True)
class Board:
    """A board, as the user named it.

    Attributes:
        ssh: where ssh finds it: ``USER@HOST``, or a ``Host`` of the user's configuration; None: it is emulated here.
        ssh_config: a configuration for ssh to use instead of the user's.
        python: the interpreter there, in which a worker runs until ``board setup`` has made a venv of it; None:
            ``python3``.
        cache: the folder there in which files are kept; None: ``~/.cache/ecgedge-board``, of one that is emulated with
            its name behind.
        cache_mib: how many MiB of files that nobody uses are kept there.
        emulated: the core that this machine plays; see ``emulated.py``.
        rootfs: the folder with its files.
    """

    name: str
    ssh: str | None = None
    ssh_config: Path | None = None
    python: str | None = None
    cache: str | None = None
    cache_mib: int = 1024
    emulated: str | None = None
    rootfs: Path | None = None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return self.ssh or f"{self.emulated}, emulated on this machine"

    @property
    def files(self) -> str:
        """The folder there in which files are kept."""
        return self.cache or (CACHE if self.ssh else f"{CACHE}-{self.name}")


@dataclass(frozen=True)
class Kept:
    """What the file holds."""

    version: int
    boards: tuple[Board, ...] = ()


def registry() -> Path:
    """The file: ``ECGEDGE_BOARDS``, else ``boards.json`` in the platform's folder for configuration."""
    import platformdirs  # here, as for the cache: most calls need none

    if named := os.environ.get("ECGEDGE_BOARDS"):
        return Path(named).absolute()
    return Path(platformdirs.user_config_dir("ecgedge", appauthor=False)) / "boards.json"


def boards() -> dict[str, Board]:
    """All boards by name. Raises EcgEdgeError where the file cannot be read, or names what cannot be a board."""
    path = registry()
    mend = "repair it, or delete it and add the boards again"
    try:
        kept = typed_json.read(Kept, strict_json.read(path, mend))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EcgEdgeError(f"{path} cannot be read: {error.strerror}", mend) from error
    except SchemaError as error:
        raise EcgEdgeError(f"{path} cannot be read: {error}", mend) from error
    if kept.version != VERSION:
        raise EcgEdgeError(f"{path} is of version {kept.version}, this ecgedge reads {VERSION}", mend)
    found: dict[str, Board] = {}
    for board in sorted(kept.boards, key=lambda board: board.name):
        try:
            check(board)
        except EcgEdgeError as error:
            raise EcgEdgeError(f"{path} cannot be used: {error.message}", mend) from error
        if board.name in found:
            raise EcgEdgeError(f"{path} cannot be used: it has a board {board.name} twice", mend)
        found[board.name] = board
    return found


def find(name: str) -> Board:
    """The board of that name. Raises EcgEdgeError with those that there are."""
    known = boards()
    if name not in known:
        error = unknown("board", name, [*known])
        raise EcgEdgeError(error.message, error.hint if known else "ecgedge board add NAME --ssh USER@HOST")
    return known[name]


def add(board: Board) -> None:
    """Keep a board. Raises EcgEdgeError where it cannot be one, or its name is taken."""
    check(board)
    if board.ssh_config and not board.ssh_config.is_file():
        raise EcgEdgeError(f"{cut(board.ssh_config)} is no file", "--ssh-config names a configuration of ssh")
    with changing() as known:
        if board.name in known:
            told = f"there is a board {board.name} already: {known[board.name].place}"
            raise EcgEdgeError(told, f"choose another name, or ecgedge board rm {board.name}")
        known[board.name] = board


def remove(name: str) -> Board:
    """Forget a board; what lies on it stays. Raises EcgEdgeError where there is none of that name."""
    with changing() as known:
        find(name)
        return known.pop(name)


def check(board: Board) -> None:
    """Raise EcgEdgeError where a board has a name, an address or a path that it cannot have."""
    if not NAME.fullmatch(board.name) or board.name in TAKEN:
        told = f"{cut(repr(board.name))} cannot be the name of a board"
        hint = TAKEN.get(board.name) or "use up to 32 small letters, digits, - and _"
        raise EcgEdgeError(told, hint)
    if (board.ssh is None) == (board.emulated is None) or (board.emulated is None) != (board.rootfs is None):
        raise EcgEdgeError(f"nothing says where board {board.name} is", WAYS)
    if board.emulated and (board.ssh_config or board.python):
        told = "a configuration of ssh, and an interpreter, are of a board that ssh reaches"
        raise EcgEdgeError(told, "leave out --ssh-config and --python")
    if board.ssh is not None and not SSH.fullmatch(board.ssh):
        raise EcgEdgeError(f"{cut(repr(board.ssh))} is no place that ssh can go to", "--ssh USER@HOST")
    for option, path in (("python", board.python), ("cache", board.cache)):
        if path is not None and not PATH.fullmatch(path):
            raise EcgEdgeError(f"{cut(repr(path))} is no path on a board", f"--{option} PATH, as it is there")
    if board.cache is not None and not board.cache.startswith(("/", "~/")):
        raise EcgEdgeError(f"{cut(board.cache)} is no absolute path", "begin it with / or with ~/")
    for option, file in (("ssh-config", board.ssh_config), ("rootfs", board.rootfs)):
        if file is not None and not (file.is_absolute() and LOCAL.fullmatch(str(file))):
            raise EcgEdgeError(f"{cut(repr(str(file)))} is no absolute path", f"--{option} PATH, in plain letters")
    if not CACHE_MIB[0] <= board.cache_mib <= CACHE_MIB[1]:
        told = f"a cache of {board.cache_mib:,} MiB cannot be set"
        raise EcgEdgeError(told, f"--cache-limit takes {CACHE_MIB[0]} to {CACHE_MIB[1]:,}")


@contextlib.contextmanager
def changing() -> Iterator[dict[str, Board]]:
    """The boards, to be changed by one process at a time, and kept when that is done."""
    path = registry()
    boards()  # where that cannot be read, nothing is made beside it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_lock(path.with_name(f".{path.name}.lock"))
    except OSError as error:
        told = f"{path.parent} cannot be written: {error.strerror}"
        raise EcgEdgeError(told, "set ECGEDGE_BOARDS to another file") from error
    with file:
        lock(file, wait=True)
        known = boards()
        yield known
        kept = Kept(VERSION, tuple(known.values()))
        try:
            with whole_file(path, "w", encoding="utf-8") as out:
                out.write(json.dumps(typed_json.plain(kept), indent=1) + "\n")
        except OSError as error:
            told = f"{path} cannot be written: {error.strerror}"
            raise EcgEdgeError(told, "set ECGEDGE_BOARDS to another file") from error
