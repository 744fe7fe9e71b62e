"""Make an environment, or take one away: all or nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ecgedge.environments import RECORD, Environment, digest, distributions, python_version, read_record
from ecgedge.errors import EcgEdgeError
from ecgedge.files.locks import lock, open_lock, whole_file

WORKER_NEEDS = ("numpy>=1.26", "pluggy>=1.5")  # what ecgedge imports in a child process
NOT_THEIRS = ("PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_TARGET", "PIP_USER", "PIP_PREFIX")

Say = Callable[[str], None]


def create(environment: Environment, uv: bool, say: Say) -> None:
    """Make a venv with what the lock says, at its place; one that is there is replaced, and kept where this fails.

    Args:
        uv: install with uv instead of pip.
        say: is told what is done.

    Raises:
        EcgEdgeError: something is in the way, or the installation failed; names the log.
    """
    if not environment.lock.is_file():
        told = f"environment {environment.name} has no lock: {environment.lock} is missing"
        raise EcgEdgeError(told, "its plugin has to ship one")
    if uv and not shutil.which("uv"):
        raise EcgEdgeError("uv is not installed", "install it, or leave out --uv to use pip")
    folder, log = environment.folder, environment.folder.with_suffix(".log")
    with alone(environment), replacing(folder):
        try:
            folder.mkdir()
            write_record(environment, "half")
            with log.open("w", encoding="utf-8") as file:
                for what, command in steps(environment, uv):
                    say(what)
                    run(command, environment, file.fileno())
            write_record(environment, "whole")
        except OSError as error:
            told = f"{error.filename or folder}: {error.strerror}"
            raise EcgEdgeError(told, "set ECGEDGE_ENVS to another folder") from error
    log.unlink(missing_ok=True)


def steps(environment: Environment, uv: bool) -> Iterator[tuple[str, list[str]]]:
    """What is done, in words, and the commands that do it."""
    python = str(environment.python)
    bare = uv or bool(importlib.util.find_spec("pip"))  # our pip can install there
    # -P: a file pip.py beside the lock is not pip
    pip = [sys.executable, "-P", "-m", "pip", "--python", python] if bare else [python, "-P", "-m", "pip"]
    pip = ["uv", "pip", "install", "--python", python] if uv else [*pip, "install", "--no-input"]
    without = ["--without-pip"] if bare else []
    yield (
        f"a venv in {environment.folder}",
        [sys.executable, "-P", "-m", "venv", *without, str(environment.folder)],
    )
    yield f"its requirements: {environment.lock}", [*pip, "-r", str(environment.lock)]
    installed = distributions(environment.folder)
    if lacking := [need for need in WORKER_NEEDS if need.partition(">=")[0] not in installed]:
        yield f"what its lock lacks for ecgedge's worker: {', '.join(lacking)}", [*pip, *lacking]


def run(command: Sequence[str], environment: Environment, log: int) -> None:
    """Run an installer, its output in a log. Raises EcgEdgeError with what it says where it fails."""
    surroundings = {name: value for name, value in os.environ.items() if name not in NOT_THEIRS}
    beside = environment.lock.parent  # from where a lock may name files
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=surroundings, cwd=beside, check=False
    )
    if done.returncode:
        path = environment.folder.with_suffix(".log")
        why = error_in(path.read_text(encoding="utf-8", errors="replace"))
        told = f"environment {environment.name} could not be made: {why}"
        raise EcgEdgeError(told, f"the whole log: {path}")


def error_in(log: str) -> str:
    """The first error that pip or uv tells, in one line; its last line where it calls none so."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if line.lower().startswith("error")]
    at = errors[0] if errors else len(lines) - 1
    cause = [line for line in lines[at + 1 : at + 2] if errors and line.startswith("cause:")]  # as uv goes on
    return "; ".join([*lines[at : at + 1], *cause])[:300]


@contextlib.contextmanager
def alone(environment: Environment) -> Iterator[None]:
    """While one process makes or removes an environment, another is told so."""
    root = environment.folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = open_lock(root / f".{environment.name}.lock")
    except OSError as error:
        raise EcgEdgeError(
            f"{root} cannot be written: {error.strerror}", "set ECGEDGE_ENVS to another folder"
        ) from error
    with file:
        if not lock(file, wait=False):
            raise EcgEdgeError(f"environment {environment.name} is being made by another process", "wait for it")
        yield


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[None]:
    """Put aside what is at a place; it comes back where the new one fails, and goes where it is whole.

    A venv works only where it was made, so the new one cannot be made elsewhere and moved.

    Raises:
        EcgEdgeError: what is there was not made here.
    """
    old = folder.with_name(f".{folder.name}.old")
    own(folder)
    if old.is_dir():  # a creation was killed: this one was whole, the new one is not
        remove_folder(folder)
        old.rename(folder)
    if folder.exists():
        folder.rename(old)
    try:
        yield
    except BaseException:
        remove_folder(folder)
        if old.is_dir():
            old.rename(folder)
        raise
    remove_folder(old)


def own(folder: Path) -> None:
    """Raise EcgEdgeError where a folder is there and was not made here."""
    if folder.is_symlink() or (folder.exists() and not read_record(folder)):
        raise EcgEdgeError(f"{folder} was not made by ecgedge env: it holds no {RECORD}", "delete or rename it")


def remove(environment: Environment) -> None:
    """Take an environment away. Raises EcgEdgeError where there is none, or it was not made here."""
    if not environment.folder.exists():
        raise EcgEdgeError(f"environment {environment.name} is not made", "ecgedge env ls")
    with alone(environment):
        own(environment.folder)
        gone = environment.folder.with_name(f".{environment.name}.gone")
        remove_folder(gone)
        environment.folder.rename(gone)  # at once: nobody meets half of it
        remove_folder(gone)


def write_record(environment: Environment, state: str) -> None:
    record = {
        "name": environment.name,
        "state": state,
        "lock": digest(environment.lock),
        "python": python_version(),
        "distributions": distributions(environment.folder) if state == "whole" else {},
    }
    with whole_file(environment.folder / RECORD, "w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=1) + "\n")


def remove_folder(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
