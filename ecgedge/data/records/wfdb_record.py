"""WFDB records: a header ``.hea``, its signal files, and annotations beside it, through the ``wfdb`` package."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.data.readers.fields import short
from ecgedge.data.records.annotations import read_annotations
from ecgedge.data.records.record import (
    Marks,
    check_record,
    check_samples,
    millivolts,
    told_in_one_line,
    unique_names,
)
from ecgedge.errors import EcgEdgeError

BYTES = {  # of a sample, by its format; those of compressed ones vary
    "8": Fraction(1), "16": Fraction(2), "24": Fraction(3), "32": Fraction(4), "61": Fraction(2), "80": Fraction(1),
    "160": Fraction(2), "212": Fraction(3, 2), "310": Fraction(4, 3), "311": Fraction(4, 3),
}  # fmt: skip
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.~-]{1,150}")
LARGEST_HEADER = 10_000_000  # bytes
DEFAULT_GAIN = 200.0  # units a millivolt, by the standard, where a header has none
WHOLE = "the header is wrong, or a file is cut: get the record again"


class WfdbRecord:
    """A WFDB record of one segment or of several."""

    def __init__(self, path: Path) -> None:
        """Read the header ``path``, with or without its suffix ``.hea``.

        Raises:
            EcgEdgeError: it is missing or cannot be read, or what it says cannot be, or not of these files.
        """
        self.stem = path.with_suffix("") if path.suffix.lower() == ".hea" else path
        self.path = self.stem.with_name(self.stem.name + ".hea")
        self.name = self.stem.name
        with told_in_one_line(self.path, "a WFDB header", WHOLE):
            import wfdb  # here, since it is an extra, and takes seconds

            if self.path.stat().st_size > LARGEST_HEADER:
                raise ValueError(f"{self.path.stat().st_size:,} bytes")
            check_name(self.path, self.stem.name)
            header = wfdb.rdheader(str(self.stem), rd_segments=True)
            self.check_files(header)
            self.rate = float(header.fs or 0)
            names, units, gains = signals_of(header)
            self.length = int(header.sig_len or 0)
            by_files = self.measured(header) if header.sig_len is None else 0
        self.told: tuple[str, ...] = ()
        scales = [millivolts(unit) for unit in units]
        self.channels = [index for index, scale in enumerate(scales) if scale]
        self.scales = np.array([scales[index] for index in self.channels], np.float64)
        all_names = unique_names(names)
        self.leads = tuple(all_names[index] for index in self.channels)
        if header.sig_len is None:
            told = f"{self.path} does not say how many samples there are; by its files there are {by_files:,}"
            raise EcgEdgeError(told, "add them to its first line: NAME LEADS RATE SAMPLES")
        check_record(str(self.path), self.rate, self.length, self.leads)
        self.check_gains(gains)
        if others := [f"{all_names[i]} ({units[i]})" for i in range(len(units)) if i not in self.channels]:
            self.told += (f"{self.name}: left out, since they are no voltages: {short(', '.join(others), 80)}",)

    def check_gains(self, gains: Sequence[float | None]) -> None:
        """Raise EcgEdgeError for gains that no signal has; one that is not told is 200 units a millivolt."""
        for lead, channel in zip(self.leads, self.channels, strict=True):
            gain = gains[channel]
            if gain is None:
                continue
            if not math.isfinite(gain) or gain < 0:
                raise EcgEdgeError(f"{self.path}: lead {lead} has the gain {gain:g}", "mend the header")
        text = self.path.read_text(encoding="utf-8", errors="replace")
        if any(uncalibrated(line) for line in text.splitlines()[1:] if line.strip() and not line.startswith("#")):
            self.told += (f"{self.name}: a lead has no gain, so {DEFAULT_GAIN:g} units a millivolt are assumed",)

    def check_files(self, header: Any) -> None:
        """Raise EcgEdgeError where a file is elsewhere, is missing, or is shorter than the header says."""
        for part in segments(header):
            if part.n_sig and part.sig_len:
                for name, expected in sizes_of(self.path, part).items():
                    found = self.stem.with_name(name).stat().st_size
                    if found < expected:
                        told = f"{self.path}: {name} has {found:,} bytes, and {expected:,} by the header"
                        raise EcgEdgeError(told, "the file is cut, or the header is wrong: get the record again")
            else:
                for name in part.file_name or []:
                    check_name(self.path, name)

    def measured(self, header: Any) -> int:
        """Samples a lead by the size of the signal files, where the header does not say how many there are."""
        counts = []
        for part in segments(header):
            per_sample = sizes_of(self.path, part, samples=1)
            counts += [
                int((self.stem.with_name(name).stat().st_size) / float(size))
                for name, size in per_sample.items()
                if size
            ]
        return min(counts, default=0)

    def read(self, leads: Sequence[int], start: int, stop: int) -> np.ndarray:
        """The samples from ``start`` to ``stop`` of these leads, ``(C, stop - start)`` in millivolts; nan: missing."""
        import wfdb

        channels = [self.channels[lead] for lead in leads]
        order = sorted(range(len(channels)), key=channels.__getitem__)
        with told_in_one_line(self.path, "a WFDB record", WHOLE):
            found = wfdb.rdrecord(
                str(self.stem), sampfrom=start, sampto=stop, channels=sorted(channels), physical=True
            ).p_signal
            if found is None or found.shape != (stop - start, len(channels)):
                raise ValueError(f"{0 if found is None else len(found):,} samples where {stop - start:,} are expected")
        x = np.empty((len(channels), stop - start))
        for place, at in enumerate(order):
            x[at] = found[:, place] * self.scales[leads[at]]
        return check_samples(x, str(self.path), [self.leads[lead] for lead in leads])

    def marks(self, annotation: str) -> Marks:
        """The annotations in the file with that suffix beside the header.

        Raises:
            EcgEdgeError: there is no such file, or it cannot be read.
        """
        return marks_beside(self.stem, annotation, self.length)


def signals_of(header: Any) -> tuple[list[str], list[str], list[float | None]]:
    """The names, units and gains of a record's signals; of several segments those of its layout, or of the first."""
    described = [part for part in segments(header) if part.n_sig]
    if not described:
        return [], [], []
    first = described[0]
    names = [str(name or "") for name in first.sig_name or [""] * first.n_sig]
    units = [str(unit or "mV") for unit in first.units or [""] * first.n_sig]
    return names, units, list(first.adc_gain or [None] * first.n_sig)


def segments(header: Any) -> list[Any]:
    """The segments of a header that have signals, or itself."""
    return [part for part in header.segments if part is not None] if hasattr(header, "segments") else [header]


def sizes_of(path: Path, part: Any, samples: int | None = None) -> dict[str, int | Fraction]:
    """The bytes that each signal file of a segment has at least, by its name; none for compressed ones.

    Args:
        samples: in place of those that the header says.
    """
    found: dict[str, int | Fraction] = {}
    count = part.sig_len if samples is None else samples
    for index, name in enumerate(part.file_name or []):
        check_name(path, name)
        size = BYTES.get(str(part.fmt[index]))
        if name == "~" or size is None:
            continue
        offset = (part.byte_offset[index] if part.byte_offset else 0) or 0
        frames = (part.samps_per_frame[index] if part.samps_per_frame else 1) or 1
        found[name] = max(found.get(name, 0), offset if samples is None else 0) + size * frames * count
    return {name: math.floor(size) if samples is None else size for name, size in found.items()}


def check_name(path: Path, name: str) -> None:
    """Raise EcgEdgeError where a header names a file that does not lie beside it."""
    if not PLAIN_NAME.fullmatch(name) or name in (".", ".."):
        told = f"{path} names the file {short(name)}, which does not lie beside it"
        raise EcgEdgeError(told, "a record's files lie in one folder, and have plain names")


def uncalibrated(line: str) -> bool:
    """Whether a signal's line of a header has no gain, or the gain 0."""
    words = line.split()
    return len(words) >= 2 and (len(words) == 2 or re.fullmatch(r"0(\.0*)?([(/].*)?", words[2]) is not None)


def marks_beside(stem: Path, annotation: str, length: int) -> Marks:
    """The annotations in the file ``stem.annotation``. Raises EcgEdgeError where it is missing or cannot be read."""
    if not PLAIN_NAME.fullmatch(annotation):
        raise EcgEdgeError(f"--annotation {annotation[:40]!r} is no suffix", "such as atr, for the file RECORD.atr")
    file = stem.with_name(f"{stem.name}.{annotation}")
    if not file.is_file():
        beside = sorted({each.suffix[1:] for each in stem.parent.glob(f"{stem.name}.*")} - {"hea", "dat", "edf", "bdf"})
        has = f"; beside it: {', '.join(beside[:6])}" if beside else ""
        told = f"{file} does not exist: the record has no annotations of that name{has}"
        raise EcgEdgeError(
            told, "name others with --annotation, find beats with --detect, or name only records that have them"
        )
    with told_in_one_line(file, "a WFDB annotation file", "get it again"):
        if not file.stat().st_size:
            raise ValueError("it is empty")
        found = read_annotations(file)
    samples = np.array([sample for sample, _, _ in found], np.int64)
    inside = (samples >= 0) & (samples < length)
    if len(samples) and not inside.any():
        told = f"{file}: its annotations begin at sample {samples[0]:,} of {length:,}"
        raise EcgEdgeError(told, "they belong to another record, or one of another rate")
    keep = np.flatnonzero(inside)
    keep = keep[np.argsort(samples[keep], kind="stable")]
    return Marks(samples[keep], tuple(found[i][1] for i in keep), tuple(found[i][2] for i in keep))
