"""How beats or segments are cut from records, in words that are kept with what was cut."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.schema import SchemaError, flag, list_of, maybe, number, record, table_of, words

VERSION = 1  # of how filters are designed and beats are placed
BEATS = "NLRBAaJSVrFejnE/fQ?"  # symbols of beats, as the standard has them
AAMI = {  # the classes of ANSI/AAMI EC57, as de Chazal et al. (2004) assign the symbols of MIT-BIH
    "N": "N", "L": "N", "R": "N", "e": "N", "j": "N", "A": "S", "a": "S", "J": "S", "S": "S", "V": "V", "E": "V",
    "F": "F", "/": "Q", "f": "Q", "Q": "Q",
}  # fmt: skip
CLASSES: Mapping[str, Mapping[str, str]] = {"aami": AAMI}
FILTER = re.compile(r"(highpass|lowpass|notch):([0-9.]{1,8})|(bandpass):([0-9.]{1,8})-([0-9.]{1,8})")
FILTERS = "such as highpass:0.5, lowpass:40, bandpass:0.5-40 or notch:50, in hertz"
LONGEST = 600.0  # seconds of a beat or segment


@dataclass(frozen=True)
class Recipe:
    """How records are cut.

    Attributes:
        annotation: the name of the annotations, such as ``atr``; None: none are read.
        detect: beats are where the detector finds R peaks, not where annotations are.
        before, after: seconds of a beat before and after its R peak.
        window, stride: seconds of a segment, and from one to the next; None: beats are cut.
        rate: samples a second of what is cut; None: as recorded.
        filters: in their order, each with its frequencies in hertz.
        leads: by name or number; empty: all.
        classes: the class of each symbol of an annotation; empty: each is its own.
        normalize: each lead of each beat is brought to mean 0 and standard deviation 1.
    """

    annotation: str | None = None
    detect: bool = False
    before: float = 0.3
    after: float = 0.5
    window: float | None = None
    stride: float | None = None
    rate: float | None = None
    filters: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    classes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    normalize: bool = False

    def __post_init__(self) -> None:
        if self.window is None and self.stride is not None:
            raise EcgEdgeError("--stride is that of segments", "say how long they are with --window SECONDS")
        if self.window is not None and self.detect:
            raise EcgEdgeError("--detect finds beats, and --window cuts segments", "leave one of them out")
        if self.span <= 0 or self.span > LONGEST or self.before < 0 or self.after < 0:
            raise EcgEdgeError(f"{self.span:g} s cannot be cut", f"more than 0, and up to {LONGEST:g} s")
        for each in self.filters:
            bands(each)

    @property
    def span(self) -> float:
        """Seconds of a beat or segment."""
        return self.before + self.after if self.window is None else self.window

    @property
    def step(self) -> float:
        """Seconds from one segment to the next."""
        assert self.window is not None
        return self.stride or self.window

    def describe(self) -> str:
        """The recipe in one line, for people."""
        if self.window is not None:
            said = [f"segments of {self.window:g} s, one each {self.step:g} s"]
        else:
            where = "R peaks that were detected" if self.detect else f"annotations {self.annotation}"
            said = [f"beats of {self.before:g} s before and {self.after:g} s after {where}"]
        said += [f"{self.rate:g} samples a second"] if self.rate else []
        said += [f"filters {' '.join(self.filters)}"] if self.filters else []
        said += [f"leads {','.join(self.leads)}"] if self.leads else []
        return ", ".join(said + ["z-normalised"] * self.normalize)

    def apart_from(self, other: Recipe) -> str:
        """What of the samples of a beat is otherwise than in another recipe, in words; empty where they are alike.

        Where beats lie, and which leads and classes are taken, says nothing of that.
        """

        def words(one: Recipe) -> dict[str, str]:
            cut = f"{one.before:g} s before and {one.after:g} s after" if one.window is None else f"{one.window:g} s"
            rate = f"{one.rate:g} samples a second" if one.rate else "the record's own rate"
            filters = f"filters {' '.join(one.filters)}" if one.filters else "no filters"
            return {"cut": cut, "rate": rate, "filters": filters}

        here, there = words(self), words(other)
        return ", ".join(f"{here[what]} instead of {there[what]}" for what in here if here[what] != there[what])

    def as_json(self) -> str:
        """The recipe as it is kept, the same text for the same recipe."""
        told = {"version": VERSION, **dataclasses.asdict(self), "classes": dict(self.classes)}
        return json.dumps(told, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, where: str) -> Recipe:
        """Read back what ``as_json`` gave. Raises EcgEdgeError on any other; ``where``: what holds it."""
        try:
            found = RECORD(strict_json.loads(text, "the recipe"), "recipe")
            if found.pop("version") != VERSION:
                raise SchemaError("it is of another version of ecgedge")
            return cls(**{**found, "filters": tuple(found["filters"]), "leads": tuple(found["leads"])})
        except (SchemaError, ValueError, TypeError) as error:
            raise EcgEdgeError(
                f"{where} holds no recipe that can be followed: {error}", "cut the records again"
            ) from error


def bands(text: str) -> tuple[str, float, float]:
    """The kind of a filter, and its frequencies in hertz, of which the second is 0 where it has one.

    Raises:
        EcgEdgeError: it is none.
    """
    found = FILTER.fullmatch(text.strip())
    try:
        if found and found[1]:
            kind, low, high = found[1], float(found[2]), 0.0
        elif found:
            kind, low, high = found[3], float(found[4]), float(found[5])
        else:
            raise ValueError
    except ValueError as error:
        raise EcgEdgeError(f"--filter {text[:40]!r}: no such filter", FILTERS) from error
    if low < 0.05 or (kind == "bandpass" and high <= low):
        raise EcgEdgeError(f"--filter {text[:40]}: these are no frequencies", f"{FILTERS}, from 0.05 up")
    return kind, low, high


SECONDS = number(least=0, below=10_000)
RECORD: Any = record(
    {
        "version": number(least=0, below=1e6), "annotation": maybe(words(200)), "detect": flag, "before": SECONDS,
        "after": SECONDS, "window": maybe(SECONDS), "stride": maybe(SECONDS), "rate": maybe(number(above=0, below=1e6)),
        "filters": list_of(words(60), 20), "leads": list_of(words(60), 300),
        "classes": table_of(words(100), 1000), "normalize": flag,
    }
)  # fmt: skip
