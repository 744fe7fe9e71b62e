"""Train torch models on the training beats: recipe, loop, cross-validation, pictures, tracking."""

from ecgedge.training.crossval import Estimate, cross_validate
from ecgedge.training.recipe import Recipe, recipe_for
from ecgedge.training.train import Trained, train

__all__ = ["Estimate", "Recipe", "Trained", "cross_validate", "recipe_for", "train"]
