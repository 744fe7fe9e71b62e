"""Inner tensors of a torch network, by a trace of its modules and functions."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Operation, Taps, Tensor, Wiring, load_network


class TorchTaps(Taps):
    """The network's own modules and functions, run one by one as eager torch runs them."""

    def __init__(self, artifact: Artifact, traced: Any):
        self.artifact, self.traced = artifact, traced
        self.nodes = {node.name: node for node in traced.graph.nodes}
        self.modules = dict(traced.named_modules())
        self.input = next(node.name for node in traced.graph.nodes if node.op == "placeholder")
        self.output = next(node for node in traced.graph.nodes if node.op == "output").args[0].name
        self.computed = self.reached()
        self.wiring = self.wired(artifact)

    def reached(self) -> set[str]:
        """Names of what depends on the input."""
        found = {self.input}
        for node in self.traced.graph.nodes:
            if node.op != "output" and any(each.name in found for each in node.all_input_nodes):
                found.add(node.name)
        return found

    def wired(self, artifact: Artifact) -> Wiring:
        import torch  # heavy

        beat = torch.zeros(2, artifact.input.leads or 1, artifact.input.length or 140)
        made = dict(self.run({self.input: beat}, self.output))
        held = [name for name, value in made.items() if isinstance(value, torch.Tensor) and value.shape[:1] == (2,)]
        tensors = [Tensor(name, tuple(made[name].shape[1:]), str(made[name].dtype).removeprefix("torch."))
                   for name in held]  # fmt: skip
        operations = [
            Operation(self.title(self.nodes[name]), self.op(self.nodes[name]),
                      tuple(each.name for each in self.nodes[name].all_input_nodes if each.name in self.computed),
                      (name,))
            for name in made if name != self.input
        ]  # fmt: skip
        return Wiring(self.input, self.output, tuple(tensors), tuple(operations))

    def title(self, node: Any) -> str:
        return str(node.target) if node.op == "call_module" else str(node.name)

    def op(self, node: Any) -> str:
        if node.op == "call_module":
            return type(self.modules[node.target]).__name__.removeprefix("Parametrized")
        return str(getattr(node.target, "__name__", node.target))

    def run(self, given: Mapping[str, Any], output: str) -> Iterator[tuple[str, Any]]:
        """Compute what leads to a tensor, from the values of others; each as it is made."""
        import torch  # heavy

        needed, left = set(), [output]
        while left:
            name = left.pop()
            if name not in needed:
                needed.add(name)
                left += [] if name in given else [each.name for each in self.nodes[name].all_input_nodes]
        if self.input in needed and self.input not in given:
            raise EcgEdgeError(f"{output} depends on more than {', '.join(given)}")
        values: dict[str, Any] = dict(given)
        with torch.inference_mode():
            for node in self.traced.graph.nodes:
                if node.name in given:
                    yield node.name, values[node.name]
                elif node.name in needed and node.op != "output":
                    values[node.name] = self.compute(node, values)
                    if node.name in self.computed:
                        yield node.name, values[node.name]

    def compute(self, node: Any, values: Mapping[str, Any]) -> Any:
        import torch  # heavy

        def value(each: Any) -> Any:
            return torch.fx.node.map_arg(each, lambda one: values[one.name])

        args, named = value(node.args), value(node.kwargs)
        if node.op == "call_module":
            return self.modules[node.target](*args, **named)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **named)
        if node.op == "get_attr":
            return operator.attrgetter(node.target)(self.traced)
        return node.target(*args, **named)

    def read(self, tensor: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch  # heavy

        made = dict(self.run({self.input: torch.from_numpy(np.ascontiguousarray(x))}, self.output))
        return made[tensor].float().numpy().copy(), made[self.output].float().numpy().copy()

    def between(self, inputs: Mapping[str, np.ndarray], output: str) -> np.ndarray:
        import torch  # heavy

        given = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in inputs.items()}
        made: np.ndarray = dict(self.run(given, output))[output].float().numpy().copy()
        return made


def taps_of(artifact: Artifact) -> TorchTaps | None:
    """A network open to be tapped; None where its ``forward`` cannot be traced, as one that branches by its values."""
    import torch  # heavy
    import torch.fx

    network = load_network(artifact)
    try:
        return TorchTaps(artifact, torch.fx.symbolic_trace(network.eval()))
    except Exception:  # of the tracer, or of whatever the network does with what it hands around
        return None
