"""A network that torch saved whole, read from its file and called."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ecgedge import Artifact, EcgEdgeError
from ecgedge.builtin.pt2_archive import code_in, damaged


def load_program(artifact: Artifact) -> Any:
    """The network in a file, ready to be called.

    Raises:
        EcgEdgeError: it brings code that nobody vouched for.
    """
    if not artifact.trusted and (code := code_in(artifact.path)):
        raise EcgEdgeError(f"{artifact.path} holds {code}", "--trust runs it")
    if artifact.format == "torchscript":
        return load_script(artifact.path)
    return load_export(artifact.path).module(check_guards=False)


def load_export(path: Path) -> Any:
    """A ``torch.export.ExportedProgram``."""
    import torch  # heavy

    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.export.load(file)
    except Exception as error:  # of json, zipfile, struct, torch: whatever is wrong with the archive
        raise damaged(path, error) from error


def load_script(path: Path) -> Any:
    """A ``torch.jit.ScriptModule`` in evaluation mode."""
    import torch  # heavy

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch prefers torch.export
            return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EcgEdgeError(f"{path} is not readable TorchScript: {reason}"[:300], "save it again") from error


def tensors(values: Any) -> tuple[Any, ...]:
    """All tensors among values, in order."""
    import torch  # heavy

    if isinstance(values, torch.Tensor):
        return (values,)
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list | tuple):
        return ()
    return tuple(tensor for value in values for tensor in tensors(value))


def one_of(answer: Any) -> Any:
    """The one tensor that a program answers with, be it in a tuple or a dict."""
    [tensor] = tensors(answer)
    return tensor
