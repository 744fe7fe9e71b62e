"""A quantizer. Here a matrix is rounded to 8 bits; put your tool in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgedge import Artifact, Context, Precision, Quantizer
from ecgedge.testing import read_fake, write_fake


class Acme(Quantizer):
    """The weights of ecgedge's tiny test model, rounded to 8 bits."""

    name = "acme-int8"
    precision = "weights-int8"  # one that is built in, such as "full-int8", or one of your own
    precisions = (Precision("weights-int8", "int8 weights, multiplied in float", weights=("int8",)),)  # is checked
    needs = ()  # top-level import names of your tool
    libraries = ()  # distributions whose versions change what it makes
    # environment = "acme"  # for a tool in an environment of its own, which acme.lock beside this file describes
    accepts = ("fake",)  # "onnx", "saved_model", or a format of your own
    calibrates = False  # whether what it makes depends on context.beats

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        weights = read_fake(source.path)
        scale = float(np.abs(weights).max()) / 127
        write_fake(out, np.rint(weights / scale).astype(np.int8), scale)
        return source.derive(out, precision=self.precision)
