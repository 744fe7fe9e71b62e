"""What a record offers, whichever format it is in, and what every reader of one checks."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ecgedge.errors import EcgEdgeError

SLOWEST, FASTEST = 20, 20_000  # samples a second, between which a rate is that of an ECG
MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}  # of one of a unit, in small letters
LARGEST = 1000  # millivolts: a heart gives some 5, an electrode's offset some 300
MOST_LEADS = 256
INSTALL = "install ecgedge[records]"


@dataclass(frozen=True)
class Marks:
    """Annotations in the order of their times.

    Attributes:
        samples: at which each stands, ``(M,)``.
        symbols: what each says, as ``N`` or ``V`` of a beat.
        notes: what is written beside each, as ``(AFIB`` of a rhythm.
    """

    samples: np.ndarray
    symbols: tuple[str, ...]
    notes: tuple[str, ...]


class Record(Protocol):
    """A record that is open."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float:
        """Samples a second."""
        ...

    @property
    def leads(self) -> tuple[str, ...]:
        """The names of those that are voltages."""
        ...

    @property
    def length(self) -> int:
        """Samples a lead."""
        ...

    @property
    def told(self) -> tuple[str, ...]:
        """What was assumed of it, each in one line."""
        ...

    def read(self, leads: Sequence[int], start: int, stop: int) -> np.ndarray:
        """The samples from ``start`` to ``stop`` of these leads, ``(C, stop - start)`` in millivolts; nan: missing."""
        ...

    def marks(self, annotation: str) -> Marks:
        """The annotations of that name, such as ``atr``. Raises EcgEdgeError where there are none."""
        ...


def millivolts(unit: str) -> float | None:
    """How many millivolts one of a unit is; None where it is no voltage."""
    return MILLIVOLTS.get(unit.strip().lower())


def check_record(where: str, rate: float, length: int, leads: Sequence[str]) -> None:
    """Raise EcgEdgeError where what a header says cannot be of an ECG."""
    if not math.isfinite(rate) or not SLOWEST <= rate <= FASTEST:
        told = f"{where}: {rate:g} samples a second"
        raise EcgEdgeError(told, f"the header is wrong, or it is no ECG: {SLOWEST} to {FASTEST:,} are read")
    if length < 1:
        raise EcgEdgeError(f"{where} has no samples", "the header is wrong, or nothing was recorded")
    if not leads:
        raise EcgEdgeError(f"{where} has no lead in volts", "give its signals a unit such as mV in the header")
    if len(leads) > MOST_LEADS:
        raise EcgEdgeError(f"{where} has {len(leads):,} leads", f"up to {MOST_LEADS} are read")


def check_samples(x: np.ndarray, where: str, leads: Sequence[str]) -> np.ndarray:
    """Samples ``(C, n)`` as they are. Raises EcgEdgeError where they are larger than any electrode gives."""
    with np.errstate(invalid="ignore"):
        wrong = np.isinf(x) | (np.abs(x) > LARGEST)
    if wrong.any():
        lead, at = (int(each) for each in np.argwhere(wrong)[0])
        raise EcgEdgeError(
            f"{where}: lead {leads[lead]} reaches {x[lead, at]:.3g} mV", "its gain or its unit in the header is wrong"
        )
    return x


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of leads that differ from each other: the second ``II`` is ``II.2``; one without a name has its number."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        name = " ".join("".join(each if each.isprintable() and each != "," else " " for each in name).split())[
            :30
        ] or str(number)
        same, again = name, 1
        while same.lower() in {each.lower() for each in found}:
            again += 1
            same = f"{name}.{again}"
        found.append(same)
    return tuple(found)


@contextlib.contextmanager
def told_in_one_line(path: Path, what: str, hint: str) -> Iterator[None]:
    """Whatever a library stumbles over in a stranger's file is one line; it prints nothing and warns of nothing.

    Raises:
        EcgEdgeError: in place of any other exception of the block.
    """
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except EcgEdgeError:
        raise
    except ImportError as error:
        raise EcgEdgeError(f"{path} cannot be read: {error.name or error} is not installed", INSTALL) from error
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name if error.filename else what
        raise EcgEdgeError(
            f"{path} cannot be read: {missing} does not exist", "keep all files of a record together"
        ) from error
    except MemoryError as error:
        raise EcgEdgeError(
            f"{path} is {what} that cannot be read: it asks for more memory than there is", hint
        ) from error
    except Exception as error:  # parsers of such files raise whatever they stumble over
        reason = " ".join(str(error).split())[:90] or type(error).__name__
        raise EcgEdgeError(f"{path} is {what} that cannot be read: {reason}", hint) from error
