"""The ``torch`` format: a folder with ``weights.safetensors`` and ``model.json``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.artifacts import Artifact, checkpoint_record
from ecgedge.errors import EcgEdgeError

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_FILE = "weights.safetensors"


def load_network(artifact: Artifact) -> nn.Module:
    """Rebuild the network of a ``torch`` artifact, with its weights, float32, in evaluation mode.

    Reparametrizations such as weight norm are folded: an exporter that meets one may go wrong
    silently.

    Raises:
        EcgEdgeError: the weights are damaged or belong to another network.
    """
    from safetensors import SafetensorError  # heavy: these bring torch
    from safetensors.torch import load_file

    if artifact.model is None:
        raise TypeError(f"{artifact.path} came without the part that builds it")
    record = checkpoint_record(artifact.path)
    network = artifact.model.build(record["classes"], record["length"], **record["options"])
    fold_parametrizations(network)
    file = artifact.path / WEIGHTS_FILE
    try:
        network.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EcgEdgeError(
            f"{file} is damaged or belongs to another network: {reason}", "train it again, or restore the file"
        ) from error
    return network.float().eval()


def save_weights(network: nn.Module, folder: Path, half: bool = False) -> None:
    """Write the weights beside ``model.json``, parametrizations folded; ``half``: as float16."""
    import torch
    from safetensors.torch import save_file

    fold_parametrizations(network)
    tensors: dict[str, Any] = {}
    for key, value in network.state_dict().items():
        narrow = half and value.dtype == torch.float32
        tensors[key] = (value.half() if narrow else value).cpu().contiguous()
    save_file(tensors, folder / WEIGHTS_FILE)


def fold_parametrizations(network: nn.Module) -> None:
    """Replace every parametrized tensor (weight norm) by its value, in place."""
    from torch.nn.utils import parametrize

    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name)
