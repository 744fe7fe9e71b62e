"""Named recipes: what the literature compares, for whoever has the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgedge.data.records.recipe import AAMI, Recipe
from ecgedge.errors import EcgEdgeError

DS1 = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"  # training
DS2 = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"  # test


@dataclass(frozen=True)
class Named:
    """A recipe that has a name.

    Attributes:
        told: what it is and whose, in one line.
        recipe: how its records are cut, where the user does not say otherwise.
        train, test: the names of the records of both parts.
        subjects: whose a record is, where that is not a person of its own.
    """

    told: str
    recipe: Recipe
    train: tuple[str, ...]
    test: tuple[str, ...]
    subjects: Mapping[str, str]

    def check(self, records: Sequence[Path]) -> list[Path]:
        """The records that it needs, of those that the user has.

        Raises:
            EcgEdgeError: some are missing: figures on fewer are not those that others report.
        """
        have = {path.stem if path.suffix else path.name: path for path in records}
        wanted = [*self.train, *self.test]
        if missing := [name for name in wanted if name not in have]:
            told = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
            raise EcgEdgeError(
                f"{len(missing)} of the {len(wanted)} records of this recipe are not there: {told}",
                "get all of them, or cut what is there with --classes aami",
            )
        return [have[name] for name in wanted]


NAMED = {
    "mitbih-aami": Named(
        "MIT-BIH Arrhythmia Database, classes of AAMI EC57, trained on DS1 and tested on DS2 (de Chazal et al., 2004)",
        Recipe(annotation="atr", leads=("MLII",), classes=AAMI),
        tuple(DS1.split()),
        tuple(DS2.split()),
        {"202": "201"},  # one man: he is in both parts of this split
    )
}
