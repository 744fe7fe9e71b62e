"""Fixtures on a GPU. Where there is none each test says so and is skipped: see ``WHY``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ecgedge import Artifact, plugins
from ecgedge.plugins import Parts
from ecgedge.testing import make_artifact


def why_not() -> str:
    """Why there is nothing to test here; empty where there is a GPU and what computes on it."""
    lacking = [name for name in ("torch", "onnx", "onnxruntime") if find_spec(name) is None]
    if lacking:
        return f"needs {', '.join(lacking)}"
    import onnxruntime
    import torch

    if not torch.cuda.is_available():
        return "needs an NVIDIA GPU, and a torch that sees it"
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "needs onnxruntime-gpu"
    return ""


WHY = why_not()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if WHY and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=WHY))


@pytest.fixture(scope="session")
def parts() -> Parts:
    return plugins.load()


@pytest.fixture(scope="session")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Two models as ONNX files in float32; in TF32 the second is off by more than the limit."""
    return {name: make_artifact(name, "onnx", tmp_path_factory.mktemp(name)) for name in ("base-cnn", "tcn")}
