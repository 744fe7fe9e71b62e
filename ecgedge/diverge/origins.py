"""Which tensor of one form was made from which of another, as those tell who made one from the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecgedge.api.artifact import Artifact
from ecgedge.api.origins import read_origins
from ecgedge.api.taps import Tensor, Wiring


@dataclass(frozen=True)
class Origin:
    """A tensor that another one was made from.

    Attributes:
        name: of the tensor.
        how: who tells: ``"passes"``, or the name of the exporter or quantizer.
    """

    name: str
    how: str


class Told:
    """What one step tells: names in its source, by those in what it made, in the order in which it tells them."""

    def __init__(self, origins: Mapping[str, str]):
        self.origins = origins
        self.places = {name: place for place, name in enumerate(origins)}

    def last_of(self, names: set[str]) -> str:
        """The last that it tells of some names: what several were fused into gives what the last gives."""
        return max(names & self.places.keys(), key=self.places.__getitem__, default="")


def origins_between(
    made: Sequence[Artifact], form: tuple[Artifact, Wiring], reference: tuple[Artifact, Wiring]
) -> dict[str, Origin]:
    """Tensors of the reference, by the name of that of the form which is told to mean the same under another name.

    Args:
        made: the forms of one conversion, each made from one of the others but for the first.
    """
    by_digest = {each.digest: each for each in made if each.digest}
    mine, theirs = ([*line_of(each, by_digest)] for each, _ in (form, reference))
    common = next((each for each in mine if each in theirs), None)
    if common is None:
        return {}
    here = resolved(form[1], mine[: mine.index(common)])
    there = resolved(reference[1], theirs[: theirs.index(common)])
    back = {origin.name: Origin(name, origin.how) for name, origin in there.items()}
    found = {name: Origin(back[origin.name].name if origin.name in back else origin.name, origin.how)
             for name, origin in here.items()}  # fmt: skip
    stayed = {each.name for each in form[1].tensors} - found.keys()
    return found | {name: origin for name, origin in back.items() if name in stayed}


def line_of(artifact: Artifact, by_digest: Mapping[str, Artifact]) -> Iterator[Artifact]:
    """An artifact, what it was made from, what that was made from, as far as these are known."""
    yield artifact
    for parent in artifact.parents:
        if parent in by_digest:
            yield by_digest[parent]


def resolved(wiring: Wiring, steps: Sequence[Artifact]) -> dict[str, Origin]:
    """Where the tensors of a file come from, through what made it, the last step first."""
    told = [(Told(read_origins(each.path)), str(each.maker.get("part", "")).rpartition(" ")[2]) for each in steps]
    found: dict[str, Origin] = {}
    for tensor in wiring.tensors:
        names, how = {tensor.name, *tensor.also}, ""
        parts = parts_of(tensor)
        for step, who in told:
            if name := step.last_of(names) or step.last_of(parts):
                names, parts, how = {step.origins[name]}, set(), who
        if how:
            found[tensor.name] = Origin(names.pop(), how)
    return found


def parts_of(tensor: Tensor) -> set[str]:
    """The layers whose names a converter joined to that of a tensor, as in ``model/relu_1/Relu;model/conv_1/Conv``."""
    return {part for name in (tensor.name, *tensor.also) for part in re.split("[;/]", name)}
