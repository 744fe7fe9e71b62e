"""Writes of the real stack that fail: in Python, and in C++ that keeps the system's error to itself."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.core.test_failing_disk import Walk
from tests.failing_disk import Fault, library

ASKED = ("matrix", "--dataset", "synthetic", "--model", "base-cnn", "--profile", "quick", "--runtime", "cpu",
         "--format", "onnx", "--quantizer", "full-int8", "--out", "run")  # fmt: skip
SEEN = (r"fopen cache/store/.*/prepared-inferred\.onnx", r"write cache/store/.*/base-cnn\.onnx")


def test_a_run_of_the_real_stack_goes_on(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    walk = Walk(tmp_path / "walk", library(tmp_path_factory.mktemp("library")), *ASKED)
    named = [" ".join(each) for each in walk.writes]
    for pattern, error in zip(SEEN, (errno.EIO, errno.ENOSPC), strict=True):
        at = next(n for n, name in enumerate(named, 1) if re.match(pattern, name))
        told = walk.fail(Fault(at, error))
        assert told == "nothing" or told.startswith("Error: "), "done once more, or told"
