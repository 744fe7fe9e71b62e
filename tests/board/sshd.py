"""A real sshd on loopback, with keys that were made for the test, as a board; the board's folder is the test's own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgedge.devices.boards import Board

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass
class Sshd:
    """A server that lets one key in, and a configuration of ssh by which it is reached as ``loop``."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    def configure(self, *lines: str) -> None:
        """Write what the server is told, with these lines besides."""
        told = [
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/user_key.pub", "StrictModes no", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", f"PidFile {self.folder}/sshd.pid", "PrintMotd no", *lines,
        ]  # fmt: skip
        (self.folder / "sshd_config").write_text("\n".join(told) + "\n")

    def reach(self, *lines: str) -> None:
        """Write how it is reached, these lines first: of two the first counts."""
        told = [
            "Host loop", *lines, "HostName 127.0.0.1", f"Port {self.port}", f"User {getpass.getuser()}",
            f"IdentityFile {self.folder}/user_key", "IdentitiesOnly yes", "IdentityAgent none",
            f"UserKnownHostsFile {self.folder}/known_hosts", "GlobalKnownHostsFile /dev/null",
        ]  # fmt: skip
        self.config.write_text("\n".join(told) + "\n")

    def start(self) -> None:
        assert SSHD
        log = (self.folder / "sshd.log").open("ab")
        command = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def stop(self) -> None:
        """Nobody gets in any more, and who was in is out."""
        if self.process:
            self.cut()
            self.process.kill()
            self.process.wait()
        self.process = None

    def cut(self) -> None:
        """End all connections, without a word, as when a cable is pulled and the other side gives up.

        Only what this very server has started, by its number, and only while it runs.
        """
        assert self.process and self.process.poll() is None
        for pid, words in descendants(self.process.pid):
            if words.startswith("sshd"):
                kill(pid)

    def keepers(self) -> list[int]:
        """What looks after workers there, with and without one."""
        assert self.process
        return [pid for pid, words in descendants(self.process.pid) if "sys.stdin.buffer.read" in words]

    def board(self, name: str = "loop", **more: object) -> Board:
        told: dict = {"python": sys.executable, "cache": str(self.folder / "cache"), **more}
        return Board(name, "loop", self.config, **told)

    def close(self) -> None:
        self.stop()


def make(folder: Path) -> Sshd:
    """A server with new keys, which runs. Raises OSError where none can be started."""
    folder.mkdir(parents=True)
    for name in ("host_key", "user_key", "other_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd of root puts its unprivileged half
    made = Sshd(folder, port)
    key = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    made.configure()
    made.reach()
    made.start()
    return made


def processes() -> Iterator[tuple[int, int, str]]:
    """Number, parent and command line of each process."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            yield int(folder.name), parent, words


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """All processes that a process has started, and those that these have, with their command lines."""
    assert pid > 1
    known = [*processes()]
    found = {pid}
    while more := {number for number, parent, _ in known if parent in found} - found:
        found |= more
    yield from [(number, words) for number, _, words in known if number in found - {pid}]


def workers(board: Board) -> list[int]:
    """The processes of workers on the board."""
    return [number for number, _, words in processes() if f" {board.cache}/packages/" in words]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    assert pid > 1
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(what: object, seconds: float = 30) -> bool:
    """Whether something becomes true in that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False
