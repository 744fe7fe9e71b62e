"""torch itself: the reference that all other forms are compared with."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    Graph,
    Node,
    Profile,
    Runtime,
    Session,
    Step,
    Taps,
    TensorSpec,
    Weight,
    hookimpl,
    load_network,
    without_tf32,
)  # fmt: skip
from ecgedge.builtin.torch_taps import taps_of

BLOCKING = "CUDA_LAUNCH_BLOCKING"  # with "1" a kernel is done when the call that launches it returns


class TorchSession(Session):
    """A network in evaluation mode. While one is open on a GPU, torch multiplies float32 as such, not in TF32."""

    def __init__(self, network: Any, device: str, returned: TensorSpec):
        self.network, self.device, self.returned = network.to(device), device, returned
        self.held = ExitStack()
        if device != "cpu":
            self.copies = "outside"
            self.held.enter_context(without_tf32())

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
        return self.returned.decode(self.y.cpu().numpy())

    def graph(self) -> Graph | None:
        """The modules of the network; what a ``forward`` does with plain functions is not seen."""
        nodes: list[Node] = []
        hooks = [module.register_forward_hook(noting(name, nodes)) for name, module in leaves(self.network)]
        self.invoke()
        for hook in hooks:
            hook.remove()
        weights = tuple(weights_of(self.network))
        return Graph(tuple(nodes), weights, input=dtype_of(self.x), output=dtype_of(self.y))

    def profile(self, calls: int) -> Profile | None:
        """The time between hooks before and after each module; None on a GPU where launching a kernel does not wait."""
        if self.device != "cpu" and os.environ.get(BLOCKING) != "1":
            return None
        taken: dict[str, list[float]] = {}
        ops = {name: op_of(module) for name, module in leaves(self.network)}
        hooks = [hook for name, module in leaves(self.network) for hook in timing(name, module, taken)]
        whole = []
        for _ in range(calls):
            start = perf_counter_ns()
            self.invoke()
            whole.append((perf_counter_ns() - start) / 1e3)
        for hook in hooks:
            hook.remove()
        steps = (Step(ops[name], name, (name,), in_calls(times, calls)) for name, times in taken.items())
        return Profile(tuple(steps), tuple(whole))

    def close(self) -> None:
        self.held.close()


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
        return TorchSession(load_network(artifact), self.device, artifact.output)

    def taps(self, artifact: Artifact, threads: int) -> Taps | None:
        import torch  # heavy

        torch.set_num_threads(threads)
        return taps_of(artifact) if self.device == "cpu" else None


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
        op = op_of(module)
        takes = tuple(map(dtype_of, [*tensors, *weights]))
        constants = (*(0 for _ in tensors), *(weight.numel() for weight in weights))
        gives, shapes = (dtype_of(result),), tuple(tuple(value.shape) for value in (*tensors, *weights))
        made = (tuple(result.shape),)
        nodes.append(Node(name, op, "torch", result.device.type, takes, gives, constants, shapes, made))

    return note


def timing(name: str, module: Any, taken: dict[str, list[float]]) -> tuple[Any, Any]:
    """Hooks that append to ``taken[name]`` the microseconds of each call of a module."""
    began = 0

    def before(*_: Any) -> None:
        nonlocal began
        began = perf_counter_ns()

    def after(*_: Any) -> None:
        taken.setdefault(name, []).append((perf_counter_ns() - began) / 1e3)

    return module.register_forward_pre_hook(before), module.register_forward_hook(after)


def in_calls(times: list[float], calls: int) -> tuple[float, ...]:
    """Of each call of the network, which may use a module more than once."""
    return tuple(np.reshape(times, (calls, -1)).sum(axis=1).tolist())


def op_of(module: Any) -> str:
    return type(module).__name__.removeprefix("Parametrized")


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
