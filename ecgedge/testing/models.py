"""The contract of a model: it builds for any classes and length that it promises."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Model
from ecgedge.convert.checkpoint import load_network, read_checkpoint
from ecgedge.errors import EcgEdgeError
from ecgedge.testing.contract import Contract, draw, nearly

SHAPES = ((5, 140), (2, 96), (3, 101))


class ModelContract(Contract):
    """Set ``part``. For a format other than ``torch`` override ``answers``, and ``seed`` where weights are drawn.

    Attributes:
        shapes: (classes, length) that are built.
        tolerance: between answers that should be the same.
    """

    kind = "model"
    part: Model
    shapes: tuple[tuple[int, int], ...] = SHAPES
    tolerance: float = 1e-4

    def answers(self, network: Any, beats: np.ndarray) -> np.ndarray:
        """What a network answers, in evaluation mode."""
        import torch  # heavy

        with torch.inference_mode():
            return network.eval()(torch.from_numpy(beats)).numpy()

    def seed(self) -> None:
        """Make whatever ``build`` draws the same as before."""
        if self.part.produces == "torch":
            import torch  # heavy

            torch.manual_seed(0)

    def test_its_task_is_known(self) -> None:
        assert self.part.task in ("classification", "anomaly"), f"task {self.part.task!r}"

    def test_answers_have_the_right_shape(self) -> None:
        """``(N, C)`` logits, or ``(N, 1, L)`` reconstructions, for one beat and for several."""
        for classes, length in (*self.shapes, (5, max(self.part.min_length, 1))):
            network = self.part.build(classes, length)
            for count in (1, 3):
                beats = draw(count, length)
                y = self.answers(network, beats)
                shape = beats.shape if self.part.task == "anomaly" else (count, classes)
                assert y.shape == shape, f"{count} beats of {length}, {classes} classes: {y.shape}, not {shape}"
                assert y.dtype == np.float32, f"answers are {y.dtype}"
                assert np.isfinite(y).all(), f"beats of {length}: an answer is not finite"

    def test_the_same_seed_builds_the_same_network(self) -> None:
        classes, length = self.shapes[0]
        found = []
        for _ in range(2):
            self.seed()
            found.append(self.answers(self.part.build(classes, length), draw(5, length)))
        nearly(found[0], found[1], 0, "built twice from one seed")

    def test_neighbours_in_a_batch_do_not_matter(self) -> None:
        classes, length = self.shapes[0]
        network, beats = self.part.build(classes, length), draw(5, length)
        alone = np.concatenate([self.answers(network, beat[None]) for beat in beats])
        nearly(self.answers(network, beats), alone, self.tolerance, "beats one by one")

    def test_too_short_a_beat_is_the_users_error(self) -> None:
        if self.part.min_length == 1:
            return
        length = self.part.min_length - 1
        try:
            self.part.build(5, length)
        except EcgEdgeError as error:
            assert "\n" not in error.message, f"not one line: {error.message!r}"
        except Exception as error:  # a traceback for the user
            raise AssertionError(f"build(5, {length}) raised {error!r}, not EcgEdgeError") from error
        else:
            raise AssertionError(f"build(5, {length}) went through; min_length is {self.part.min_length}")

    def test_pretrained_weights_can_be_read(self) -> None:
        """``pretrained()`` is None, or a checkpoint of this model."""
        folder = self.part.pretrained()
        if folder is None:
            return
        try:
            artifact = read_checkpoint(folder, {self.part.name: self.part})
            if artifact.format == "torch":
                self.check_weights(artifact)
        except EcgEdgeError as error:
            raise AssertionError(f"{error.message} ({error.hint})") from error

    def check_weights(self, artifact: Artifact) -> None:
        length = artifact.input.shape[2] or self.part.min_length
        y = self.answers(load_network(artifact), draw(3, length))
        assert y.shape[1:] == artifact.output.shape[1:], f"answers {y.shape}, the checkpoint says {artifact.output}"
        assert np.isfinite(y).all(), "an answer of the trained weights is not finite"

    def work(self) -> dict[str, Any]:
        return {"build": self.shapes[0]}
