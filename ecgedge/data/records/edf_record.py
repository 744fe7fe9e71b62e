"""EDF, EDF+, BDF and BDF+ files, through the ``pyedflib`` package.

pyEDFlib rather than MNE: it reads each signal at its own rate, a stretch at a time, where MNE brings all signals of a
file to the fastest rate; and it is a small wrapper of EDFlib.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.data.readers.fields import short
from ecgedge.data.records.record import (
    Marks,
    check_record,
    check_samples,
    millivolts,
    told_in_one_line,
    unique_names,
)
from ecgedge.data.records.wfdb_record import PLAIN_NAME, marks_beside
from ecgedge.errors import EcgEdgeError

MOST_SIGNALS = 4096
OWN = "edf"  # as an annotation's name: those in the file itself
WHOLE = "the file is cut or its header is wrong: export it again"


class EdfRecord:
    """An EDF or BDF file; its leads are the voltages that have the rate of the first."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            EcgEdgeError: it is missing, is not such a file, or is cut.
        """
        self.path, self.stem, self.name = path, path.with_suffix(""), path.stem
        with self.opened() as file:
            headers = file.getSignalHeaders()
            counts = [int(count) for count in file.getNSamples()]
        scales = [millivolts(str(each["dimension"])) for each in headers]
        rates = [float(each["sample_frequency"]) for each in headers]
        volts = [index for index, scale in enumerate(scales) if scale]
        self.rate = rates[volts[0]] if volts else 0.0
        self.channels = [index for index in volts if rates[index] == self.rate]
        self.scales = np.array([scales[index] for index in self.channels], np.float64)
        names = unique_names([re.sub(r"^(ecg|ekg)\s+", "", str(each["label"]).strip(), flags=re.I) for each in headers])
        self.leads = tuple(names[index] for index in self.channels)
        self.length = min((counts[index] for index in self.channels), default=0)
        if volts:
            check_record(str(path), self.rate, self.length, self.leads)
        else:
            check_record(str(path), 100, 1, ())
        others = [
            f"{names[i]} ({f'{rates[i]:g} samples a second' if scales[i] else headers[i]['dimension'] or 'no unit'})"
            for i in range(len(headers))
            if i not in self.channels
        ]
        self.told = (
            (f"{self.name}: left out beside {self.rate:g} samples a second: {short(', '.join(others), 80)}",)
            if others
            else ()
        )

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The file, open as long as the block lasts: the library opens a file once only."""
        with told_in_one_line(self.path, "an EDF file", WHOLE):
            check_size(self.path)
            import pyedflib  # here, since it is an extra

            with pyedflib.EdfReader(str(self.path)) as file:
                yield file

    def read(self, leads: Sequence[int], start: int, stop: int) -> np.ndarray:
        """The samples from ``start`` to ``stop`` of these leads, ``(C, stop - start)`` in millivolts."""
        with self.opened() as file:
            rows = [file.readSignal(self.channels[lead], start, stop - start) * self.scales[lead] for lead in leads]
        x = np.stack(rows)
        if x.shape[1] != stop - start:
            raise EcgEdgeError(f"{self.path}: {x.shape[1]:,} samples where {stop - start:,} are expected", WHOLE)
        return check_samples(x, str(self.path), [self.leads[lead] for lead in leads])

    def marks(self, annotation: str) -> Marks:
        """The annotations in the file (``edf``), or those in a WFDB file beside it.

        Raises:
            EcgEdgeError: there are none.
        """
        if annotation.lower() != OWN:
            double = (
                PLAIN_NAME.fullmatch(annotation) and self.path.with_name(f"{self.path.name}.{annotation}").is_file()
            )
            return marks_beside(self.path if double else self.stem, annotation, self.length)
        with self.opened() as file:
            onsets, _, texts = file.readAnnotations()
        samples = np.round(np.asarray(onsets, np.float64) * self.rate).astype(np.int64)
        keep = np.flatnonzero((samples >= 0) & (samples < self.length))
        if not len(keep):
            raise EcgEdgeError(f"{self.path} has no annotations of its own", "name a file beside it, or use --detect")
        keep = keep[np.argsort(samples[keep], kind="stable")]
        words = tuple(str(texts[index]).strip() for index in keep)
        return Marks(samples[keep], words, words)


def check_size(path: Path) -> None:
    """Raise ValueError where a file is not as long as its header says: the library would print it."""
    with path.open("rb") as file:
        head = file.read(256)
        signals = int(head[252:256])
        if not 0 < signals <= MOST_SIGNALS:
            raise ValueError(f"{signals} signals")
        counts = file.read(256 * signals)[216 * signals : 224 * signals]
    samples = sum(int(counts[at : at + 8]) for at in range(0, len(counts), 8))
    size, records = path.stat().st_size, int(head[236:244])
    expected = int(head[184:192]) + records * samples * (3 if head[:1] == b"\xff" else 2)
    if size != expected:
        raise ValueError(f"it has {size:,} bytes, and {expected:,} by its header")
