"""torch itself: the reference that all other forms are compared with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, Graph, Node, Runtime, Session, Weight, hookimpl, load_network


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

    def graph(self) -> Graph | None:
        """The modules of the network; what a ``forward`` does with plain functions is not seen."""
        nodes: list[Node] = []
        hooks = [module.register_forward_hook(noting(name, nodes)) for name, module in leaves(self.network)]
        self.invoke()
        for hook in hooks:
            hook.remove()
        weights = tuple(weights_of(self.network))
        return Graph(tuple(nodes), weights, input=dtype_of(self.x), output=dtype_of(self.y))


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


def leaves(network: Any) -> Iterator[tuple[str, Any]]:
    """The modules that compute, with their names; a parametrized one counts, its parametrizations do not."""
    for name, module in network.named_modules():
        inner = {child for child, _ in module.named_children()}
        if inner <= {"parametrizations"} and "parametrizations" not in name:
            yield name or type(module).__name__, module


def noting(name: str, nodes: list[Node]) -> Callable[..., None]:
    """A forward hook that appends a node of what a module took and gave."""

    def note(module: Any, given: Any, returned: Any) -> None:
        import torch  # heavy

        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        weights = list(module.parameters())
        result = returned[0] if isinstance(returned, tuple) else returned
        op = type(module).__name__.removeprefix("Parametrized")
        takes = tuple(map(dtype_of, [*tensors, *weights]))
        constants = (*(0 for _ in tensors), *(weight.numel() for weight in weights))
        nodes.append(Node(name, op, "torch", result.device.type, takes, (dtype_of(result),), constants))

    return note


def weights_of(network: Any) -> Iterator[Weight]:
    """What the checkpoint holds of the network."""
    import torch  # heavy

    for name, tensor in network.state_dict().items():
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        yield Weight(name, dtype_of(tensor), len(content), hashlib.sha256(content).hexdigest()[:16])


def dtype_of(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def nvidia_driver() -> bool:
    """Whether there is an NVIDIA driver, by a look that needs no library (the tool: Windows, containers)."""
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    yield TorchRuntime("torch", "cpu")
    if nvidia_driver():  # without one there is no row for it
        yield TorchRuntime("torch-cuda", "cuda")
