"""What a precision is: what files of it claim of themselves, and what their answers are held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# The least cosine to the trained model's outputs. On the training beats of ECG5000 the fp16 forms of the
# built-in models have 0.99999 at least, the int8 forms 0.9992; a reconstruction that is late by one sample
# has 0.951, outputs shuffled among the beats have 0.6 at most. A model that was barely trained has outputs
# that hardly differ: its int8 forms were seen at 0.88, and decided no worse.
CLOSE, COARSE = 0.999, 0.8

INTEGERS = ("int8", "int4", "int16", "int32", "int64", "bool")
PEAKS = ("fp32", "tf32", "fp16", "int8")
TYPES = ("float64", "float32", "float16", "bfloat16", *INTEGERS)


@dataclass(frozen=True)
class Precision:
    """What a file of a precision claims, each claim checked by the graph that its runtime tells; signed and unsigned
    integers are one type. Nothing is checked of a precision that claims nothing but its name.

    Attributes:
        name: as ``Quantizer.precision``, or as ``Runtime.computes``, has it.
        help: one line.
        weights: the types that at least nine tenths of the weight bytes have, of which the first must be there; float
            tensors of fewer than 1024 elements do not count. Empty: nothing is claimed.
        products: the type of the weights as they are multiplied: nothing multiplies float weights, and no weights of
            that type are turned back into float. Empty: how they are multiplied is not claimed.
        activations: the types that everything computes in, but for what moves or quantizes values; nothing is
            quantized while it runs. Empty: nothing is claimed.
        cosine: the least cosine of its outputs to those of the trained model, from -1 to 1; None: its outputs differ
            by 1e-4 at most, as float32 does.
        peak: which of the machine's limits ``PEAKS`` its multiplications are held against; empty: that of the type
            that each computes in.
    """

    name: str
    help: str = ""
    weights: tuple[str, ...] = ()
    products: str = ""
    activations: tuple[str, ...] = ()
    cosine: float | None = COARSE
    peak: str = ""

    @property
    def claims(self) -> bool:
        """Whether anything of it can be checked in a graph."""
        return bool(self.weights or self.products or self.activations) or self.name in RULED

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"weights": list(self.weights), "activations": list(self.activations)}


RULED = ("fp32", "mixed")  # whose claims no types describe: the check has a rule for each
FP32 = Precision("fp32", "most of its weights are float32, or more", cosine=None)
FP16 = Precision("fp16", "float16 weights; what a processor computes in is its own affair", ("float16",), cosine=CLOSE)
TF32 = Precision("tf32", "float32 values of which a GPU multiplies 10 bits", cosine=CLOSE, peak="tf32")
DYNAMIC = Precision("dynamic", "int8 weights, multiplied as integers", ("int8", "int32"), "int8")
FULL_INT8 = Precision("full-int8", "int8 weights, and nothing computes in float", ("int8", "int32"), "int8", INTEGERS)
MIXED = Precision("mixed", "as full-int8, but for the layers that its record says were left in float")
BUILT_IN: Mapping[str, Precision] = {each.name: each for each in (FP32, FP16, TF32, DYNAMIC, FULL_INT8, MIXED)}


def find(name: str, known: Mapping[str, Precision] = BUILT_IN) -> Precision:
    """A precision by its name; one that nobody declares claims nothing."""
    return known.get(name) or Precision(name)
