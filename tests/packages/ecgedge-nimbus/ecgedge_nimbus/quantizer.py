"""Weights of 4 bits, two in a byte, and activations of 8."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ecgedge import Artifact, Context, Precision, Quantizer
from ecgedge.testing import read_fake

W4A8 = Precision(
    "w4a8", "int4 weights, int8 between", weights=("int4",), products="int4", activations=("int8", "int32"),
    cosine=0.98,
)  # fmt: skip


class NimbusW4(Quantizer):
    """The matrix of ecgedge's tiny test model with 4 bits a weight."""

    name = "nimbus-w4"
    precision, precisions = W4A8.name, (W4A8,)
    accepts, produces, calibrates = ("fake",), "nimbus", True

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        weights = read_fake(source.path)
        scales = np.abs(weights).max(axis=1) / 7
        small = np.rint(weights / scales[:, None]).astype(np.int8)
        step = float(np.abs(context.beats).max()) / 127
        made = source.derive(out, format=self.produces, precision=self.precision)
        with out.open("wb") as file:
            np.savez(file, packed=pack(small), shape=small.shape, scales=scales, step=step,
                     record=json.dumps(made.record()))  # fmt: skip
        return made


def pack(values: np.ndarray) -> np.ndarray:
    """Values from -7 to 7, ``(C, L)``, two in a byte."""
    flat = (values.ravel() & 15).astype(np.uint8)
    flat = np.append(flat, np.zeros(len(flat) % 2, np.uint8))
    return flat[::2] | flat[1::2] << 4


def unpack(packed: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """As ``pack`` was given them, int8."""
    both = np.stack([packed & 15, packed >> 4], axis=1).ravel()[: shape[0] * shape[1]].astype(np.int8)
    return np.where(both > 7, both - 16, both).reshape(shape).astype(np.int8)
