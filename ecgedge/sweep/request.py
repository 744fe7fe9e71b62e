"""What a sweep is asked for: what a matrix is, for each of several data sets and seeds, and how to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecgedge.api.training import Recipe
from ecgedge.errors import EcgEdgeError
from ecgedge.files.schema import SchemaError, list_of, maybe, number, record, scalar, table_of, whole, words
from ecgedge.files.values import ANY
from ecgedge.run.request import MatrixRequest

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep is asked for.

    Attributes:
        matrix: as of a matrix, its ``data`` and ``seed`` aside; its models are named, and trained here.
        data: where each of the data sets lies, as ``MatrixRequest.data`` says it; none: the first that is found.
        seeds: of all that is drawn at random, one training each.
        recipe: what is changed of the models' recipes, see ``Recipe``.
        training_timeout: seconds that a training may take.
    """

    matrix: MatrixRequest = field(default_factory=MatrixRequest)
    data: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS
    recipe: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    training_timeout: float = 3600

    def __post_init__(self) -> None:
        for what, given in (("data set", self.data), ("seed", self.seeds)):
            if twice := next((each for each in given if given.count(each) > 1), None):
                raise EcgEdgeError(f"the {what} {twice} is there twice", "leave one out")
        if not self.seeds:
            raise EcgEdgeError("a sweep without a seed has nothing to train", "name one with --seed")

    def record(self) -> dict[str, Any]:
        """The request as JSON has it."""
        told = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return told | {"matrix": self.matrix.record(), "data": [*self.data], "seeds": [*self.seeds],
                       "recipe": dict(self.recipe)}  # fmt: skip

    @classmethod
    def from_record(cls, told: Any) -> SweepRequest:
        """Read back what ``record`` gave. Raises SchemaError on any other."""
        found = REQUEST(told, "request")
        strange = found["recipe"].keys() - {each.name for each in dataclasses.fields(Recipe)}
        if strange:
            raise SchemaError(f"request.recipe has the key {min(strange)!r}, which no recipe has")
        return cls(
            MatrixRequest.from_record(found["matrix"]), tuple(found["data"]), tuple(found["seeds"]),
            found["recipe"], found["training_timeout"],
        )  # fmt: skip


REQUEST = record(
    {
        "matrix": ANY,
        "data": list_of(words(10_000), 100_000),
        "seeds": list_of(whole(0, 2**31), 100_000, least=1),
        "recipe": table_of(scalar(10_000), 100),
        "training_timeout": number(above=0, below=1e9),
    },
    {"jobs": maybe(whole(1, 100_000))},
)
