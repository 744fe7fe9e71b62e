"""torch -> ExecuTorch in int8, through PT2E with XNNPACK's quantizer."""

from __future__ import annotations

from pathlib import Path

from ecgedge import Artifact, Context, ConversionError, Quantizer, load_network
from ecgedge_executorch.exporter import batch_and_length, described, write
from ecgedge_executorch.runtime import ENVIRONMENT, LIBRARIES


class ExecuTorchInt8(Quantizer):
    """Weights by channel, activations by tensor, calibrated; input and output in float32. For a fixed batch."""

    name = "executorch-full-int8"
    precision = "full-int8"
    needs = ("executorch", "torchao", "torch", "safetensors")
    libraries = LIBRARIES
    environment = ENVIRONMENT
    accepts = ("torch",)
    produces = "executorch"
    fixed_batch = True
    calibrates = True

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        import torch  # heavy, as is what the next ones import
        from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        from ecgedge_executorch.planes import in_planes

        artifact = described(source, out, context.batch, self.precision)
        batch, length = batch_and_length(artifact)
        wanted = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
        quantizer = xnnpack.XNNPACKQuantizer().set_global(wanted)
        watched = prepare_pt2e(in_planes(load_network(source), batch, length).module(), quantizer)
        with torch.no_grad():
            for beats in artifact.input.batches(context.beats):
                watched(torch.from_numpy(beats))
        quantized = convert_pt2e(watched)
        if not any("quantize_per" in str(node.target) for node in quantized.graph.nodes):
            raise ConversionError("PT2E quantized nothing in this model")
        write(torch.export.export(quantized, (torch.zeros(batch, 1, length),)), artifact)
        return artifact
