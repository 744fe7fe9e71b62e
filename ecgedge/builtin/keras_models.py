"""Keras models (.keras, .h5) as they were saved: run by TensorFlow, and exported to a SavedModel."""

from __future__ import annotations

import contextlib
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    Context,
    EcgEdgeError,
    Exporter,
    Runtime,
    Session,
    TensorSpec,
    check_parity,
    hookimpl,
    layout_of,
    loads_json,
    tell_artifact,
    write_sidecar,
)
from ecgedge.builtin.onnx_file import ONE_INPUT
from ecgedge.builtin.saved_model_runtime import FunctionSession, prepare_tensorflow, specs_of
from ecgedge.builtin.tflite_runtime import without_info_lines

HDF5 = b"\x89HDF\r\n\x1a\n"
LAMBDAS = {"Lambda": "a Lambda layer: Python code", "__lambda__": "a Python lambda"}
LACKS = {  # how Keras says that it does not know a name, which follows in quotes
    "Could not locate class '": "class",
    "Unknown layer: '": "layer",
    "Could not locate function '": "function",
    "Unknown activation function: '": "function",
}
EXPORT = "where its code is: model.export(FOLDER), and use that SavedModel"


class KerasModel(Runtime):
    """``model(x, training=False)`` on TensorFlow."""

    name = "keras"
    needs = ("tensorflow", "keras")
    libraries = ("keras", "tensorflow")
    accepts = ("keras", "h5")
    suffixes = (".keras", ".h5", ".hdf5")
    folders = ("model.weights.h5",)

    def code_in(self, path: Path) -> str | None:
        return next(code_of(config_of(path)), None)

    def inspect(self, path: Path) -> Artifact:
        network = load_keras(path, safe=self.code_in(path) is None)
        inputs, outputs = network.inputs, network.outputs
        if len(inputs) != 1:
            raise EcgEdgeError(f"{path} has {len(inputs)} inputs, a beat fills one", ONE_INPUT)
        if len(outputs) != 1:
            raise EcgEdgeError(
                f"{path} has {len(outputs)} outputs, one is used", "save a model that gives that one alone"
            )
        given, returned = inputs[0], outputs[0]
        shape = tuple(given.shape)
        format = "h5" if path.is_file() and is_hdf5(path) else "keras"
        return tell_artifact(
            path,
            format,
            TensorSpec(given.name, shape, str(given.dtype), layout_of(shape, leads_last=True) or "?"),
            TensorSpec(
                "output_0", tuple(returned.shape), str(returned.dtype), "NC" if len(returned.shape) == 2 else "NCL"
            ),
            answer=lambda x: np.asarray(network(x, training=False)),
        )

    def load(self, artifact: Artifact, threads: int) -> Session:
        prepare_tensorflow(threads)
        network = load_keras(artifact.path, safe=not artifact.trusted)
        return FunctionSession(lambda x: network(x, training=False), artifact, network)


class KerasExporter(Exporter):
    """Through Keras's own export; the SavedModel is run on real beats and compared with the model.

    The batch is fixed here already: what a recurrent layer does with a free one, the TFLite converter cannot take back.
    """

    name = "keras"
    needs = ("tensorflow", "keras")
    libraries = ("keras", "tensorflow")
    accepts = ("keras", "h5")
    produces = "saved_model"
    fixed_batch = True

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        prepare_tensorflow(None)
        import tensorflow as tf  # heavy

        network = load_keras(source.path, safe=not source.trusted)
        shape = source.input.settled(context.beats, source.input.batch or context.batch).shape
        signature = [tf.TensorSpec(shape, source.input.dtype, name="beats")]
        with contextlib.redirect_stdout(sys.stderr):
            network.export(str(out), format="tf_saved_model", verbose=False, input_signature=signature)
        function = tf.saved_model.load(str(out)).signatures["serving_default"]
        given, returned = specs_of(out, function)
        artifact = source.derive(out, format="saved_model", input=given, output=returned)
        for x in given.batches(context.parity_beats):
            found = function(**{given.name: tf.constant(x)})[returned.name].numpy()
            check_parity(np.asarray(network(x, training=False)), found, "keras -> saved_model")
        write_sidecar(artifact)
        return artifact


def load_keras(path: Path, safe: bool) -> Any:
    """A Keras model, without its optimizer.

    Args:
        safe: refuse what would run code of the file.

    Raises:
        EcgEdgeError: it is damaged; or needs code that is not there, or must not run.
    """
    prepare_tensorflow(None)
    try:
        with without_info_lines(), contextlib.redirect_stdout(sys.stderr):
            import keras  # heavy

            return keras.saving.load_model(str(path), compile=False, safe_mode=safe)
    except Exception as error:  # of Keras's many kinds
        raise reason_of(path, error) from error


def reason_of(path: Path, error: Exception) -> EcgEdgeError:
    """Why Keras could not load a file, in one line."""
    text = " ".join(str(error).split())
    for word, what in LACKS.items():
        if word in text:
            name = text.partition(word)[2].partition("'")[0]
            return EcgEdgeError(f"{path} needs the {what} {name!r}, which is not part of Keras", EXPORT)
    if "safe_mode" in text or "unsafe" in text:
        return EcgEdgeError(f"{path} holds what Keras takes for code: {text[:120]}", EXPORT)
    return EcgEdgeError(f"{path} is not a readable Keras model: {text}"[:300], "save it again: model.save(FILE)")


def config_of(path: Path) -> Any:
    """The description of the network in a file or folder, as Keras wrote it.

    Raises:
        EcgEdgeError: it is missing, damaged, or holds weights alone.
    """
    if (path.is_file() and not path.stat().st_size) or not path.exists():
        raise EcgEdgeError(f"{path} is {'empty' if path.exists() else 'missing'}", "name a Keras model")
    try:
        text = text_of(path)
        if text is None:
            raise EcgEdgeError(f"{path} holds weights without their network", "save both: model.save(FILE)")
        return loads_json(text, "config.json")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise EcgEdgeError(
            f"{path} is not a readable Keras model: {told}"[:300], "save it again: model.save(FILE)"
        ) from error


def text_of(path: Path) -> str | bytes | None:
    """JSON; None where there are weights alone."""
    if path.is_dir():
        return (path / "config.json").read_text(encoding="utf-8")
    if is_hdf5(path):
        import h5py  # comes with Keras

        with h5py.File(path, "r") as file:
            text: str | bytes | None = file.attrs.get("model_config")
            return text
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json")


def is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(HDF5)) == HDF5


def code_of(config: Any) -> Iterator[str]:
    """Each place where a network's description brings Python code, or loads another file."""
    if isinstance(config, dict):
        name = config.get("class_name")
        if name in LAMBDAS:
            yield LAMBDAS[name]
        elif name == "TFSMLayer":
            yield "a TFSMLayer, which loads another file"
        for value in config.values():
            yield from code_of(value)
    elif isinstance(config, list):
        for value in config:
            yield from code_of(value)


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (KerasExporter(),)


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (KerasModel(),)
