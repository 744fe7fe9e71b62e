"""Which recipe a training follows, and what of it matters to the training of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from ecgedge.api.options import Value
from ecgedge.api.parts import ANY, Model
from ecgedge.api.training import Recipe
from ecgedge.errors import EcgEdgeError

MANY = 8192  # beats above which the recipe is another: as many lessons a teacher answers
SHOWN = 320_000  # beats that are shown to a network, about, where there are many; the recipe for 500 shows 37,500
BATCH = 256  # beats a step, where there are many

OF_ONE_TASK = {  # what ecgedge's own loop, or the score of an anomaly, heeds of one task alone
    "classification": {"teacher", "temperature", "mix", "smoothing", "objective", "balance"},
    "binary": {"smoothing", "objective", "balance"},
    "multilabel": {"smoothing", "balance"},
    "anomaly": {"denoise", "window", "normal"},
}
OBJECTIVES = ("accuracy", "balanced")
BUILT_IN = {"dropout"}  # nothing to the loop: of a network, where it takes it


def recipe_for(model: Model, changes: Mapping[str, Any] | None = None, beats: int = 0) -> Recipe:
    """The default recipe, with what the model changes, with what the user changes (None: nothing).

    Many beats change it as well, see ``for_many``; the user's changes go before that.

    Args:
        beats: how many there are to train on; 0: few, or not known.

    Raises:
        EcgEdgeError: there is no such objective.
    """
    asked = {key: value for key, value in (changes or {}).items() if value is not None}
    known = {**model.recipe, **for_many(model, beats), **asked}
    recipe = replace(Recipe(), **known)
    if recipe.objective not in OBJECTIVES:
        raise EcgEdgeError(f"no objective {recipe.objective!r}", f"there are {', '.join(OBJECTIVES)}")
    return recipe if "balance" in known else replace(recipe, balance=balance_for(recipe))


def balance_for(recipe: Recipe) -> float:
    """How classes are drawn where nobody says it, see ``Recipe.balance``.

    Labels are learned as often as they are drawn; what a teacher answers of a beat does not hang on that.
    """
    return 0.0 if recipe.objective == "accuracy" and not recipe.teacher else Recipe().balance


def for_many(model: Model, beats: int) -> dict[str, int | bool]:
    """What a training on many beats changes of the recipe for few, so that it takes minutes.

    Fewer epochs; and, unless the model has its own, larger batches, and the labels instead of the answers of a teacher,
    who reads few. Only what the training of the model heeds; empty where there are ``MANY`` beats or fewer.
    """
    if beats <= MANY:
        return {}
    usual = int({"epochs": Recipe().epochs, **model.recipe}["epochs"])
    found: dict[str, int | bool] = {"epochs": min(usual, math.ceil(SHOWN / beats))}
    found |= {name: value for name, value in {"batch": BATCH, "teacher": False}.items() if name not in model.recipe}
    return {name: value for name, value in found.items() if name in heeded(model)}


def told_for_many(model: Model, recipe: Recipe, beats: int) -> str:
    """What ``for_many`` changed of a recipe, what that saves and how the user has it otherwise; empty: nothing."""
    usual = recipe_for(model)
    changed = {name: value for name, value in for_many(model, beats).items()
               if value == getattr(recipe, name) != getattr(usual, name)}  # fmt: skip
    if not changed:
        return ""
    now, few = (" ".join(map(said, changed, values)) for values in (
        changed.values(), [getattr(usual, name) for name in changed]))  # fmt: skip
    shown = f"; {recipe.epochs * beats:,} beats are shown, not {usual.epochs * beats:,}" if "epochs" in changed else ""
    return f"{beats:,} training beats are many: {now} (for few: {few}){shown}"


def said(name: str, value: Any) -> str:
    """A field of a recipe and its value, as the command line says them."""
    return option(name, value) if isinstance(value, bool) else f"{option(name, value)} {value}"


def options_for(model: Model, chosen: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """The model's own options, with what the user chose; one without a default is left to the model."""
    return {name: value for name, value in model.defaults.items() if value is not None} | dict(chosen or {})


def kind_of(model: Model, multilabel: bool, asked: str | None = None) -> str:
    """The kind of task that a model is trained for: its own, or what data or the user make of a classifier.

    Args:
        multilabel: several labels may hold for a beat of the data.
        asked: the kind that the user wants; None: whichever the data has.

    Raises:
        EcgEdgeError: the model cannot be trained for that.
    """
    kind = asked or ("multilabel" if multilabel else model.task)
    if kind == model.task and not multilabel:
        return kind
    if (kind == "multilabel") != multilabel:
        has = "several labels a beat" if multilabel else "one class a beat"
        raise EcgEdgeError(f"the data has {has}: {model.name} cannot be trained for {kind}", "leave --task out")
    if model.task != "classification" or model.fits_itself:
        why = "is for anomalies of beats with one class" if model.task == "anomaly" else "brings a training of its own"
        raise EcgEdgeError(f"{model.name} cannot be trained for {kind}: it {why}", "train another model")
    return kind


def heeded(model: Model, kind: str | None = None) -> set[str]:
    """The fields of a recipe that change what a training of the model gives, or what of it is stored and scored.

    The seed is always among them, since the folds of a cross-validation are dealt by it.

    Args:
        kind: of the task that it is trained for; None: its own.
    """
    kind = kind or model.task
    of_others = {name for names in OF_ONE_TASK.values() for name in names} - OF_ONE_TASK[kind]
    by_loop = {*asdict(Recipe())} - of_others - BUILT_IN | {*model.build_options}
    if not model.fits_itself or ANY in model.heeds:
        return by_loop
    by_us = {"seed"}
    if model.produces == "torch":
        by_us |= {"half"}
    if model.task == "anomaly":
        by_us |= {"window", "normal"}
    return {*model.heeds} | by_us


def unheeded(model: Model, changes: Mapping[str, Any], kind: str | None = None) -> list[str]:
    """Which of the user's changes to a recipe (None: nothing) do nothing for this model, as options of the command."""
    known = heeded(model, kind)
    return [option(name, value) for name, value in changes.items() if value is not None and name not in known]


def option(name: str, value: Any) -> str:
    """How the command line says a field of the recipe."""
    return f"--no-{name}" if value is False else f"--{name}"


def told(recipe: Recipe, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a recipe, in its order, for the record of a training."""
    wanted = {*names}
    return {name: value for name, value in asdict(recipe).items() if name in wanted}
