"""Repeated stratified cross-validation on the training beats: what a recipe is worth, with its spread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecgedge.api import multilabel, tasks
from ecgedge.api.artifact import Anomaly, Classification, Multilabel, Task
from ecgedge.api.multilabel import mean_of
from ecgedge.data.dataset import Dataset, Split
from ecgedge.data.drawing import strata
from ecgedge.data.patients import deal_groups
from ecgedge.errors import EcgEdgeError
from ecgedge.files.notices import note
from ecgedge.training.fitting import OF_CLASSES, Trainee, fit, predict

NAMES = {  # of the figures that are estimated
    "classification": ("accuracy", "macro_f1", "nll", "ece"),
    "multilabel": ("macro_auroc", "macro_auprc", "mean_f1", "label_ece"),
    "anomaly": ("auroc", "auprc", "f1"),
}


@dataclass(frozen=True)
class Estimate:
    """What cross-validation says of a recipe.

    Attributes:
        outputs: for each repeat, those of all training beats ``(N, ...)``, each by a network that did
            not see the beat.
        folds: for each repeat, the fold of each beat ``(N,)``.
        histories: a list of records an epoch for each network; empty where its training reports none.
    """

    outputs: list[np.ndarray]
    folds: list[np.ndarray]
    histories: list[list[dict[str, Any]]]

    def figures(self, train: Split, task: Task) -> dict[str, dict[str, float | None]]:
        """Each figure's mean over the repeats, and its spread.

        A figure of a repeat is computed on all training beats at once, since a fold may lack the rare
        classes. ``sd`` is the standard deviation between repeats, ``fold_sd`` that between the folds that have the
        figure. None: none has it, or of a spread fewer than two.
        """
        names = NAMES[task.judged_as]
        whole = [evaluate(outputs, train, task) for outputs in self.outputs]
        parts = [
            evaluate(outputs[folds == fold], train.take(np.flatnonzero(folds == fold)), task)
            for outputs, folds in zip(self.outputs, self.folds, strict=True)
            for fold in np.unique(folds)
        ]
        return {
            name: {
                "mean": mean_of([figures[name] for figures in whole]),
                "sd": spread_of([figures[name] for figures in whole]) if len(whole) > 1 else 0.0,
                "fold_sd": spread_of([figures[name] for figures in parts]),
            }
            for name in names
        }


def spread_of(values: list[float | None]) -> float | None:
    """The standard deviation of those that are there; None where fewer than two are."""
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def evaluate(outputs: np.ndarray, beats: Split, task: Task) -> dict[str, Any]:
    """The figures of a task and, of a classifier, those of its probabilities."""
    figures = tasks.evaluate(outputs, beats.x, beats.y, task)
    if not isinstance(task, Classification):
        return figures
    return figures | tasks.calibration_figures(tasks.of_classes(outputs, task), beats.y, "logits")


def cross_validate(trainee: Trainee, data: Dataset, count: int, repeats: int = 1) -> Estimate:
    """Train ``count`` networks for each of ``repeats``, each without one fold, which it then answers.

    Raises:
        EcgEdgeError: fewer beats than folds, or a training that failed.
    """
    if not 2 <= count <= len(data.train):
        raise EcgEdgeError(f"{len(data.train)} training beats cannot make {count} folds", "take fewer with --cv")
    outputs, dealt, histories, first = [], [], [], trainee.recipe.seed
    model = trainee.model.name
    for repeat in range(repeats):
        folds = folds_of(data.train, count, first + repeat)
        answers: list[np.ndarray | None] = [None] * len(data.train)
        for fold in range(count):
            kept, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            seeded = replace(trainee, recipe=replace(trainee.recipe, seed=first + 1000 * (repeat + 1) + fold))
            title = f"fold {repeat * count + fold + 1} of {repeats * count}"
            note(f"{title}: {model} is trained on {len(kept):,} beats, to answer the {len(held):,} left out")
            fitted, history = fit(seeded, data.train.take(kept), title, data.train.take(held))
            histories.append(history)
            for index, answer in zip(held, predict(trainee.model, fitted.network, data.train.x[held]), strict=True):
                answers[index] = answer
        outputs.append(np.stack([answer for answer in answers if answer is not None]))
        dealt.append(folds)
    return Estimate(outputs, dealt, histories)


def folds_of(train: Split, count: int, seed: int) -> np.ndarray:
    """The fold of each training beat, ``(N,)``; a patient is in one, where there are several that are known.

    Raises:
        EcgEdgeError: there are fewer patients than folds.
    """
    if train.groups is None or len(np.unique(train.groups)) < 2:
        return deal(strata(train.y), count, seed)
    return deal_groups(strata(train.y), train.groups, count, seed)


def most_folds(train: Split) -> int:
    """How many folds training beats can make: as many as there are patients, where several are known, else beats."""
    patients = 0 if train.groups is None else len(np.unique(train.groups))
    return patients if patients > 1 else len(train)


def deal(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each beat, ``(N,)``: the beats of each class dealt in turn, so that no fold gets two
    more of a class than another, and all folds are of one size, give or take one."""
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)])
    folds = np.empty(len(y), dtype=np.int64)
    folds[order] = np.arange(len(y)) % count
    return folds


def task_of(trainee: Trainee, data: Dataset, estimate: Estimate | None) -> Task:
    """What the outputs mean. Thresholds come from the scores of beats that the network did not see: of an autoencoder
    the quantile of normal ones that gives the best F1, of labels the probability that does, for each."""
    recipe = trainee.recipe
    if trainee.kind in OF_CLASSES:
        return OF_CLASSES[trainee.kind](data.labels)
    assert estimate is not None
    if trainee.kind == "multilabel":
        found = np.concatenate([multilabel.shares(one, "logits") for one in estimate.outputs])
        truth = np.tile(data.train.y, (len(estimate.outputs), 1))
        return Multilabel(data.labels, "logits", multilabel.choose_thresholds(found, truth))
    positive = data.train.y != data.labels.index(recipe.normal)
    scores = np.concatenate([tasks.anomaly_scores(one, data.train.x, recipe.window) for one in estimate.outputs])
    threshold, quantile = tasks.choose_threshold(scores, np.tile(positive, len(estimate.outputs)))
    return Anomaly(threshold, quantile, recipe.normal, data.labels, recipe.window)
