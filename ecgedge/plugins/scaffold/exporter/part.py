"""An exporter. Here a matrix is written anew; put your converter in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgedge import Artifact, Context, Exporter, check_parity
from ecgedge.testing import read_fake


class Acme(Exporter):
    """``fake`` -> ``acme``: the weights ``(C, L)`` of ecgedge's tiny test model, as a ``.npy`` file."""

    name = "acme"
    needs = ()  # top-level import names of your converter
    libraries = ()  # distributions whose versions change what it makes
    # environment = "acme"  # for a converter in an environment of its own, which acme.lock beside this file describes
    accepts = ("fake",)  # "torch": load_network(source) gives the network; "onnx": source.path is the file
    produces = "acme"

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        weights = read_fake(source.path)
        with out.open("wb") as file:
            np.save(file, weights)
        beats = context.parity_beats[:, 0]
        check_parity(beats @ weights.T, beats @ np.load(out).T, "fake -> acme")
        return source.derive(out, format="acme")
