"""Environments of their own: a plugin's libraries in a venv, apart from ours, made from its locked requirements.

An environment is a folder with a venv and a record. The record is there from the first moment, so that
only what was made here is ever removed, and is complete only when all is installed, so that a venv of a
creation that was killed is told from a whole one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ecgedge.environments.versions import canonical
from ecgedge.files.cache import cache_folder

RECORD = "ecgedge-environment.json"
HERE = "ECGEDGE_HERE"  # environments, by comma, whose parts work in this very interpreter
NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")


@dataclass(frozen=True)
class Environment:
    """A venv in a folder of its own.

    Attributes:
        name: as parts say it.
        lock: the requirements that its plugin ships.
    """

    name: str
    lock: Path

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return root() / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def mend(self) -> str:
        """The command that makes it, or makes it anew."""
        folder = os.environ.get("ECGEDGE_PLUGINS_DIR")
        its_folder = ["--plugins-dir", folder] if folder and Path(folder) == self.lock.parent else []
        return shlex.join(["ecgedge", *its_folder, "env", "create", self.name])

    def trouble(self) -> str | None:
        """Why it cannot be used, in a few words, as its files tell; None where nothing is seen. Nothing is started."""
        if not self.folder.exists():
            return "is not made"
        record = read_record(self.folder)
        if record is None:
            return f"is not ours: {self.folder} holds no {RECORD}"
        if record["state"] != "whole":
            return "is half made"
        if not self.python.exists():
            return "is broken: its interpreter is gone"
        if record["lock"] != digest(self.lock):
            return "is stale: its lock changed"
        if record["python"] != python_version():
            return f"is stale: it was made for Python {record['python']}, this is {python_version()}"
        if changed := difference(record["distributions"], distributions(self.folder)):
            return f"is stale: {changed} since it was made"
        return None

    def reason(self, trouble: str) -> str:
        """Why a part cannot work, and the command that mends it, in one line."""
        return f"environment {self.name} {trouble}; {self.mend}"


def root() -> Path:
    """The folder of all environments: ``ECGEDGE_ENVS``, else one in the cache."""
    named = os.environ.get("ECGEDGE_ENVS")
    return Path(named).absolute() if named else cache_folder().absolute() / "environments"


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def here() -> set[str]:
    """The environments whose parts work in this interpreter: it is theirs, or everything is installed in one."""
    return {name.strip() for name in os.environ.get(HERE, "").split(",")}


def digest(lock: Path) -> str:
    """SHA-256 of a lock; empty where it is gone."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    return ""


def distributions(folder: Path) -> dict[str, str]:
    """What is installed in an environment: versions by canonical name, read from its files."""
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    found = {
        canonical(each.metadata["Name"]): each.version
        for each in metadata.distributions(path=[site])
        if each.metadata["Name"]
    }
    return dict(sorted(found.items()))


def difference(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The first distribution that is not as it was, in words; empty where all are."""
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            return f"{name} was {then.get(name, 'absent')} and is {now.get(name, 'absent')}"
    return ""


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was noted when an environment was made; None where nothing was, or it cannot be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        kinds = {"state": str, "lock": str, "python": str, "distributions": dict}
        return record if all(isinstance(record[key], kind) for key, kind in kinds.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def made() -> list[Path]:
    """The folders of all environments that were made, whole or not, by name."""
    if not root().is_dir():
        return []
    return sorted(path for path in root().iterdir() if not path.name.startswith(".") and read_record(path))
