"""torch -> ONNX, through the TorchScript exporter: the smallest graphs, in a fraction of a second."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ecgedge import Artifact, Context, Exporter, Option, check_parity, hookimpl, load_network, write_record

CALL = 16  # beats: of more the cache does not hold what goes between layers

OPSET = Option("opset", int, 17, "Version of the ONNX operators in the file.", least=13, most=20)


class OnnxExporter(Exporter):
    """Dynamic batch, checked by ``onnx.checker`` and against torch through onnxruntime."""

    name = "onnx"
    needs = ("torch", "onnx", "onnxruntime")
    libraries = ("torch", "onnx")
    accepts = ("torch",)
    produces = "onnx"
    options = (OPSET,)

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import onnx  # heavy, with the next two
        import onnxruntime
        import torch

        network = load_network(source)
        beats = torch.from_numpy(context.parity_beats)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch prefers its dynamo exporter
            torch.onnx.export(
                network,
                (beats[:2],),
                str(out),
                dynamo=False,
                opset_version=context.options.get("opset", OPSET.default),
                input_names=[source.input.name],
                output_names=[source.output.name],
                dynamic_axes={source.input.name: {0: "batch"}, source.output.name: {0: "batch"}},
            )
        artifact = source.derive(out, format="onnx", precision="fp32")
        onnx.checker.check_model(onnx.load(out), full_check=True)
        write_record(artifact)

        with torch.inference_mode():
            expected = network(beats).numpy()
        waiting = onnxruntime.SessionOptions()
        waiting.add_session_config_entry("session.intra_op.allow_spinning", "0")  # or it takes all that the cores have
        session = onnxruntime.InferenceSession(str(out), waiting, providers=["CPUExecutionProvider"])
        calls = (context.parity_beats[start : start + CALL] for start in range(0, len(beats), CALL))
        found = np.concatenate([session.run(None, {source.input.name: call})[0] for call in calls])
        check_parity(expected, found, "torch -> onnx")
        return artifact


@hookimpl
def ecgedge_exporters() -> Iterable[Exporter]:
    return (OnnxExporter(),)
