"""Which recipe a training follows, and what of it matters to the training of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from ecgedge.api.options import Value
from ecgedge.api.parts import ANY, Model
from ecgedge.api.training import Recipe
from ecgedge.errors import EcgEdgeError

OF_ONE_TASK = {  # what ecgedge's own loop, or the score of an anomaly, heeds of one task alone
    "classification": {"teacher", "temperature", "mix", "smoothing", "objective", "balance"},
    "anomaly": {"denoise", "window", "normal"},
}
OBJECTIVES: dict[str, dict[str, float]] = {  # what each changes of a recipe, beside the teacher
    "accuracy": {"balance": 0.0},
    "balanced": {"balance": 0.5},
}
BUILT_IN = {"dropout"}  # nothing to the loop: of a network, where it takes it


def recipe_for(model: Model, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The default recipe, with what the model changes, with what the user changes (None: nothing).

    The objective has its own defaults. The model's go before these, unless the user asks for another objective.

    Raises:
        EcgEdgeError: there is no such objective.
    """
    asked = {key: value for key, value in (changes or {}).items() if value is not None}
    own = str(model.recipe.get("objective", Recipe().objective))
    objective = str(asked.get("objective", own))
    if objective not in OBJECTIVES:
        raise EcgEdgeError(f"no objective {objective!r}", f"there are {', '.join(OBJECTIVES)}")
    both = (OBJECTIVES[objective], model.recipe) if objective == own else (model.recipe, OBJECTIVES[objective])
    return replace(Recipe(), **{**both[0], **both[1], **asked})


def options_for(model: Model, chosen: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """The model's own options, with what the user chose; one without a default is left to the model."""
    return {name: value for name, value in model.defaults.items() if value is not None} | dict(chosen or {})


def heeded(model: Model) -> set[str]:
    """The fields of a recipe that change what a training of the model gives, or what of it is stored and scored.

    The seed is always among them, since the folds of a cross-validation are dealt by it.
    """
    of_others = {name for task, names in OF_ONE_TASK.items() if task != model.task for name in names}
    by_loop = {*asdict(Recipe())} - of_others - BUILT_IN | {*model.build_options}
    if not model.fits_itself or ANY in model.heeds:
        return by_loop
    by_us = {"seed"}
    if model.produces == "torch":
        by_us |= {"half"}
    if model.task == "anomaly":
        by_us |= {"window", "normal"}
    return {*model.heeds} | by_us


def unheeded(model: Model, changes: Mapping[str, Any]) -> list[str]:
    """Which of the user's changes to a recipe (None: nothing) do nothing for this model, as options of the command."""
    known = heeded(model)
    return [option(name, value) for name, value in changes.items() if value is not None and name not in known]


def option(name: str, value: Any) -> str:
    """How the command line says a field of the recipe."""
    return f"--no-{name}" if value is False else f"--{name}"


def told(recipe: Recipe, names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a recipe, in its order, for the record of a training."""
    wanted = {*names}
    return {name: value for name, value in asdict(recipe).items() if name in wanted}
