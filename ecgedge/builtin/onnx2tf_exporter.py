"""ONNX -> TensorFlow SavedModel, through onnx2tf."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge import (
    Artifact,
    Context,
    ConversionError,
    Exporter,
    Option,
    check_parity,
    hookimpl,
    layout_of,
    write_origins,
    write_sidecar,
)

AT_ONCE = 100  # beats a call, where the batch is free, by which a SavedModel is held to its ONNX file
QUANTIZED = ("dynamic", "full-int8", "mixed", "int8", "int16x8")  # whose integers it gets wrong, or does not know
# Options of onnx2tf, tried in order until one gives a model that answers as the ONNX file does.
ATTEMPTS: Mapping[str, Mapping[str, Any]] = {
    "": {},
    "onnx2tf with group convolutions taken apart": {"disable_group_convolution": True},
    "onnx2tf with its own simplification of the graph": {"not_use_onnxsim": False},
}


class Onnx2tfExporter(Exporter):
    """Keeps the dynamic batch and the input's axis order; the TFLite quantizers fix the batch.

    onnx2tf is known to drop a crop or a padding silently, so the SavedModel is run on real beats
    and compared with the ONNX file. Its simplification of the graph is left out at first: it starts Python three
    times, and what it mends the graph passes have mended before.
    """

    name = "onnx2tf"
    needs = ("onnx2tf", "tensorflow", "tf_keras", "onnx", "onnxruntime")
    libraries = ("onnx2tf", "tensorflow", "tf-keras", "onnx")
    accepts = ("onnx",)
    produces = "saved_model"
    options = (
        Option(
            "attempts", int, None, "Ways to set onnx2tf that are tried, one after the other. Default: all.", least=1
        ),
    )
    refuses: Mapping[str, str] = dict.fromkeys(QUANTIZED, "onnx2tf takes no quantized ONNX file")
    wants = (  # in two dimensions: without a reshape around each convolution
        "fold_constants", "gelu_in_order", "spell_norms", "stable_softplus", "reciprocal_to_div", "wrap_to_concat",
        "relu_into_concat", "fold_norms", "merge_convs", "drop_idle_relu", "crop_into_conv", "upsample_into_conv",
        "conv_to_2d", "ceil_to_repeat", "upsample_to_concat", "drop_dead_ends",
    )  # fmt: skip

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
        import onnx  # heavy

        model, first = onnx.load(source.path), None
        fitting = [
            (told, options)
            for told, options in ATTEMPTS.items()
            if "disable_group_convolution" not in options or has_groups(model)
        ]
        for told, options in fitting[: context.options.get("attempts")]:
            shutil.rmtree(out, ignore_errors=True)
            try:
                save(model, source, out, options)
                artifact = proved(source, out, context, {"text": told} if told else {})
            except ConversionError as error:
                print(f"{told or 'onnx2tf'}: {error}", file=sys.stderr)
                first = first or error
                continue
            write_sidecar(artifact)
            return artifact
        assert first is not None
        raise first


def has_groups(model: Any) -> bool:
    """Whether a convolution has groups."""
    return any(held.name == "group" and held.i > 1 for node in model.graph.node for held in node.attribute)


def save(model: Any, source: Artifact, out: Path, options: Mapping[str, Any]) -> None:
    """Write what onnx2tf makes of an ``onnx.ModelProto`` as a SavedModel with the signature ``serving_default``.

    onnx2tf is stopped before it writes: it would make two TFLite files as well, which are the quantizers' work.

    Raises:
        ConversionError: onnx2tf failed; names the operation.
    """
    with without("pandas", "scipy"):  # tf_keras would take them along where they are, a fifth of all that is imported
        import onnx  # heavy, with the next three
        import onnx2tf
        import tensorflow as tf
        import tf_keras

    scratch = out.with_name("source.onnx")  # it writes to the file that it is given
    alone = onnx.ModelProto.FromString(model.SerializeToString())
    del alone.graph.output[:]
    alone.graph.output.extend(value for value in model.graph.output if value.name == source.output.name)
    for node in alone.graph.node:
        node.name = node.name or f"{node.op_type}_{node.output[0]}"  # by which a failure is told
    onnx.save(alone, scratch)
    try:
        with contextlib.redirect_stdout(sys.stderr), noting_layers() as kept:
            network = onnx2tf.convert(
                input_onnx_file_path=str(scratch),
                output_folder_path=str(out),
                output_signaturedefs=True,
                keep_ncw_or_nchw_or_ncdhw_input_names=[source.input.name] if len(source.input.shape) > 2 else None,
                non_verbose=True,
                disable_model_save=True,
                **{"not_use_onnxsim": True, **options},
            )
            archive = tf_keras.export.ExportArchive()
            archive.add_endpoint(
                name="serving_default",
                fn=lambda *given: network(given),
                input_signature=[tf.TensorSpec(each.shape, each.dtype, each.name) for each in network.inputs],
            )
            archive.write_out(str(out))
            write_origins(out, layers_of(kept[-1] if kept else {}, alone))
    except OSError:  # a full disk
        raise
    except (Exception, SystemExit) as error:  # the libraries' own classes, and onnx2tf's way of giving up
        raise ConversionError(f"onnx2tf cannot convert {place_of(error, alone)}") from error


@contextlib.contextmanager
def noting_layers() -> Iterator[list[dict[str, Any]]]:
    """Meanwhile, what onnx2tf keeps of each ONNX tensor is kept here, too, of each conversion.

    Its version 2 writes a report of which tensor became which; 1.28 knows that, and hands it out nowhere.
    """
    from onnx2tf.ops import Input  # heavy; the first operation of each conversion

    kept: list[dict[str, Any]] = []
    make_node = Input.make_node

    def noted(**given: Any) -> None:
        kept.append(given["tf_layers_dict"])
        make_node(**given)

    Input.make_node = noted
    try:
        yield kept
    finally:
        Input.make_node = make_node


def layers_of(kept: Mapping[str, Any], model: Any) -> dict[str, str]:
    """ONNX tensors by the Keras layer that makes them, in the order of the graph.

    Args:
        kept: what onnx2tf keeps of each tensor, by the name that it gives it.
        model: the ``onnx.ModelProto``.
    """
    names = [name for node in model.graph.node for name in node.output]
    called = {("wa" * name.startswith("/") + name).replace(":", "__"): name for name in names}
    layers = {name: getattr(getattr(held.get("tf_node"), "node", None), "layer", None) for name, held in kept.items()}
    return {layer.name: called[name] for name, layer in layers.items() if layer is not None and name in called}


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Meanwhile these libraries are as if they were not installed, unless they are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: Python finds no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def place_of(error: BaseException, model: Any) -> str:
    """The operation at which onnx2tf failed, by type and name, as far as it says."""
    name = getattr(error, "onnx_op_name", None)
    if not name:
        return "the graph"
    for node in model.graph.node:
        if name.removeprefix("wa/").strip("/") == node.name.replace(":", "__").strip("/"):
            return f"{node.op_type} ({node.name})"
    return f"operation {name.removeprefix('wa')}"


def proved(source: Artifact, out: Path, context: Context, notes: Mapping[str, Any]) -> Artifact:
    """The artifact in a folder that onnx2tf wrote. Raises ConversionError where it answers otherwise."""
    import onnxruntime  # heavy, with the next
    import tensorflow as tf

    function = tf.saved_model.load(str(out)).signatures["serving_default"]
    [(input_name, signature)] = function.structured_input_signature[1].items()
    shape = tuple(signature.shape)
    artifact = source.derive(
        out,
        format="saved_model",
        input=replace(source.input, name=input_name, shape=shape, layout=order_of(shape, source)),
        output=replace(source.output, name=next(iter(function.structured_outputs))),
        notes=notes,
    )
    session = onnxruntime.InferenceSession(str(source.path), providers=["CPUExecutionProvider"])
    expected, found = [], []
    try:
        for beats in source.input.batches(context.parity_beats, AT_ONCE):
            expected += session.run([source.output.name], {source.input.name: beats})
            found += [value.numpy() for value in function(**{input_name: tf.constant(beats)}).values()]
    except tf.errors.OpError as error:
        raise ConversionError(f"what onnx2tf made does not run: {str(error).splitlines()[0][:200]}") from error
    was, here = np.concatenate(expected), np.concatenate(found)
    if is_turned(was, here):  # TensorFlow has leads last
        given_back = replace(artifact.output, shape=(source.output.batch, *here.shape[1:]), layout="NLC")
        artifact, here = replace(artifact, output=given_back), np.moveaxis(here, -1, 1)
    check_parity(was, here, "onnx -> saved_model")
    return artifact


def order_of(shape: tuple[int | None, ...], source: Artifact) -> str:
    """The layout of the SavedModel's input: that of the ONNX file, where it kept the order of the axes."""
    if source.input.leads == 1 or shape[1:] != source.input.shape[1:]:
        return layout_of(shape) or source.input.layout
    return source.input.layout


def is_turned(was: np.ndarray, here: np.ndarray) -> bool:
    """Whether reconstructions of several leads ``(N, C, L)`` came back as ``(N, L, C)``."""
    several = was.ndim > 2 and 1 not in was.shape[1:]
    return several and here.shape != was.shape and np.moveaxis(here, -1, 1).shape == was.shape


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (Onnx2tfExporter(),)
