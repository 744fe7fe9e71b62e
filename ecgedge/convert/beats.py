"""The beats that cells are made, scored and timed with, in files that child processes read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgedge.data.dataset import Dataset, Split
from ecgedge.data.drawing import calibration_beats, judging_beats
from ecgedge.errors import machine_error


@dataclass(frozen=True)
class Beats:
    """What a run takes of a data set.

    Attributes:
        index: of the test beats that are scored, in order.
        scored: these beats.
        calibration: training beats for the quantizers, ``(N, C, L)``.
        judging: training beats on which quantizers measure what they cost.
        scratch: the folder of the files, gone with ``close``.
        files: ``scored``, ``train`` and ``calibration``, arrays ``(N, C, L)``, and ``judging``, with ``x`` and ``y``.
    """

    data: Dataset
    index: np.ndarray
    scored: Split
    calibration: np.ndarray
    judging: Split
    scratch: tempfile.TemporaryDirectory[str]
    files: Mapping[str, Path]

    def close(self) -> None:
        """Take away the files."""
        self.scratch.cleanup()


def write_beats(data: Dataset, index: np.ndarray, calibration: int, seed: int) -> Beats:
    """Draw the beats of a run, and write the files.

    Args:
        index: of the test beats to score.
        calibration: how many beats quantizers are calibrated on.

    Raises:
        EcgEdgeError: as ``calibration_beats``.
        MachineError: the files cannot be written.
    """
    scored, drawn, judging = (
        data.test.take(index), calibration_beats(data, calibration, seed), judging_beats(data, calibration, seed),
    )  # fmt: skip
    scratch = tempfile.TemporaryDirectory()
    folder = Path(scratch.name)
    arrays = {"scored": scored.x, "train": data.train.x, "calibration": drawn}
    files = {name: folder / f"{name}.npy" for name in arrays} | {"judging": folder / "judging.npz"}
    try:
        for name, array in arrays.items():
            np.save(files[name], array)
        np.savez(files["judging"], x=judging.x, y=judging.y)
    except OSError as error:
        raise machine_error(f"{folder} cannot be written", error) from error
    return Beats(data, index, scored, drawn, judging, scratch, files)
