"""It loads, and its parts break when they are used: one by one, so that the others go on."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ecgedge import Artifact, Context, Quantizer, Runtime, Session, hookimpl
from ecgedge.testing import FakeInt8, FakeRuntime


class Crashing(FakeRuntime):
    """Its library kills the process as soon as it is asked."""

    def available(self) -> str | None:
        ctypes.string_at(0)
        return None


class Quitting(FakeRuntime):
    """It takes the process with it when it loads a file."""

    def load(self, artifact: Artifact, threads: int) -> Session:
        sys.exit(7)


class Unmakeable(FakeRuntime):
    """Its environment cannot be made: nobody has what its lock asks for."""

    environment = "unmakeable"


class Aborting(FakeInt8):
    """It aborts in the middle of a conversion."""

    name = "aborting-int8"

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        os.abort()


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return Crashing("crashing"), Quitting("quitting"), Unmakeable("unmakeable")


@hookimpl
def ecgedge_quantizers() -> Iterable[Quantizer]:
    return (Aborting(),)
