"""TFLite files by LiteRT: what they declare, and how they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import Artifact, EcgEdgeError, TensorSpec


def open_interpreter(content: bytes, path: Path | str = "the file") -> Any:
    """A LiteRT interpreter. Raises EcgEdgeError where the file is damaged; ``path`` is for the message."""
    from ai_edge_litert.interpreter import Interpreter  # heavy

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise EcgEdgeError(f"{path} is not a readable TFLite model: {reason}", "convert it again") from error


def specs_of(content: bytes, given: str, returned: str) -> tuple[TensorSpec, TensorSpec]:
    """Input and output as the file declares them, in these layouts."""
    interpreter = open_interpreter(content)
    [takes], [gives] = interpreter.get_input_details(), interpreter.get_output_details()
    return spec_of(takes, given), spec_of(gives, returned)


def spec_of(details: dict[str, Any], layout: str) -> TensorSpec:
    """An input or output by LiteRT's description of it."""
    scale, zero_point = details["quantization"]
    quantized = np.issubdtype(details["dtype"], np.integer) and scale != 0  # 0: the file has none
    return TensorSpec(
        name=details["name"],
        shape=tuple(map(int, details["shape"])),
        dtype=np.dtype(details["dtype"]).name,
        layout=layout,
        scale=float(scale) if quantized else None,
        zero_point=int(zero_point) if quantized else None,
    )


def answers(artifact: Artifact, beats: np.ndarray) -> np.ndarray:
    """What a file answers to beats ``(N, 1, L)``, as float32."""
    interpreter = open_interpreter(artifact.path.read_bytes(), artifact.path)
    [takes], [gives] = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for batch in artifact.input.batches(beats):
        interpreter.set_tensor(takes["index"], batch)
        interpreter.invoke()
        found.append(artifact.output.decode(interpreter.get_tensor(gives["index"])))
    return np.concatenate(found)[: len(beats)]
