"""A record inside the file that it tells of, where the format of that file has room for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.records import write_sidecar
from ecgedge.files.locks import whole_file

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact

KEY = "ecgedge"  # of the metadata entry, in ONNX and in TFLite files


def write_record(artifact: Artifact) -> None:
    """Put an artifact's record into its file, which is written already, in the place of a record that it holds.

    An ONNX file and a TFLite file get it as metadata, and all else in them stays; a folder as a file of its own.

    Raises:
        ValueError: the file is of another format; none is known to have room for it.
    """
    if artifact.path.is_dir():
        write_sidecar(artifact)
        return
    if artifact.format not in ("onnx", "tflite"):
        raise ValueError(f"no place for a record is known in files of the format {artifact.format!r}")
    content = with_onnx_record(artifact) if artifact.format == "onnx" else with_tflite_record(artifact)
    with whole_file(artifact.path) as file:
        file.write(content)


def with_onnx_record(artifact: Artifact) -> bytes:
    """The content of an ONNX file with the record among its metadata; weights that lay beside it are in it."""
    import onnx  # heavy

    model = onnx.load(artifact.path)
    add_to_onnx(model, artifact)
    content: bytes = model.SerializeToString()
    return content


def add_to_onnx(model: Any, artifact: Artifact) -> None:
    """Put an artifact's record into an ``onnx.ModelProto``, in place."""
    import onnx  # heavy

    kept = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, kept | {KEY: json.dumps(artifact.record())})


def with_tflite_record(artifact: Artifact) -> bytes:
    """The content of a TFLite file with the record among its metadata."""
    import flatbuffers  # with the next: both come with LiteRT
    from ai_edge_litert import schema_py_generated as schema

    content, text = artifact.path.read_bytes(), json.dumps(artifact.record()).encode()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:  # of a large model they lie behind it, where packing it anew would lose them
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    entries = [*(model.metadata or [])]
    entry = next((each for each in entries if each.name == KEY.encode()), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = KEY, len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.metadata = [*entries, entry]
    model.buffers[entry.buffer].data = np.frombuffer(text, dtype=np.uint8)
    builder = flatbuffers.Builder(len(content) + len(text) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
