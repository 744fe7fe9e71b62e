"""Checkpoints: a folder with ``model.json`` and weights, from which any process rebuilds the network.

For the ``torch`` format the weights are ``weights.safetensors``; another framework's model keeps its
own file, named in ``model.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.api.artifact import CHECKPOINT_FILE, Artifact, Task, digest_of, task_record
from ecgedge.api.records import task_of, with_scores
from ecgedge.api.records.beats import notes_of_beats, notes_of_leads
from ecgedge.api.records.rules import CHECKPOINT, MOST_BYTES, SCORED, check_tensor, values_of, values_wanted
from ecgedge.api.tensors import TensorSpec
from ecgedge.errors import EcgEdgeError
from ecgedge.files import strict_json
from ecgedge.files.schema import SchemaError

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.api.parts import Model

Shape = tuple[int | None, ...]
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
    part = models.get(record["model"])
    if part is None:
        raise EcgEdgeError(
            f"{folder} holds the model {record['model']!r}, which no installed plugin provides",
            f"known models: {', '.join(sorted(models)) or 'none'}",
        )
    if (task.kind in SCORED) != (part.task in SCORED):
        raise EcgEdgeError(f"{file}: {part.name} is for {part.task}, not {task.kind}", "restore the file")
    if missing:
        raise EcgEdgeError(f"{folder} lacks {', '.join(missing)}", "train it again, or restore the file")
    given, returned = tensors_of(record)
    return Artifact(
        path=folder,
        format=part.produces,
        precision="fp32",
        task=task,
        input=given,
        output=returned,
        name=record["model"],
        digest=digest_of(folder),
        notes=notes_of_leads(lead_names(record)) | preparation(record),
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
    given, returned = tensors_of(record)
    check_tensor(given, "input")
    check_tensor(returned, "output")
    if given.length not in (None, length):
        raise SchemaError(f"input_shape is {list(given.shape)}, and length is {length}")
    values = values_wanted(task["kind"], record["classes"], values_of(given))
    if None not in (*given.shape[1:], *returned.shape[1:]) and values_of(returned) != values:
        raise SchemaError(f"output_shape is {list(returned.shape)}, and its task wants {values:,} values a beat")
    return record


def lead_names(record: Mapping[str, Any]) -> list[str]:
    """What the leads are called that a checkpoint's network was trained on, by its record; empty: it does not say."""
    training = record.get("training")
    data = training.get("data") if isinstance(training, dict) else None
    names = data.get("leads") if isinstance(data, dict) else None
    return [*names] if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def preparation(record: Mapping[str, Any]) -> dict[str, Any]:
    """What an artifact notes of how the beats were prepared that a checkpoint's network was trained on."""
    training = record.get("training")
    data = training.get("data") if isinstance(training, dict) else None
    if not isinstance(data, dict):
        return {}
    recipe, normalized = data.get("recipe"), data.get("normalized")
    return notes_of_beats(
        normalized if isinstance(normalized, bool) else None, recipe if isinstance(recipe, str) else ""
    )


def tensors_of(record: Mapping[str, Any]) -> tuple[TensorSpec, TensorSpec]:
    """Input and output by the shapes in a checkpoint's record; of an older one, which tells none, by its task."""
    is_classifier = record["task"]["kind"] in SCORED
    beat = (None, 1, record["length"])
    given = tuple(record.get("input_shape", beat))
    returned = tuple(record.get("output_shape", (None, outputs_of(record)) if is_classifier else given))
    return (
        TensorSpec("input", given, "float32", "NCL"),
        TensorSpec("output", returned, "float32", "NC" if is_classifier else "NCL"),
    )


def outputs_of(record: Mapping[str, Any]) -> int:
    """How many classes a checkpoint's network is built for: one output is enough for two of them."""
    return values_wanted(record["task"]["kind"], record["classes"], record["classes"])


def write_checkpoint(
    folder: Path,
    *,
    model: str,
    files: Sequence[str],
    classes: int,
    length: int,
    task: Task,
    options: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    output_shape: Shape | None = None,
    training: Any = None,
) -> None:
    """Write the record of a checkpoint, ``model.json``: all that is needed to rebuild the network around its weights.

    Args:
        folder: of the checkpoint, where the weights lie.
        model: the name of the model.
        files: names of the files with the weights, as ``save_weights`` or ``Model.save`` gives them.
        classes, length: what ``Model.build`` is given.
        task: what the outputs mean; of an anomaly model with its threshold.
        options: what ``Model.build`` is given beside these, fit for JSON; kept as they are.
        input_shape, output_shape: of beats and of answers, both float32, with None for an axis that is free. None:
            beats ``(N, 1, length)``, and by the task logits ``(N, classes)`` or reconstructions of the shape of beats.
        training: what there is to tell of the training, fit for JSON.

    Raises:
        ValueError: no checkpoint has such a record; says which field.
    """
    shapes = {"input_shape": input_shape, "output_shape": output_shape}
    record = {
        "model": model,
        "files": [*files],
        "classes": classes,
        "length": length,
        "options": dict(options or {}),
        **{key: shape for key, shape in shapes.items() if shape is not None},
        "task": task_record(task),
        "training": training,
    }
    text = json.dumps(record, indent=1, allow_nan=False)
    checked(json.loads(text))
    (folder / CHECKPOINT_FILE).write_text(text + "\n", encoding="utf-8")


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
        network: nn.Module = model.build(outputs_of(record), record["length"], **record["options"])
        fold_parametrizations(network)
    except Exception as error:  # of the model's author, or of torch: options are whatever the file says
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise EcgEdgeError(
            f"{artifact.path / CHECKPOINT_FILE}: {model.name} cannot be built as it says: {told}"[:300],
            "train it again, or restore the file",
        ) from error
    return network


def save_weights(network: nn.Module, folder: Path, half: bool = False) -> list[str]:
    """Write a torch network's weights into the folder of its checkpoint, parametrizations folded.

    Args:
        half: store what is float32 as float16.

    Returns:
        The names of the files written, for ``write_checkpoint``.
    """
    import torch
    from safetensors.torch import save_file

    fold_parametrizations(network)
    tensors: dict[str, Any] = {}
    for key, value in network.state_dict().items():
        narrow = half and value.dtype == torch.float32
        tensors[key] = (value.half() if narrow else value).cpu().contiguous()
    save_file(tensors, folder / WEIGHTS_FILE)
    return [WEIGHTS_FILE]


def fold_parametrizations(network: nn.Module) -> None:
    """Replace every parametrized tensor (weight norm) by its value, in place."""
    from torch.nn.utils import parametrize

    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name)
