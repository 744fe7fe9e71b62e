"""Test vectors: beats, what the model gave for them where it was bundled, and how far another machine may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.api.tensors import TensorSpec, samples_first

STEPS = 4  # of an integer output; other kernels of LiteRT were off by 3 at most (docs/bundle.md)
FLOAT = {"fp32": 1e-4, "fp16": 1e-2}  # of the largest value; 8-bit files: as many steps of 255 in both directions
EIGHT_BITS = 2 * STEPS / 255


@dataclass(frozen=True)
class Vectors:
    """Beats ``(N, C, L)`` float32 of C leads and the ``(N, values)`` that the model gave, as its file has them.

    Attributes:
        origin: of the beats, in words.
    """

    beats: np.ndarray
    outputs: np.ndarray
    origin: str

    @classmethod
    def of(cls, artifact: Artifact, beats: np.ndarray, outputs: np.ndarray, origin: str) -> Vectors:
        """From outputs as a session gives them: float32, any shape."""
        if outputs.ndim == 3 and samples_first(artifact.output.layout):  # as the file has them
            outputs = outputs.transpose(0, 2, 1)
        return cls(beats, as_stored(outputs.reshape(len(beats), -1), artifact.output), origin)


def as_stored(outputs: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """Outputs as the file holds them: integers where it has a scale."""
    if spec.scale is None or spec.zero_point is None:
        return outputs
    return (np.rint(outputs / np.float32(spec.scale)) + spec.zero_point).astype(spec.dtype)


@dataclass(frozen=True)
class Portable:
    """The certificate of a file, as `ecgedge portability -o` keeps it.

    Attributes:
        text: of the file ``portability.json``.
        digest: SHA-256 of the file that it is of.
        verdict: ``"exact"``, ``"equivalent"`` or ``"fragile"``.
        largest: the largest difference of an output value in all that was tried, in the output's own unit.
        ways: how many were tried.
        fewer: of these, how many were given a part of the beats.
    """

    text: str
    digest: str
    verdict: str
    largest: float
    ways: int
    fewer: int

    def record(self) -> dict[str, Any]:
        """What the record of a bundle says of it: of which bytes, in how many ways, and the verdict."""
        told = {"verdict": self.verdict, "ways": self.ways, "fewer_beats": self.fewer, "largest": self.largest}
        return {**told, "of": self.digest}

    @property
    def sentence(self) -> str:
        part = f" ({self.fewer} of them on a part of the beats)" if self.fewer else ""
        return f"{self.verdict} in {self.ways} ways that were tried{part}, values {self.largest:.3g} apart at most"


def tolerance(artifact: Artifact, outputs: np.ndarray, portable: Portable | None = None) -> tuple[float, str]:
    """How far an output may be off on another machine, and in what: steps of integers, or the output's own unit.

    Args:
        portable: whose largest difference is what may be, where the file has a certificate; where decisions changed
            there, no more than without one.
    """
    scale = artifact.output.scale
    unit = "in the output's unit" if scale is None else "steps"
    usual: float = STEPS
    if scale is None:
        usual = FLOAT.get(artifact.precision, EIGHT_BITS) * max(1.0, float(np.abs(outputs).max()))
    if portable is None:
        return usual, unit
    most = portable.largest * (1 + 1e-6)  # written with nine digits, and read again
    most = most if scale is None else round(most / scale)
    return min(most, usual) if portable.verdict == "fragile" else most, unit
