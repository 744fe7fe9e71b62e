"""Input and output of a program of torch: an export declares them, and TorchScript, which does not, is tried."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgedge import EcgEdgeError, TensorSpec, layout_of
from ecgedge.builtin.onnx_file import ONE_INPUT
from ecgedge.builtin.torch_file import load_export, load_script, one_of, tensors
from ecgedge.builtin.torch_runtime import dtype_of

LENGTHS = (140, *range(1, 4097))  # of beats, tried on a program that does not tell which it takes; usual ones first
BATCHES = (3, 1, 2, *range(4, 65))  # likewise
MOST_LEADS = 64  # that are tried, where a weight tells so many


def told_by_export(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of an exported program, as it declares them."""
    program = load_export(path)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    check_count(path, inputs, outputs)
    check_mode(path, program)
    given, returned = (spec_of(name, values[name]) for name in (inputs[0], outputs[0]))
    return replace(given, layout=layout_of(given.shape) or "?"), returned


def check_count(path: Path, inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
    """Raise EcgEdgeError where a beat does not go in alone, or more than one answer comes out."""
    inputs, outputs = [*inputs], [*outputs]
    if len(inputs) != 1:
        raise EcgEdgeError(f"{path} has {len(inputs)} inputs, a beat fills one", ONE_INPUT)
    if len(outputs) != 1:
        raise EcgEdgeError(
            f"{path} has {len(outputs)} outputs, one is used", "save a network that gives that one alone"
        )


def check_mode(path: Path, program: Any) -> None:
    """Raise EcgEdgeError where a program was exported in training mode: its answers hang on chance or neighbours."""
    places = {"batch_norm": 5, "dropout": 2, "dropout_": 2, "feature_dropout": 2, "instance_norm": -1}
    for node in program.graph.nodes:
        word = getattr(getattr(node.target, "overloadpacket", None), "__name__", "")
        place = places.get(word, -1)
        if place >= 0 and len(node.args) > place and node.args[place] is True:
            raise EcgEdgeError(f"{path} was exported in training mode ({word})", "export it after network.eval()")


def spec_of(name: str, value: Any) -> TensorSpec:
    """A tensor as a program declares it, with symbolic sizes; scores, or what looks like a beat."""
    shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
    layout = "NC" if len(shape) == 2 else "NCL"
    return TensorSpec(name, shape, dtype_of(value), layout)


def told_by_trial(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of TorchScript, which declares no shapes: what it takes is tried.

    Raises:
        EcgEdgeError: it takes nothing that looks like beats.
    """
    network = load_script(path)
    check_count(path, list(network.forward.schema.arguments)[1:], [None])
    dtype = next((tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()), None)
    trial = Trial(path, network, dtype)
    layout, length = trial.find()  # and the leads
    lengths = [n for n in (length, length + 1, length + 8) if trial.answer(layout, trial.batch, n) is not None]
    shape, made = trial.shape(layout, trial.batch, length), trial.answer(layout, trial.batch, length)
    check_count(path, [None], tensors(made))
    returned = one_of(made)
    free_length, axis = len(lengths) == 3, layout.index("L")
    free_batch = all(trial.answer(layout, n, length) is not None for n in (2, 3))
    batch = None if free_batch else trial.batch
    if free_length and one_of(trial.answer(layout, trial.batch, length + 8)).shape != returned.shape:
        raise EcgEdgeError(
            f"{path} gives as many values as a beat has samples, and does not say how many that are",
            "save it for one length: torch.export.save (.pt2)",
        )
    sizes: list[int | None] = [batch, *shape[1:]]
    sizes[axis] = None if free_length else length
    given = TensorSpec("input", tuple(sizes), dtype_of(returned) if dtype is None else str(dtype)[6:], layout)
    answer = (batch, *(int(axis) for axis in returned.shape[1:]))
    return given, TensorSpec("output", answer, dtype_of(returned), "NC" if len(answer) == 2 else "NCL")


class Trial:
    """Calls of a program that may fail."""

    def __init__(self, path: Path, network: Any, dtype: Any):
        self.path, self.network, self.dtype, self.reason = path, network, dtype, ""
        self.batch = self.leads = 1

    def find(self) -> tuple[str, int]:
        """The first layout, batch and length that the program takes; the batch is kept, and the leads."""
        tries = self.tries()
        for length in LENGTHS:
            for layout, self.leads in tries:
                for self.batch in BATCHES[:2]:
                    if self.answer(layout, self.batch, length) is not None:
                        return layout, length
        raise EcgEdgeError(f"{self.path} takes no beats: {self.reason}"[:300], "only models of beats can be used")

    def tries(self) -> list[tuple[str, int]]:
        """Layouts, each with a number of leads: of one lead, and of as many as the first weight tells."""
        found, first = [("NCL", 1), ("NLC", 1), ("NL", 1)], self.first_weight()
        if first is None:
            return found
        sizes = dict.fromkeys(int(size) for size in first.shape[1 : first.dim() - 1] if size <= MOST_LEADS)
        if first.dim() == 2:
            sizes = {int(first.shape[1]): None}
        found += [(layout, leads) for leads in sizes if leads > 1 for layout in ("NCL", "NLC")]
        if first.dim() == 4:
            found += [(layout, leads) for leads in [1, *sizes] for layout in ("NC1L", "N1CL", "NCL1", "NLC1")]
        return found

    def first_weight(self) -> Any:
        """The first weight of a convolution ``(O, C, ...)`` or a recurrent layer ``(O, C)``; None: there is none."""
        named = self.network.state_dict().items()
        return next((each for name, each in named if each.dim() in (3, 4) or "weight_ih" in name), None)

    def shape(self, layout: str, batch: int, length: int) -> tuple[int, ...]:
        sizes = {"N": batch, "C": self.leads, "L": length, "1": 1}
        return tuple(sizes[letter] for letter in layout)

    def answer(self, layout: str, batch: int, length: int) -> Any:
        """What the program answers for zeros of that shape, where that is an answer for each of them; else None."""
        import torch  # heavy

        try:
            # oneDNN's LSTM checks no sizes; torch warns that it has no Intel GPU when it is switched off
            quiet, plain = warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False)
            with torch.inference_mode(), quiet, plain:
                made = self.network(torch.zeros(self.shape(layout, batch, length), dtype=self.dtype))
        except (RuntimeError, ValueError, IndexError, torch.jit.Error) as error:
            self.reason = self.reason or (str(error).strip().splitlines() or ["it fails"])[-1]
            return None
        found = tensors(made)
        fits = found and all(value.dim() in (2, 3, 4) and value.shape[0] == batch and value.numel() for value in found)
        return made if fits else None
