"""The contract of graph passes: the same answers, and nothing left to do after the first time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Context, GraphPass
from ecgedge.passes import apply_pass
from ecgedge.passes.optimize import moved
from ecgedge.testing.contract import Contract, draw_for, stored


class PassContract(Contract):
    """Set ``part``, and give ``source`` an ONNX file that it should know what to do with.

    Attributes:
        changes: it is expected to change the graph of ``source``; of any file that has nothing for it, say False.
    """

    part: GraphPass
    kind = "pass"
    changes: bool = False

    def source(self, folder: Path) -> Artifact:
        """An ONNX file; others may be left in ``folder``. Called once a class."""
        raise NotImplementedError

    def work(self) -> dict[str, Any]:
        return {"source": self.given, "context": self.context()}

    def test_it_changes_what_it_is_for(self) -> None:
        """Of a source that has something for it; what it does is told in its graph."""
        changed = self.changed()
        if self.changes:
            assert changed is not None, "it changed nothing of the source; changes = False says that this is right"

    def test_answers_stay(self) -> None:
        """As far as a rounding goes, on many beats, by onnxruntime."""
        changed = self.changed()
        if changed is not None:
            fault = moved(changed, self.given, self.context())
            assert not fault, f"onnxruntime answers otherwise: {fault}"

    def test_done_twice_it_changes_nothing_more(self) -> None:
        changed = self.changed()
        if changed is not None:
            again = self.applied(changed)
            assert again is None, "applied to its own result it changes that once more: it would never end"

    def test_a_graph_without_anything_for_it_is_left_alone(self) -> None:
        """One with a single Identity."""
        import onnx  # heavy
        from onnx import TensorProto, helper

        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 1, 140)) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", ends[:1], ends[1:])
        model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        assert self.applied(model) is None, "it changes a graph that holds nothing but an Identity"

    @property
    def given(self) -> Artifact:
        return self.once("source", lambda folder: stored(self.source(folder)))

    def context(self) -> Context:
        return Context(draw_for(self.given, 64), batch=self.given.input.batch or 1)

    def changed(self) -> Any:
        """The source after the pass; None where it changes nothing."""
        import onnx  # heavy

        return self.applied(onnx.load(self.given.path))

    def applied(self, model: Any) -> Any:
        context = self.context()
        others = {self.part.name: self.part}
        return apply_pass(model, self.part.name, context.batch, context.beats.shape[-1], others)
