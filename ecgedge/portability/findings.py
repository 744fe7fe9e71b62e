"""What stands out in a file itself: layers that can lose sums, weights of -128, operations that are rounded twice."""

from __future__ import annotations

from collections.abc import Sequence

from ecgedge.api.artifact import Artifact
from ecgedge.portability import tflite_file
from ecgedge.portability.certificate import Finding, Saturating
from ecgedge.portability.integer_model import IntegerModel

NAMED = 3  # layers that a finding names
OF_CALLS = Finding(
    "an answer depends on which beats are in the same call: the file quantizes something by the range of them all",
    "call it with one beat, or quantize with ranges of its own (--quantize full-int8)",
)


def saturating(model: IntegerModel, seen: int) -> tuple[Saturating, ...]:
    return tuple(
        Saturating(layer.name, counts.pairs, counts.can, counts.did, counts.beats, seen, counts.cut, counts.sums,
                   counts.largest, layer.changed, layer.steps)
        for layer in model.layers.values()
        if (counts := layer.counts) and counts.can
    )  # fmt: skip


def of_saturation(layers: Sequence[Saturating]) -> tuple[Finding, ...]:
    cut = [layer for layer in layers if layer.cut]
    if not cut:
        return ()
    worst = max(cut, key=lambda layer: layer.changed)
    return (
        Finding(
            f"without VNNI {len(cut)} of {len(layers)} layers that can lose sums do; most in {worst.layer}: "
            f"{worst.did:,} of {worst.pairs:,} pairs, {worst.changed:.1%} of its values change",
            "quantize with --reduce-range, or run it with session.x64quantprecision there",
        ),
    )


def of_weights(model: IntegerModel) -> tuple[Finding, ...]:
    """What integers of a file are special about: -128, and sums that leave 32 bits or float32's 24."""
    found = []
    if lowest := [(layer.name, layer.lowest) for layer in model.layers.values() if layer.lowest]:
        found.append(lowest_weights(lowest))
    if wide := [layer.name for layer in model.layers.values() if layer.reaches >= 1 << 31]:
        found.append(Finding(f"sums of {', '.join(wide[:NAMED])} can leave 32 bits", "split the layer"))
    return tuple(found)


def of_operations(artifact: Artifact) -> tuple[Finding, ...]:
    """Of a TFLite file: which operations kernels round otherwise, and weights of -128."""
    if artifact.format != "tflite":
        return ()
    found, ops = [], tflite_file.read(artifact.path)
    if ops.twice:
        kinds = ", ".join(f"{count} {name}" for name, count in ops.twice)
        found.append(
            Finding(
                f"rounded twice by LiteRT's own and reference kernels, once by XNNPACK: {kinds}",
                "hold the file that you ship against the kernels that will run it: --option tflite.kernels=reference",
            )
        )
    if ops.lowest:
        found.append(lowest_weights(ops.lowest))
    return tuple(found)


def lowest_weights(found: Sequence[tuple[str, int]]) -> Finding:
    """Of layers, or tensors, with how many of their weights are -128."""
    count, more = sum(number for _, number in found), len(found) - NAMED
    named = ", ".join(name for name, _ in found[:NAMED]) + f" and {more} more" * (more > 0)
    return Finding(
        f"{count:,} weight{' is' if count == 1 else 's are'} -128, in {named}: kernels that add two products "
        "in 16 bits are wrong there for inputs of -128",
        "quantize symmetrically, to -127 at least",
    )
