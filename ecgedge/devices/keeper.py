"""The keeper: what runs on a board while it is used, reads what is asked on its stdin, and looks after the worker.

It arrives as text (see ``channel.py``) and imports nothing of ecgedge, which is not there: the package comes as a file
like any other, by its digest, and the worker runs from that. A line of JSON is asked and a line is answered; bytes
follow a line that says their ``size``. While the worker is busy the keeper sleeps, and says nothing.

Beside the files lies a lease: a lock that each keeper and each worker of one run holds, so that it is free when all of
them are gone, however they went. Where the host is gone, so is the keeper, and its worker with it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

MARK = "ECGEDGE-KEEPER"  # begins its first line, before a word of the host's
LONGEST = 1 << 20  # bytes of a line
PIECE = 1 << 16
GATE = "gate"  # the first file of a cache, by which it is known as one
PACKAGES = 2  # that are kept, of those that were used last
TAIL = 1 << 16  # bytes of a log that are handed over
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BOOT_ID = "/proc/sys/kernel/random/boot_id"
EVENTS = Path("/proc/vmstat")  # where Linux counts the processes that it ended for want of memory
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # variables that would lead a process to other libraries
LIBRARIES = ("numpy", "ai-edge-litert", "onnxruntime", "onnxruntime-gpu")
LOOK = (
    "import json, platform\nfound = {}\n"
    f"for name in {LIBRARIES!r}:\n    try:\n        from importlib import metadata\n"
    "        found[name] = metadata.version(name)\n"
    "    except ImportError:\n        pass\n"  # also of a package that is not there
    "print(json.dumps([platform.python_version(), found]))"
)

Told = Any  # a line's object; Python 3.8 runs this, to say that it is too old


class Gone(Exception):
    """The host has closed its end."""


class Failed(Exception):
    """What was asked cannot be done; ``kind`` is ``name``, ``digest``, ``lease`` or ``other``."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


class Keeper:
    """Answers one host, a question after the other.

    Args:
        told: the host's first line: ``root``, the folder of all files here; ``limit``, the bytes of files that are
            kept; ``boot_id``, the file that tells one boot from the next; ``interpreter``, the command of the
            worker's, empty where the keeper is to find it.
    """

    def __init__(self, told: Told):
        self.root = Path(told["root"]).expanduser()
        self.limit, self.boot_file = told["limit"], Path(told["boot_id"])
        self.told_interpreter: list[str] = told["interpreter"]
        self.files, self.sessions, self.packages = (self.root / name for name in ("files", "sessions", "packages"))
        self.session: Path | None = None  # the folder of this keeper's worker
        self.lease: IO[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.heard = bytearray()
        self.short_of_memory: int | None = None

    # What goes to and fro

    def hello(self, word: str) -> None:
        sys.stdout.buffer.write(f"\n{MARK} {word}\n".encode())
        self.say(
            {"boot_id": self.boot_id(), "python": platform.python_version(), "machine": platform.machine()},
        )

    def say(self, told: Told, content: bytes = b"") -> None:
        sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + content)
        sys.stdout.buffer.flush()

    def serve(self) -> None:
        """Answer until the host is gone, which raises Gone."""
        while True:
            line = sys.stdin.buffer.readline(LONGEST)
            if not line.endswith(b"\n"):
                raise Gone
            asked = json.loads(line.decode())
            try:
                DOES[asked.pop("do")](self, **asked)
            except Failed as error:
                self.say({"failed": error.kind, "reason": str(error)})
            except OSError as error:
                kind = "disk" if error.errno in FULL else "other"
                name = Path(str(error.filename)).name if error.filename else ""
                self.say({"failed": kind, "reason": " ".join(filter(None, (error.strerror or str(error), name)))})

    def listen(self, others: list[int], seconds: float | None) -> list[int]:
        """Sleep until one of these can be read; returns those that can.

        Raises:
            Gone: the host is, or talks before it is answered.
        """
        ears = select.poll()
        for number in (0, *others):
            ears.register(number, select.POLLIN)
        found = [number for number, _ in ears.poll(None if seconds is None else int(seconds * 1000))]
        if 0 in found:
            raise Gone
        return found

    # The lease

    def take_lease(self, token: str, who: str, seconds: float) -> None:
        """Hold the lease, or wait so long for whoever does."""
        deadline, told = time.monotonic() + seconds, ""
        while True:
            holder = self.try_lease(token, who)
            if not holder:
                return self.say({"leased": True})
            if time.monotonic() >= deadline:
                return self.say({"leased": False, "held_by": holder})
            if holder != told:
                told = holder
                self.say({"held_by": holder})
            self.listen([], 0.2)

    def try_lease(self, token: str, who: str) -> str:
        """Empty: it is ours. Else who holds it."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.root / GATE).exists() and any(self.root.iterdir()) and not (self.root / GATE).exists():
            told = f"{self.root} holds what is not of ecgedge: its cache (--cache) has to be a folder of its own"
            raise Failed("other", told)  # or what lies there would be tidied away
        with open_plain(self.root / GATE) as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)  # for an instant
            for folder in (self.files, self.sessions, self.packages):
                folder.mkdir(mode=0o700, exist_ok=True)
            lease = open_plain(self.root / "lease")
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                theirs, _, holder = lease.read(LONGEST).decode("utf-8", "replace").partition(" ")
                if theirs != token:
                    lease.close()
                    return holder[:200] or "somebody"
            else:
                self.tidy()
                lease.seek(0)
                lease.truncate()
                lease.write(f"{token} {who}".encode())
            fcntl.flock(lease, fcntl.LOCK_SH)  # with the other keepers of the run
        self.lease = lease
        self.session = self.sessions / f"{os.getpid()}-{secrets.token_hex(4)}"
        self.session.mkdir(0o700)
        return ""

    def tidy(self) -> None:
        """Nobody else is here: what the dead have left goes."""
        for folder in self.sessions.iterdir():
            shutil.rmtree(folder, ignore_errors=True)
        for file in self.files.glob("*.part"):
            file.unlink()
        packages = sorted(self.packages.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for folder in (*packages[:-PACKAGES], *self.packages.glob("*.part")):
            shutil.rmtree(folder, ignore_errors=True)
        self.make_room(0)

    # Files

    def place(self, name: str, digest: str) -> None:
        """Give the worker a file that is here by its digest, under a name."""
        path = self.path_of(name)
        try:
            self.link(digest, path)
        except FileNotFoundError:
            return self.say({"missing": True})
        return self.say({"missing": False})

    def put(self, name: str, digest: str, size: int) -> None:
        """Take in a file, whole or not at all, and give it to the worker under a name."""
        left, digested = size, hashlib.sha256()
        trouble: Exception | None = None
        part = self.files / f"{digest_of(digest)}.{os.getpid()}.part"
        file = None
        try:
            path = self.path_of(name)
            self.make_room(size)
            file = part.open("wb")
        except (OSError, Failed) as error:
            trouble = error
        while left:  # all of it is read, whatever comes of it: the next line is behind it
            piece = sys.stdin.buffer.read(min(PIECE, left))
            if not piece:
                raise Gone
            left -= len(piece)
            digested.update(piece)
            try:
                if file and not trouble:
                    file.write(piece)
            except OSError as error:
                trouble = error
        if file:
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                trouble = trouble or error
            with contextlib.suppress(OSError):
                file.close()
        if not trouble and digested.hexdigest() != digest:
            trouble = Failed("digest", "it came otherwise than it was sent")
        if trouble:
            with contextlib.suppress(OSError):
                part.unlink()
            raise trouble
        part.chmod(0o400)
        part.replace(self.files / digest)
        self.link(digest, path)
        self.say({"missing": False})

    def link(self, digest: str, path: Path) -> None:
        """Raises FileNotFoundError where no file has that digest."""
        kept = self.files / digest_of(digest)
        os.utime(kept)  # it was used last
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        try:
            os.link(kept, path)  # it stays for this worker, also where the cache lets it go
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(kept, path)

    def make_room(self, size: int) -> None:
        """Let go of what was not used for the longest time, until so many bytes may come."""
        found = [(file.stat(), file) for file in self.files.iterdir()]
        total = size + sum(each.st_size for each, _ in found)
        for each, file in sorted(found, key=lambda pair: pair[0].st_mtime_ns):
            if total <= self.limit:
                break
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
            total -= each.st_size

    def take(self, name: str, most: int) -> None:
        """Hand over what the worker wrote; it is gone here then."""
        path = self.path_of(name)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            told = os.fstat(descriptor)
            if not stat.S_ISREG(told.st_mode) or told.st_size > most:
                raise Failed("other", f"{name} is no file of up to {most:,} bytes")
            content = file.read(told.st_size)
        path.unlink()
        self.say({"size": len(content), "digest": hashlib.sha256(content).hexdigest()}, content)

    def prepare(self, name: str) -> None:
        """Make the folders of a name, for what the worker is to write."""
        self.path_of(name)
        self.say({})

    def path_of(self, name: str) -> Path:
        """The place of a name in the folder of the worker, its folders made."""
        if self.session is None:
            raise Failed("lease", "the board is not leased")
        if "\0" in name or {"", ".", ".."} & {*name.split("/")}:
            raise Failed("name", f"{name[:100]!r} is no name")
        path = self.session / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    # The worker

    def ping(self) -> None:
        """Show that somebody is here."""
        self.say({})

    def start(self, package: str, digest: str, module: str, variables: Told) -> None:
        """Start the worker, from the package that lies under a name, in a folder of its own."""
        path = self.unpack(self.path_of(package), digest_of(digest))
        assert self.session and self.lease
        kept = {name: value for name, value in os.environ.items() if name not in OURS}
        kept.update(variables, PYTHONNOUSERSITE="1", ECGEDGE_CACHE=str(self.session / "cache"))
        with (self.session / "log").open("ab") as log:
            self.worker = subprocess.Popen(
                [*self.interpreter(), "-P", str(path), module],
                cwd=self.session,
                env=kept,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[self.lease.fileno()],
                start_new_session=True,
            )
        self.heard, self.short_of_memory = bytearray(), ended_for_memory()
        self.say({})

    def unpack(self, path: Path, digest: str) -> Path:
        """The folder of a package, whose compiled files stay there: a slow board is spared some seconds a worker."""
        place = self.packages / digest
        if not place.is_dir():
            part = place.with_name(f"{digest}.{os.getpid()}.part")
            try:
                with zipfile.ZipFile(path) as file:
                    file.extractall(part)
                with contextlib.suppress(OSError):  # another keeper of the run was faster
                    part.rename(place)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        os.utime(place)
        return place

    def interpreter(self) -> list[str]:
        """The command of the worker's: as it was told, else that of ``setup`` where it was made, else this one."""
        made = self.root / "venv" / "bin" / "python"
        return self.told_interpreter or [str(made) if made.exists() else sys.executable]

    def hear(self, size: int) -> None:
        """Pass on what follows to the worker, and its next line back; or how it ended."""
        content = sys.stdin.buffer.read(size)
        if len(content) < size:
            raise Gone
        if self.worker is None:
            raise Failed("other", "there is no worker")
        assert self.worker.stdin and self.worker.stdout
        with contextlib.suppress(BrokenPipeError):
            self.worker.stdin.write(content)
            self.worker.stdin.flush()
        answers = self.worker.stdout.fileno()
        length = self.heard.find(b"\n") + 1
        while not length:
            if not self.listen([answers], None):
                continue
            piece = os.read(answers, PIECE)
            if not piece:
                ended = self.bury()
                return self.say({"log": self.log(), "ended": ended})
            found = piece.find(b"\n") + 1
            length = found and len(self.heard) + found
            self.heard += piece
        line = bytes(self.heard[:length])
        del self.heard[:length]
        return self.say({"size": length, "log": self.log()}, line)

    def log(self) -> str:
        """The end of what the worker printed since this was last asked for."""
        assert self.session
        try:
            with (self.session / "log").open("rb+") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                told = file.read().decode("utf-8", "replace")
                file.truncate(0)
                return told
        except OSError:
            return ""

    def bury(self) -> Told:
        """How the worker ended: its exit code, and whether the system ended a process for want of memory meanwhile."""
        worker, self.worker = self.worker, None
        assert worker
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(5)
        end(worker)
        before, now = self.short_of_memory, ended_for_memory()
        return {"code": worker.wait(), "oom": None if before is None or now is None else now > before}

    # What is here

    def boot_id(self) -> str:
        try:
            return self.boot_file.read_text(encoding="ascii", errors="replace")[:100].strip()
        except OSError:
            return ""

    def look(self) -> None:
        """Tell what there is for a worker; none is started, and no lease is needed."""
        which, place = self.interpreter(), self.root
        while not place.is_dir():
            place = place.parent
        told: Told = {"interpreter": which[-1], "python": "", "libraries": {}, "trouble": ""}
        told["free"] = shutil.disk_usage(place).free
        try:
            done = subprocess.run([*which, "-I", "-c", LOOK], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
            if done.returncode:
                told["trouble"] = error_in(done.stderr) or f"exit code {done.returncode}"
            else:
                told["python"], told["libraries"] = json.loads(done.stdout.decode())
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            told["trouble"] = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        self.say({"look": told})

    def setup(self, requirements: list[str]) -> None:
        """Make a venv anew and install requirements, each for itself; tells each step when it is done.

        It takes the place of the one that is there once it has the first of them, and another one: else that stays.
        """
        if self.session is None:
            raise Failed("lease", "the board is not leased")
        venv, kept = self.root / "venv.new", self.root / "venv"
        shutil.rmtree(venv, ignore_errors=True)
        trouble = self.command([sys.executable, "-I", "-m", "venv", str(venv)])
        self.say({"step": "venv", "trouble": trouble})
        if trouble:
            shutil.rmtree(venv, ignore_errors=True)
            return self.say({"done": True})
        works = []
        pip = [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        for requirement in requirements:
            trouble = self.command([*pip, "--only-binary=:all:", requirement])
            self.say({"step": requirement, "trouble": trouble})
            works.append(not trouble)
        if works[:1] == [True] and any(works[1:]):
            shutil.rmtree(kept, ignore_errors=True)
            venv.rename(kept)
        else:
            shutil.rmtree(venv, ignore_errors=True)
        return self.say({"done": True})

    def command(self, words: list[str]) -> str:
        """Run an installer; the first error that it tells, in a line, or nothing. It ends where the host is gone."""
        assert self.session and self.lease
        log = self.session / "setup.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                words,
                cwd=self.session,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=[self.lease.fileno()],  # nobody else has the board as long as it writes
                start_new_session=True,
            )
        try:
            while process.poll() is None:
                self.listen([], 0.2)
        except Gone:
            end(process)
            raise
        if not process.returncode:
            return ""
        return error_in(log.read_bytes()) or f"exit code {process.returncode}"

    def close(self) -> None:
        if self.worker is not None:
            end(self.worker)
            self.worker.wait()
        if self.session:
            shutil.rmtree(self.session, ignore_errors=True)


DOES: dict[str, Callable[..., None]] = {
    "lease": Keeper.take_lease, "place": Keeper.place, "put": Keeper.put, "take": Keeper.take, "start": Keeper.start,
    "hear": Keeper.hear, "look": Keeper.look, "setup": Keeper.setup, "ping": Keeper.ping, "prepare": Keeper.prepare,
}  # fmt: skip


def open_plain(path: Path) -> IO[bytes]:
    """A file that is made where it is missing; no link is followed."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b", buffering=0)


def digest_of(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise Failed("name", f"{text[:100]!r} is no digest")
    return text


def error_in(told: bytes) -> str:
    """The first error that a program told, in one line; its last line where it calls none so."""
    lines = [line.strip() for line in told.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines[-1:] or [""])[0][:300]


def ended_for_memory() -> int | None:
    """How many processes the system has ended for want of memory; None where it does not tell."""
    try:
        lines = EVENTS.read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
    except (OSError, ValueError):
        return None


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    told = json.loads(sys.stdin.buffer.readline(LONGEST).decode())
    keeper = Keeper(told)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        keeper.hello(told["word"])
        keeper.serve()
    except (Gone, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python stumbles over it once more at its end
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
