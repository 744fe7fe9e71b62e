"""Options that say how records are cut: for data sets and for predictions alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli.options import FiniteRange
from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:
    from ecgedge.data.records import Recipe

SECONDS = FiniteRange(min=0, max=600)


@dataclass(frozen=True)
class Asked:
    """What the options say; None: they do not say it."""

    annotation: str | None
    detect: bool
    before: float | None
    after: float | None
    window: float | None
    stride: float | None
    rate: float | None
    filters: tuple[str, ...]

    def named(self) -> list[str]:
        """The options that were given."""
        told = {"--annotation": self.annotation, "--detect": self.detect or None, "--before": self.before,
                "--after": self.after, "--window": self.window, "--stride": self.stride, "--resample": self.rate,
                "--filter": self.filters or None}  # fmt: skip
        return [name for name, value in told.items() if value is not None]

    def heeded(self, recipe: Recipe, leads: Sequence[str], normalize: bool) -> Recipe:
        """The recipe with what was said in place of what it has."""
        said: dict[str, object] = {}
        if self.annotation is not None or self.detect:
            said |= {"annotation": self.annotation, "detect": self.detect}
        times = {"before": self.before, "after": self.after, "window": self.window, "stride": self.stride}
        said |= {name: value for name, value in {**times, "rate": self.rate}.items() if value is not None}
        said |= {"filters": self.filters} if self.filters else {}
        said |= {"leads": tuple(leads)} if leads else {}
        said |= {"normalize": True} if normalize else {}
        if self.window is not None and (self.before is not None or self.after is not None):
            raise EcgEdgeError("--before and --after are of beats, --window is of segments", "leave out either")
        return replace(recipe, **said)  # type: ignore[arg-type]


def cut_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that ``asked_of`` takes, but ``--window``, which says something else to some commands."""
    options = [
        click.option(
            "--annotation",
            metavar="NAME",
            help="Cut beats around these annotations: atr of RECORD.atr, or edf of those within an EDF file.",
        ),
        click.option(
            "--detect", is_flag=True, help="Cut beats around R peaks that are detected (xqrs, on the first lead)."
        ),
        click.option(
            "--before", type=SECONDS, metavar="SECONDS", help="Begin a beat so long before its R peak. Default: 0.3."
        ),
        click.option(
            "--after", type=SECONDS, metavar="SECONDS", help="End a beat so long after its R peak. Default: 0.5."
        ),
        click.option(
            "--stride", type=SECONDS, metavar="SECONDS", help="Begin each segment so long after the one before."
        ),
        click.option(
            "--resample",
            "rate",
            type=FiniteRange(min=0, min_open=True),
            metavar="RATE",
            help="Resample to so many samples a second. Default: as recorded.",
        ),
        click.option(
            "--filter",
            "filters",
            multiple=True,
            metavar="NAME",
            help="Filter by highpass:0.5, lowpass:40, bandpass:0.5-40 or notch:50, in hertz; in the order given.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def asked_of(given: Mapping[str, Any], window: float | None) -> Asked:
    """What the options of a command say."""
    names = ("annotation", "detect", "before", "after", "stride", "rate")
    return Asked(**{name: given[name] for name in names}, window=window, filters=tuple(given["filters"]))


def classes_of(told: str | None) -> Mapping[str, str]:
    """The class of each symbol: of a list that has a name, or of a file. Raises EcgEdgeError where there is neither."""
    from ecgedge.data.readers import read_names
    from ecgedge.data.records import CLASSES

    if told is None:
        return {}
    if told.lower() in CLASSES:
        return CLASSES[told.lower()]
    if not Path(told).is_file():
        known = ", ".join(CLASSES)
        raise EcgEdgeError(
            f"--classes {told[:80]}: no such classes", f"known: {known}; or a file of symbol,class lines"
        )
    found = read_names(Path(told)).by_label
    if not found:
        raise EcgEdgeError(f"--classes {told[:80]} tells no class for a symbol", "write symbol,class lines")
    return found
