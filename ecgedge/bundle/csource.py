"""The model as C: an aligned array, a header that says what it takes and gives, and the test vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, Binary, Multilabel
from ecgedge.api.multilabel import thresholds_of
from ecgedge.api.tasks import score_name
from ecgedge.api.tensors import TensorSpec
from ecgedge.bundle.vectors import Vectors
from ecgedge.files.escape import c_comment, c_identifier, c_string

BYTES_A_LINE = 20
C_TYPES = {
    "float16": "uint16_t", "float32": "float", "float64": "double",
    "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t",
}  # fmt: skip


def model_source(name: str, model: bytes) -> str:
    """``model.c``: the bytes of the file, aligned to 16 as LiteRT Micro wants them. C11 or C++11."""
    prefix = c_identifier(name)
    numbers = [f"0x{byte:02x}" for byte in range(256)]
    lines = (
        "  " + ",".join(numbers[byte] for byte in model[start : start + BYTES_A_LINE])
        for start in range(0, len(model), BYTES_A_LINE)
    )
    body = ",\n".join(lines)
    return (
        '#include "model.h"\n\n'
        "#ifndef __cplusplus\n#include <stdalign.h>\n#endif\n\n"
        f"alignas(16) const unsigned char {prefix}_model[] = {{\n{body}\n}};\n"
        f"const unsigned int {prefix}_model_length = {len(model)};\n"
    )


def model_header(name: str, artifact: Artifact) -> str:
    """``model.h``: the array, and what the model takes and gives, a ``#define`` a fact."""
    prefix = c_identifier(name)
    facts = [*tensor_facts("INPUT", artifact.input), *tensor_facts("OUTPUT", artifact.output)]
    labels = ", ".join(c_string(label) for label in artifact.task.labels)
    if isinstance(artifact.task, Anomaly):
        facts += [("THRESHOLD", f"{artifact.task.threshold:.17e}"), ("WINDOW", str(int(artifact.task.window)))]
    else:
        facts += [("CLASSES", str(len(artifact.task.labels))), ("LABELS", f"{{{labels}}}")]
    if isinstance(artifact.task, Multilabel):
        limits = ", ".join(f"{limit:.17e}" for limit in thresholds_of(artifact.task))
        facts += [("THRESHOLDS", f"{{{limits}}}")]
    defines = "\n".join(f"#define {prefix.upper()}_{key} {value}" for key, value in facts)
    return (
        f"/* {c_comment(meaning(artifact))} */\n"
        f"#ifndef {prefix.upper()}_MODEL_H\n#define {prefix.upper()}_MODEL_H\n\n#include <stdint.h>\n\n"
        f"{defines}\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"extern const unsigned char {prefix}_model[];\nextern const unsigned int {prefix}_model_length;\n\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n"
    )


def meaning(artifact: Artifact) -> str:
    """How numbers in and out are to be read, one line."""
    if isinstance(artifact.task, Anomaly):
        what, decision = "beat given back", f"an anomaly has a {score_name(artifact.task.window)} above the threshold"
    elif isinstance(artifact.task, Multilabel):
        what = "probability of label i" if artifact.task.scores == "probabilities" else "logit of label i"
        made = "" if artifact.task.scores == "probabilities" else ", after a sigmoid,"
        decision = f"a label holds whose value{made} is above its threshold"
    elif isinstance(artifact.task, Binary):
        limit = "0.5" if artifact.task.scores == "probabilities" else "0"
        what, decision = "score of the second class", f"above {limit} it is that"
    else:
        what, decision = "score of class i", "the largest is the class"
    scaled = "; value = (stored - zero point) * scale" if artifact.input.scale or artifact.output.scale else ""
    leads = artifact.input.leads or 1
    beat = (
        f"a beat of {leads} leads, axes {artifact.input.layout} (N beats, C leads, L samples)"
        if leads > 1
        else "a beat"
    )
    return f"In: {beat}. Out: {what}; {decision}{scaled}."


def tensor_facts(kind: str, spec: TensorSpec) -> Iterator[tuple[str, str]]:
    """Shape (a free batch as 1), values a beat, type; scale and zero point of integers."""
    shape = [int(axis or 1) for axis in spec.shape]
    yield f"{kind}_SHAPE", "{" + ", ".join(map(str, shape)) + "}"
    yield f"{kind}_SIZE", str(int(np.prod(shape[1:])))
    yield f"{kind}_TYPE", C_TYPES[spec.dtype] + (" /* bits of float16 */" if spec.dtype == "float16" else "")
    if spec.scale is not None:
        yield f"{kind}_SCALE", f"{spec.scale:.9e}f"
        yield f"{kind}_ZERO_POINT", f"({int(spec.zero_point or 0)})"


def vectors_header(name: str, artifact: Artifact, vectors: Vectors) -> str:
    """``vectors.h``: the test vectors as the model takes and gives them."""
    prefix = c_identifier(name)
    inputs = artifact.input.encode(vectors.beats).reshape(len(vectors.beats), -1)
    arrays = [
        f"static const {prefix.upper()}_{kind}_TYPE {prefix}_{kind.lower()}s[{len(values)}][{values.shape[1]}] = "
        f"{{\n{rows(values, spec.dtype)}\n}};\n"
        for kind, values, spec in (("INPUT", inputs, artifact.input), ("OUTPUT", vectors.outputs, artifact.output))
    ]
    origin = c_comment(vectors.origin)
    return (
        f"/* {origin}, as the model takes them, and what it gave for them. For one .c file: a test. */\n"
        f'#ifndef {prefix.upper()}_VECTORS_H\n#define {prefix.upper()}_VECTORS_H\n\n#include "../model.h"\n\n'
        f"#define {prefix.upper()}_VECTORS {len(inputs)}\n\n" + "\n".join(arrays) + "\n#endif\n"
    )


def rows(values: np.ndarray, dtype: str) -> str:
    """A braced row a beat."""
    if dtype == "float16":
        values = values.astype(np.float16).view(np.uint16)
    form = "{:.9e}f" if dtype == "float32" else "{:.17e}" if dtype == "float64" else "{}"
    return ",\n".join("  {" + ",".join(form.format(value) for value in row.tolist()) + "}" for row in values)
