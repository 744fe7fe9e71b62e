"""What the fuzzer was given first, and what it once found, at the door that it came in by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import CORPUS, DOORS
from tests.fuzz.targets import TARGETS

for framework in ("torch", "safetensors", "onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(framework)

FILES = sorted(file for door in DOORS for file in (CORPUS / door).iterdir())


def test_every_door_has_its_corpus() -> None:
    assert list(DOORS) == list(TARGETS)
    assert {file.parent.name for file in FILES} == {*DOORS}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_was_kept(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())
