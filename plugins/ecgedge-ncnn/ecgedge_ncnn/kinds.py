"""What each of ncnn's layers does, and how much one multiplies. The tests hold the names to those that ncnn has."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]

KINDS = {  # one that is not here, as of a later ncnn, computes
    **dict.fromkeys(
        ("Convolution", "Convolution1D", "Convolution3D", "ConvolutionDepthWise", "ConvolutionDepthWise1D",
         "ConvolutionDepthWise3D", "Deconvolution", "Deconvolution1D", "Deconvolution3D", "DeconvolutionDepthWise",
         "DeconvolutionDepthWise1D", "DeconvolutionDepthWise3D", "DeformableConv2D", "Einsum", "GRU", "Gemm",
         "InnerProduct", "LSTM", "MatMul", "MultiHeadAttention", "RNN", "SDPA"),
        "multiplies",
    ),
    **dict.fromkeys(
        ("Cast", "Concat", "CopyTo", "Crop", "DeepCopy", "Diag", "ExpandDims", "Flatten", "Flip", "Input", "MemoryData",
         "Noop", "Packing", "Padding", "Permute", "PixelShuffle", "Reorg", "Reshape", "ShuffleChannel", "Slice",
         "Split", "Squeeze", "Tile", "Unfold"),
        "moves",
    ),
    **dict.fromkeys(("Dequantize", "Quantize"), "quantizes"),
    **dict.fromkeys(
        ("AbsVal", "ArgMax", "BNLL", "BatchNorm", "Bias", "BinaryOp", "CELU", "Clip", "CumulativeSum",
         "DetectionOutput", "Dropout", "ELU", "Eltwise", "Embed", "Erf", "Exp", "Fold", "GELU", "GLU", "GridSample",
         "GroupNorm", "HardSigmoid", "HardSwish", "InstanceNorm", "Interp", "InverseSpectrogram", "LRN", "LayerNorm",
         "Log", "MVN", "Mish", "Normalize", "PReLU", "PSROIPooling", "Pooling", "Pooling1D", "Pooling3D", "Power",
         "PriorBox", "Proposal", "RMSNorm", "ROIAlign", "ROIPooling", "ReLU", "Reduction", "Requantize", "RotaryEmbed",
         "SELU", "SPP", "Scale", "Shrink", "Sigmoid", "Softmax", "Softplus", "Spectrogram", "StatisticsPooling",
         "Swish", "TanH", "Threshold", "UnaryOp", "YoloDetectionOutput", "Yolov3DetectionOutput"),
        "computes",
    ),
}  # fmt: skip


def kind_of(layer: str) -> str:
    """Of a layer by its type, see ``ecgedge.Node``."""
    return KINDS.get(layer, "computes")


def macs_of(layer: str, taken: list[Shape], weights: tuple[Shape, ...], given: list[Shape]) -> int | None:
    """Multiply-accumulates of one call; None where they are not known.

    Args:
        taken, given: shapes ``(N, ...)`` of what a layer of that type takes and gives, weights aside.
        weights: their shapes; the first ``(M, C, k...)`` or ``(M, K)``.
    """
    if kind_of(layer) != "multiplies":
        return 0
    if layer == "MatMul" and len(taken) == 2 and min(map(len, (*taken, given[0]))) > 2:  # either may be transposed
        return prod(given[0]) * (prod(taken[0][-2:]) // given[0][-2])
    if not weights:
        return None
    if layer.startswith("Deconvolution"):  # each value goes into all that its channel's weights reach
        return prod(taken[0]) // taken[0][1] * prod(weights[0])
    return prod(given[0]) * prod(weights[0][1:])
