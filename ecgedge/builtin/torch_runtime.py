"""torch itself: the reference that all other forms are compared with."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Runtime, Session, hookimpl, load_network


class TorchSession(Session):
    def __init__(self, network: Any, device: str):
        self.network, self.device = network.to(device), device

    def bind(self, x: np.ndarray) -> None:
        import torch  # heavy

        self.x = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)

    def invoke(self) -> None:
        import torch  # heavy

        with torch.inference_mode():
            self.y = self.network(self.x)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def fetch(self) -> np.ndarray:
        return self.y.cpu().numpy()

    def placement(self) -> dict[str, Any]:
        return {"device": str(self.y.device) if hasattr(self, "y") else self.device}


class TorchRuntime(Runtime):
    """Eager torch on one device."""

    needs = ("torch", "safetensors")
    libraries = ("torch",)
    accepts = ("torch",)

    def __init__(self, name: str, device: str):
        self.name, self.device = name, device

    def available(self) -> str | None:
        import torch  # heavy

        if self.device == "cuda" and not torch.cuda.is_available():
            return "torch sees no GPU"
        return None

    def load(self, artifact: Artifact, threads: int) -> Session:
        import torch  # heavy

        torch.set_num_threads(threads)
        return TorchSession(load_network(artifact), self.device)


def nvidia_driver() -> bool:
    """Whether there is an NVIDIA driver, by a look that needs no library (the tool: Windows, containers)."""
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    yield TorchRuntime("torch", "cpu")
    if nvidia_driver():  # without one there is no row for it
        yield TorchRuntime("torch-cuda", "cuda")
