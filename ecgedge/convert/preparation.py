"""Whether beats are prepared as those were that a model was trained on, as far as its record tells."""

from __future__ import annotations

from ecgedge.api.artifact import CHECKPOINT_FILE, Artifact
from ecgedge.api.records.beats import RECIPE, check_not_normalized, wants_normalized
from ecgedge.data.dataset import Dataset
from ecgedge.data.normalizing import is_normalized, was_normalized
from ecgedge.data.records import Recipe
from ecgedge.errors import EcgEdgeError
from ecgedge.files.notices import warn


def check_preparation(artifact: Artifact, data: Dataset) -> None:
    """Hold the beats of a data set to those of a model's training. A warning where records were cut otherwise.

    Raises:
        EcgEdgeError: either were z-normalised, and the others were not.
    """
    if wants_normalized(artifact) and not is_normalized(data):
        told_so = f"{called(artifact)} was trained on z-normalised beats, those of {data.name} are not"
        raise EcgEdgeError(told_so, "--normalize makes them so, as in its training")
    check_not_normalized(artifact, was_normalized(data))
    if data.recipe:
        warn_of_other_cut(artifact, Recipe.from_json(data.recipe, data.name), data.name)


def warn_of_other_cut(artifact: Artifact, recipe: Recipe, of: str) -> None:
    """Warn where beats are cut from records otherwise than those that a model was trained on."""
    trained = artifact.notes.get(RECIPE)
    if not trained:
        return
    if other := recipe.apart_from(Recipe.from_json(str(trained), artifact.name)):
        warn(f"the beats of {of} are cut differently from those that {called(artifact)} was trained on: {other}")


def called(artifact: Artifact) -> str:
    """The name of a model as its user knows it: a checkpoint of his own is a folder, of a model of some name."""
    folder = artifact.path
    if artifact.model is None or not (folder / CHECKPOINT_FILE).is_file() or folder == artifact.model.pretrained():
        return artifact.name
    return artifact.name if folder.name == artifact.name else f"{folder.name} ({artifact.name})"
