"""How a program of torch runs: its calls, the operations of aten in each, and their times."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import numpy as np

from ecgedge import Artifact, Graph, Node, Profile, Session, Step, Weight
from ecgedge.builtin.torch_file import one_of, tensors
from ecgedge.builtin.torch_runtime import dtype_of, weights_of


@dataclass(frozen=True)
class Call:
    """What one operation of a program took and gave, and for how long it ran."""

    op: str
    takes: tuple[Any, ...]
    gives: tuple[Any, ...]
    microseconds: float


class ProgramSession(Session):
    def __init__(self, network: Any, artifact: Artifact):
        self.network, self.given, self.returned = network, artifact.input, artifact.output
        self.batch = artifact.input.batch

    def bind(self, x: np.ndarray) -> None:
        import torch  # heavy

        self.x = torch.from_numpy(np.ascontiguousarray(self.given.encode(x)))

    def invoke(self) -> None:
        import torch  # heavy

        with torch.inference_mode():
            self.y = self.network(self.x)

    def fetch(self) -> np.ndarray:
        return self.returned.decode(one_of(self.y).cpu().numpy())

    def graph(self) -> Graph:
        """The operations of aten that one call came down to."""
        known = {tensor.data_ptr(): tensor.numel() for tensor in self.network.state_dict().values()}
        nodes = tuple(node_of(number, call, known) for number, call in enumerate(self.calls()))
        given, returned = dtype_of(self.x), dtype_of(one_of(self.y))
        weights: tuple[Weight, ...] = tuple(weights_of(self.network))
        return Graph(nodes, weights, input=given, output=returned)

    def profile(self, calls: int) -> Profile | None:
        """The time of each operation between its start and its end in torch's dispatcher; None where calls differ."""
        whole, taken = [], []
        for _ in range(calls):
            start = perf_counter_ns()
            taken.append(self.calls())
            whole.append((perf_counter_ns() - start) / 1e3)
        ops = [call.op for call in taken[0]]
        if any([call.op for call in other] != ops for other in taken):
            return None
        steps = (
            Step(op, name_of(number, op), (name_of(number, op),), tuple(each[number].microseconds for each in taken))
            for number, op in enumerate(ops)
        )
        return Profile(tuple(steps), tuple(whole))

    def calls(self) -> list[Call]:
        """The operations of one call, in order."""
        from torch.utils._python_dispatch import TorchDispatchMode  # heavy

        found: list[Call] = []

        class Recorder(TorchDispatchMode):
            def __torch_dispatch__(self, op: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
                start = perf_counter_ns()
                made = op(*args, **(kwargs or {}))
                found.append(Call(word_of(op), tensors(args), tensors(made), (perf_counter_ns() - start) / 1e3))
                return made

        with Recorder():
            self.invoke()
        return found


def word_of(op: Any) -> str:
    """An operation's name as aten has it, without its overload; products of matrices by the name that others know."""
    word = op.overloadpacket.__name__
    return {"mm": "matmul", "bmm": "matmul", "_convolution": "convolution", "addmm": "gemm"}.get(word, word)


def name_of(number: int, op: str) -> str:
    return f"{op}_{number}"


def node_of(number: int, call: Call, known: dict[int, int]) -> Node:
    """A call as a node; ``known`` has the sizes of the weights by their address."""
    return Node(
        name_of(number, call.op),
        call.op,
        "torch",
        "cpu",
        tuple(map(dtype_of, call.takes)),
        tuple(map(dtype_of, call.gives)),
        tuple(known.get(tensor.data_ptr(), 0) for tensor in call.takes),
        tuple(tuple(tensor.shape) for tensor in call.takes),
        tuple(tuple(tensor.shape) for tensor in call.gives),
    )
