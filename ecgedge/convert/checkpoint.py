"""Checkpoints: a folder with ``model.json`` and weights, from which any process rebuilds the network.

For the ``torch`` format the weights are ``weights.safetensors``; another framework's model keeps its
own file, named in ``model.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.api.artifact import CHECKPOINT_FILE, Anomaly, Artifact, Task, digest_of, task_record
from ecgedge.api.records import task_of, with_scores
from ecgedge.api.records.rules import CHECKPOINT, MOST_BYTES
from ecgedge.api.tensors import TensorSpec
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.schema import SchemaError

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.api.parts import Model

WEIGHTS_FILE = "weights.safetensors"


def read_checkpoint(folder: Path, models: Mapping[str, Model]) -> Artifact:
    """A trained model: a folder with ``model.json`` (see ``write_checkpoint``) and its weights.

    Args:
        folder: the checkpoint.
        models: the known models by name.

    Raises:
        EcgEdgeError: it is not a checkpoint, its record is damaged, or its model is not installed.
    """
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        raise EcgEdgeError(f"{folder} is not a checkpoint: no {CHECKPOINT_FILE}", "ecgedge train MODEL makes one")
    record = checkpoint_record(folder)
    task = with_scores(task_of(record["task"]), "logits")  # a model's network gives no other (kinds.Model)
    missing = [name for name in record["files"] if not (folder / name).is_file()]
    part, classes, length = models.get(record["model"]), record["classes"], record["length"]
    if part is None:
        raise EcgEdgeError(
            f"{folder} holds the model {record['model']!r}, which no installed plugin provides",
            f"known models: {', '.join(sorted(models)) or 'none'}",
        )
    if task.kind != part.task:
        raise EcgEdgeError(f"{file}: {part.name} is for {part.task}, not {task.kind}", "restore the file")
    if missing:
        raise EcgEdgeError(f"{folder} lacks {', '.join(missing)}", "train it again, or restore the file")
    anomaly = isinstance(task, Anomaly)
    return Artifact(
        path=folder,
        format=part.produces,
        precision="fp32",
        task=task,
        input=TensorSpec("input", (None, 1, length), "float32", "NCL"),
        output=TensorSpec(
            "output", (None, 1, length) if anomaly else (None, classes), "float32", "NCL" if anomaly else "NC"
        ),
        name=record["model"],
        digest=digest_of(folder),
        maker={"training": record.get("training")},
        model=part,
    )


def checkpoint_record(folder: Path) -> dict[str, Any]:
    """The content of a checkpoint's ``model.json``. Raises EcgEdgeError where it is damaged; says which field."""
    file, hint = folder / CHECKPOINT_FILE, "train it again, or restore the file"
    try:
        return checked(strict_json.read(file, most=MOST_BYTES))
    except strict_json.JsonError as error:
        raise EcgEdgeError(f"{file} is damaged: {error.message}"[:300], hint) from error
    except (OSError, SchemaError) as error:
        raise EcgEdgeError(f"{file} is damaged: {error}"[:300], hint) from error


def checked(value: Any) -> dict[str, Any]:
    """A checkpoint's record. Raises SchemaError where it is none."""
    record: dict[str, Any] = CHECKPOINT(value, "")
    task, length = record["task"], record["length"]
    if record["classes"] != len(task["labels"]):
        raise SchemaError(f"classes is {record['classes']}, and task.labels has {len(task['labels'])}")
    if task["kind"] == "anomaly" and task["threshold"] is None:
        raise SchemaError("task.threshold is null, not a finite number")
    if task.get("window", 1) > length:
        raise SchemaError(f"task.window is {task['window']}, a beat has {length} samples")
    return record


def write_checkpoint(
    folder: Path,
    *,
    model: str,
    files: list[str],
    classes: int,
    length: int,
    options: Mapping[str, Any],
    task: Task,
    training: Any,
) -> None:
    """Write ``model.json``: all that is needed to rebuild the network around the weights in ``files``."""
    record = {
        "model": model,
        "files": files,
        "classes": classes,
        "length": length,
        "options": dict(options),
        "task": task_record(task),
        "training": training,
    }
    (folder / CHECKPOINT_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


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
    network = network_of(artifact, artifact.model)
    file = artifact.path / WEIGHTS_FILE
    try:
        network.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError, OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EcgEdgeError(
            f"{file} is damaged or belongs to another network: {reason}", "train it again, or restore the file"
        ) from error
    return network.float().eval()


def network_of(artifact: Artifact, model: Model) -> nn.Module:
    """The network of a checkpoint without its weights. Raises EcgEdgeError where its record does not fit the model."""
    record = checkpoint_record(artifact.path)
    try:
        network: nn.Module = model.build(record["classes"], record["length"], **record["options"])
        fold_parametrizations(network)
    except Exception as error:  # of the model's author, or of torch: options are whatever the file says
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise EcgEdgeError(
            f"{artifact.path / CHECKPOINT_FILE}: {model.name} cannot be built as it says: {told}"[:300],
            "train it again, or restore the file",
        ) from error
    return network


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
