"""The beats that a model was trained on, as its artifact notes them; whether others are like these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecgedge.api.artifact import Artifact
from ecgedge.api.tensors import counted
from ecgedge.errors import EcgEdgeError

LEADS = "leads"  # among the notes: what the leads are called that a model was trained on
NORMALIZED = "normalized"  # likewise: whether each lead of the beats was z-normalised before training
RECIPE = "recipe"  # likewise: how the beats were cut from records


def check_leads(artifact: Artifact, leads: int, of: str) -> None:
    """Raise EcgEdgeError where a model takes beats of another number of leads than those that it is to be given.

    Args:
        of: whose beats these are, for the error.
    """
    wanted = artifact.input.leads
    if wanted not in (None, leads):
        told = f"{artifact.name} takes beats of {counted(wanted)}, those of {of} have {leads}"
        raise EcgEdgeError(told, "--leads picks those that it takes, or name the data that it was trained for")


def notes_of_leads(names: Sequence[str]) -> dict[str, list[str]]:
    """What an artifact notes of the leads that its model was trained on; nothing where they have no names."""
    return {LEADS: [*names]} if names else {}


def notes_of_beats(normalized: bool | None, recipe: str) -> dict[str, Any]:
    """What an artifact notes of how the beats were prepared that its model was trained on.

    Args:
        normalized: each lead of each was z-normalised; None: not by ecgedge, and they looked so.
        recipe: how they were cut from records, as ``ecgedge.data.records.Recipe`` writes it; empty: they were not.
    """
    return ({} if normalized is None else {NORMALIZED: normalized}) | ({RECIPE: recipe} if recipe else {})


def wants_normalized(artifact: Artifact) -> bool:
    """Whether a model was trained on beats that were z-normalised after they were read."""
    return artifact.notes.get(NORMALIZED) is True


def check_not_normalized(artifact: Artifact, normalize: bool) -> None:
    """Raise EcgEdgeError where beats are z-normalised for a model that was trained on beats that were not."""
    if normalize and artifact.notes.get(NORMALIZED) is False:
        told = f"{artifact.name} was trained on beats that were not z-normalised, and these would be"
        raise EcgEdgeError(told, "leave --normalize out, and bring them as in its training")


def check_lead_names(artifact: Artifact, names: Sequence[str], of: str) -> None:
    """Raise EcgEdgeError where beats have other leads than a model was trained on, or have them in another order.

    Args:
        names: of the leads of the beats; empty: they have none.
        of: whose beats these are, for the error.
    """
    known = tuple(artifact.notes.get(LEADS, ()))
    if not known or not names or [name.lower() for name in known] == [name.lower() for name in names]:
        return
    told = f"{artifact.name} was trained on the leads {', '.join(known)}, {of} has {', '.join(names)}"
    lacking = {name.lower() for name in known} - {name.lower() for name in names}
    raise EcgEdgeError(
        told[:300], "name the data that it was trained for" if lacking else f"say --leads {','.join(known)}"
    )
