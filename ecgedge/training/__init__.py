"""Train models on the training beats: recipe, loop, cross-validation, pictures, tracking."""

from ecgedge.api.training import Recipe
from ecgedge.training.crossval import Estimate, cross_validate
from ecgedge.training.fitting import Trainee, fit
from ecgedge.training.recipe import kind_of, options_for, recipe_for, told_for_many, unheeded
from ecgedge.training.train import Trained, train

__all__ = [
    "Estimate",
    "Recipe",
    "Trained",
    "Trainee",
    "cross_validate",
    "fit",
    "kind_of",
    "options_for",
    "recipe_for",
    "told_for_many",
    "train",
    "unheeded",
]
