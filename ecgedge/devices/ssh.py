"""The user's own ssh: the command that reaches a board, and what it says where it does not."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgedge.devices.boards import Board
from ecgedge.errors import EcgEdgeError

START = "import sys;exec(compile(sys.stdin.buffer.read(int(sys.argv[1])),'keeper.py','exec'))"
LONGEST_FOLDER = 60  # characters of a temporary folder: the path of a socket has 104 at most, ssh adds some of its own
OPTIONS = {
    "BatchMode": "yes",  # it asks for nothing
    "StrictHostKeyChecking": "yes",  # whatever the configuration says
    "ControlMaster": "auto",
    "ControlPersist": "60",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "ConnectTimeout": "20",
    "ForwardAgent": "no",  # nothing of the user's goes there
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "LogLevel": "ERROR",
}


@dataclass(frozen=True)
class Refusal:
    """What ssh says where it does not get in, and what that means.

    Attributes:
        hint: what to do; ``{ssh}`` stands for the command that does it by hand, ``{place}`` and ``{host}`` for where.
        passes: it may be otherwise in a moment.
    """

    pattern: str
    told: str
    hint: str = "try it by hand: {ssh}"
    passes: bool = False


THERE = "see that it is on, and in the network"
REFUSALS = (
    Refusal("REMOTE HOST IDENTIFICATION HAS CHANGED", "has another host key than it had",
            "where you know why: ssh-keygen -R {host}, then {ssh}"),
    Refusal(r"Host key verification failed|No \S+ host key is known", "has a host key that is not known here",
            "look at its key and take it, once by hand: {ssh}"),
    Refusal("Permission denied|Too many authentication failures|no matching host key|sign_and_send_pubkey",
            "does not let this user in", "give it your key: ssh-copy-id {place}, then {ssh}"),
    Refusal("Could not resolve hostname", "has a name that cannot be resolved", THERE, passes=True),
    Refusal("Connection refused", "refuses the connection", "see that sshd runs there", passes=True),
    Refusal("timed out|No route to host|Network is unreachable|Connection closed|Connection reset|kex_exchange",
            "is not reached", THERE, passes=True),
    Refusal(r"Bad configuration option|terminating, \d+ bad|Can't open user config|Bad owner or permissions",
            "cannot be looked up in the configuration of ssh"),
)  # fmt: skip


class UnreachedError(EcgEdgeError):
    """The board is not there, at the moment."""


class Control:
    """The control connection to a board, which all channels share: a socket in a short folder that only we can see."""

    interpreter: Sequence[str] = ()  # of a worker: that which the keeper finds there

    def __init__(self, board: Board):
        assert board.ssh
        if not shutil.which("ssh"):
            raise EcgEdgeError("ssh is not installed", "install OpenSSH's client")
        self.board, self.place = board, board.ssh
        short = len(os.fsencode(tempfile.gettempdir())) <= LONGEST_FOLDER
        place = None if short else "/tmp"  # nosec B108  # mkdtemp makes a folder there that only we can see
        self.folder = Path(tempfile.mkdtemp(prefix="ecgedge-", dir=place))

    def ssh(self, *more: str) -> list[str]:
        """An ssh command to the board."""
        words = ["ssh", "-T", *(["-F", str(self.board.ssh_config)] if self.board.ssh_config else [])]
        for name, value in (OPTIONS | {"ControlPath": str(self.folder / "s")}).items():
            words += ["-o", f"{name}={value}"]
        return [*words, *more]

    def keeper(self, size: int) -> list[str]:
        """The command that starts a keeper there, whose text of so many bytes it reads from its stdin.

        The shell stays, so that a keeper that is killed is an exit code, and no lost connection.
        """
        script = f"{there(self.board.python or 'python3')} -I -c {shlex.quote(START)} {size}; exit $?"
        return self.ssh("--", self.place, f"sh -c {shlex.quote(script)}")

    def close(self) -> None:
        """End the connection, and all channels with it."""
        command = self.ssh("-O", "exit", "--", self.place)
        try:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        finally:  # also where Ctrl-C comes meanwhile
            shutil.rmtree(self.folder, ignore_errors=True)


def there(path: str) -> str:
    """A path for a shell on the board; of one that begins with ~/ it knows the folder."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def by_hand(board: Board, login: bool = False) -> str:
    """The command by which the user gets in there, or asks for the version of the interpreter."""
    words = ["ssh", *(["-F", str(board.ssh_config)] if board.ssh_config else []), board.ssh or ""]
    return shlex.join(words if login else [*words, f"{there(board.python or 'python3')} --version"])


def refused(board: Board, said: str) -> EcgEdgeError | None:
    """The error for what ssh said where it could not begin; None: it said nothing that is known."""
    place = board.ssh or ""
    for one in REFUSALS:
        if re.search(one.pattern, said, re.IGNORECASE):
            hint = one.hint.format(ssh=by_hand(board, login=True), place=place, host=place.rpartition("@")[2])
            kind = UnreachedError if one.passes else EcgEdgeError
            return kind(f"board {board.name} ({place}) {one.told}", hint)
    return None
