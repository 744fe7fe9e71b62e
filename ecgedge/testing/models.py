"""The contract of a model: it builds for any classes and length that it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, Classification
from ecgedge.api.parts import Model
from ecgedge.api.training import Fitted
from ecgedge.convert.checkpoint import load_network, read_checkpoint, write_checkpoint
from ecgedge.data.dataset import Split
from ecgedge.data.synthetic import LABELS, draw_beats, in_leads
from ecgedge.errors import EcgEdgeError
from ecgedge.testing.contract import Contract, draw, nearly
from ecgedge.training import Trainee, fit, options_for, recipe_for
from ecgedge.training.fitting import load, predict, save

QUICK = {"epochs": 1, "teacher": False}  # for one that is done by ecgedge's loop
SHAPES = ((5, 140), (2, 96), (3, 101))
BEATS = 120  # that a training of the model's own is tried on


SEVERAL = 3  # leads with which a model of any number is built, too


class ModelContract(Contract):
    """Set ``part``. For a format other than ``torch`` that has no ``predict`` override ``answers``, and ``seed`` where
    weights are drawn.

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
        if self.part.produces != "torch":
            return self.part.predict(network, beats)
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
        """``(N, classes)`` logits, or reconstructions ``(N, C, L)`` or ``(N, C * L)``, for one beat and for several."""
        shortest = (5, max(self.part.min_length, 1))
        asked = [(shape, self.part.leads or 1) for shape in (*self.shapes, shortest)]
        asked += [(shape, SEVERAL) for shape in (self.shapes[0], shortest) if self.part.leads is None]
        for (classes, length), leads in asked:
            network = self.part.build(classes, length, **self.part.for_leads(leads))
            for count in (1, 3):
                beats = draw(count, length, leads=leads)
                y = self.answers(network, beats)
                shapes = [beats.shape, (count, beats[0].size)] if self.part.task == "anomaly" else [(count, classes)]
                assert y.shape in shapes, (
                    f"{count} beats of {leads} by {length}, {classes} classes: {y.shape}, not {shapes[0]}"
                )
                assert y.dtype == np.float32, f"answers are {y.dtype}"
                assert np.isfinite(y).all(), f"beats of {length}: an answer is not finite"

    def test_the_same_seed_builds_the_same_network(self) -> None:
        classes, length = self.shapes[0]
        found = []
        for _ in range(2):
            self.seed()
            found.append(self.answers(self.part.build(classes, length), draw(5, length, leads=self.part.leads or 1)))
        nearly(found[0], found[1], 0, "built twice from one seed")

    def test_it_is_built_with_the_options_that_it_names(self) -> None:
        """ecgedge's own loop gives ``build`` those of the recipe that ``build_options`` names, and the model's own."""
        if self.part.fits_itself:
            return
        recipe = recipe_for(self.part)
        options = {name: getattr(recipe, name) for name in self.part.build_options} | options_for(self.part)
        try:
            self.part.build(*self.shapes[0], **options)
        except TypeError as error:
            raise AssertionError(f"build with {', '.join(options)}: {error}") from error

    def test_neighbours_in_a_batch_do_not_matter(self) -> None:
        classes, length = self.shapes[0]
        network, beats = self.part.build(classes, length), draw(5, length, leads=self.part.leads or 1)
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

    def test_a_training_of_its_own_works(self) -> None:
        """What its ``fit`` gives answers, the same again from the same seed, and the same from its checkpoint."""
        if not self.part.fits_itself:
            return
        fitted = self.once("fitted", lambda _: self.fitted())
        beats = draw(5, leads=self.part.leads or 1)
        found = predict(self.part, fitted.network, beats)
        assert found.dtype == np.float32, f"answers are {found.dtype}"
        nearly(found, predict(self.part, self.fitted().network, beats), 0, "fitted twice from one seed")
        alone = np.concatenate([predict(self.part, fitted.network, beat[None]) for beat in beats])
        nearly(found, alone, self.tolerance, "beats one by one")
        stored = self.once("stored", lambda folder: self.stored(folder, fitted))
        nearly(found, predict(self.part, stored, beats), self.tolerance, "read from its checkpoint")

    def test_a_class_may_have_no_beats_to_train_on(self) -> None:
        """A fold of a cross-validation may have all of a rare class: the answers have its column all the same."""
        if self.part.fits_itself and self.part.task == "classification":
            self.fitted(without=len(LABELS) - 1)

    def fitted(self, without: int | None = None) -> Fitted:
        """What the model makes of a few synthetic beats, perhaps of none of one class."""
        try:
            return fit_to_few(self.part, without)
        except (EcgEdgeError, TypeError, ValueError, IndexError) as error:
            raise AssertionError(f"fit on {BEATS} beats: {type(error).__name__}: {error}") from error

    def stored(self, folder: Path, fitted: Fitted) -> Any:
        """The network that is read from its checkpoint."""
        is_classifier = self.part.task == "classification"
        try:
            write_checkpoint(
                folder,
                model=self.part.name,
                files=save(self.part, fitted.network, folder, half=False),
                classes=len(LABELS),
                length=140,
                input_shape=(None, self.part.leads or 1, 140),
                options=fitted.options,
                task=Classification(LABELS) if is_classifier else Anomaly(1.0, 0.95, LABELS[0], LABELS),
            )
            return load(self.part, read_checkpoint(folder, {self.part.name: self.part}))
        except (EcgEdgeError, TypeError, ValueError) as error:
            raise AssertionError(f"what it fitted cannot be stored and read: {error}") from error

    def check_weights(self, artifact: Artifact) -> None:
        length = artifact.input.length or self.part.min_length
        y = self.answers(load_network(artifact), draw(3, length, leads=self.part.leads or 1))
        assert y.shape[1:] == artifact.output.shape[1:], f"answers {y.shape}, the checkpoint says {artifact.output}"
        assert np.isfinite(y).all(), "an answer of the trained weights is not finite"

    def work(self) -> dict[str, Any]:
        return {"build": self.shapes[0]}


def fit_to_few(model: Model, without: int | None = None) -> Fitted:
    """What a model's training makes of a few synthetic beats.

    Args:
        without: a class of which there are none.
    """
    x, y = draw_beats(BEATS, 0)
    x = in_leads(x, model.leads or 1)
    kept = y != (-1 if without is None else without)
    trainee = Trainee(model, LABELS, recipe_for(model, QUICK), options_for(model), model.task)
    return fit(trainee, Split(x[kept], y[kept]), "training")[0]
