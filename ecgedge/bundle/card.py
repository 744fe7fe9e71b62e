"""What is known of a model, in words; and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecgedge.api.artifact import Anomaly, Artifact, Binary, Multilabel
from ecgedge.api.multilabel import thresholds_of
from ecgedge.api.records.rules import USER
from ecgedge.api.tasks import score_name
from ecgedge.api.tensors import TensorSpec
from ecgedge.bundle.facts import Facts
from ecgedge.files.escape import markdown, markdown_code

LIMITS = (
    "**Not a medical device.** For engineering comparisons, not for diagnosis, nor for any decision about a person."
)
MEASURED = """
## What was measured of this file

By `ecgedge matrix`, on the data and the machine that are named; other data and other machines give other figures.

"""
WEIGHTS = """
## The trained weights

The figures below are those of the float32 weights. The conversion to this file may have changed them;
`ecgedge evaluate` measures them for the file itself.
"""


def model_card(artifact: Artifact, record: Mapping[str, Any], facts: Facts) -> str:
    """The card: the file's own facts, what its user said of it, what is not known, what a run measured of it, and the
    card of its weights."""
    weights = facts.weights
    lines = [
        f"- file: `{record['file']}`, {markdown(what_it_is(artifact))}; bundled from {markdown_code(record['source'])}",
        f"- SHA-256: {markdown_code(artifact.digest)}",
        *([] if is_foreign(artifact) else [f"- model: {markdown_code(artifact.name)}, the name in its record"]),
        f"- precision: {markdown(precision(artifact))}",
        f"- input: {tensor(artifact.input)}. {record['preprocessing']['expects']}",
        f"- output: {tensor(artifact.output)}: {outputs(artifact)}",
        *([f"- made from, nearest first: {', '.join(map(markdown_code, artifact.parents))}"]
          if artifact.parents else []),
        *([f"- graph passes: {markdown(', '.join(artifact.passes))}"] if artifact.passes else []),
        *(f"- {markdown(sentence)}" for sentence in facts.told),
        f"- licence: {licence(bool(weights))}",
        *([] if weights else [f"- not known: {unknown(artifact, bool(facts.measured))}"]),
    ]  # fmt: skip
    text = f"# {markdown(facts.name)}\n\n{LIMITS}\n\n" + "\n".join(lines) + "\n"
    text += MEASURED + "".join(f"- {markdown(sentence)}\n" for sentence in facts.measured) if facts.measured else ""
    return text + WEIGHTS + "\n" + weights.replace("# ", "### ", 1).strip() + "\n" if weights else text


KINDS = {"multilabel": "labels of which several may hold", "anomaly": "autoencoder for anomaly detection"}


def what_it_is(artifact: Artifact) -> str:
    task = artifact.task
    kind = KINDS.get(task.kind, "classifier")
    if isinstance(task, Binary):
        kind = f"classifier with one output, whose positive class is {task.positive}"
    told = " (by its weights and operations)" if is_foreign(artifact) else ""
    return f"{artifact.format} {artifact.precision}{told}, {kind}"


def is_foreign(artifact: Artifact) -> bool:
    """Whether the file carries no record."""
    return artifact.maker.get("part") == USER


def precision(artifact: Artifact) -> str:
    if is_foreign(artifact):
        return f"{artifact.precision} by its weights and operations; the file carries no record"
    return f"{artifact.precision}, as the record in the file says"


def tensor(spec: TensorSpec) -> str:
    shape = ", ".join("N" if axis is None else str(axis) for axis in spec.shape)
    scaled = f", value = (stored - {spec.zero_point}) * {spec.scale:.9g}" if spec.scale is not None else ""
    return markdown_code(spec.name) + markdown(f" ({shape}) {spec.dtype}, axes {spec.layout}{scaled}")


def outputs(artifact: Artifact) -> str:
    task = artifact.task
    if isinstance(task, Anomaly):
        return (
            f"the beat given back; a {score_name(task.window)} above {task.threshold:.6g} is an anomaly. "
            f"Class {markdown(task.normal)} is normal"
        )
    if isinstance(task, Multilabel):
        limits = ", ".join(
            f"{label} {limit:.3g}" for label, limit in zip(task.labels, thresholds_of(task), strict=True)
        )
        made = "probability" if task.scores == "probabilities" else "logit, of which a sigmoid makes a probability"
        return f"for each label its {made}; it holds above its threshold: {markdown(limits)}"
    if isinstance(task, Binary):
        made = "probability" if task.scores == "probabilities" else "logit, of which a sigmoid makes the probability"
        first, second = map(markdown, task.labels)
        return f"the {made} of class {second}; below one half it is class {first}"
    return f"a score for each of the classes {markdown(', '.join(task.labels))}; the largest is the answer"


def expected_beats(is_shipped: bool, normalize: bool) -> str:
    """How beats have to come, a sentence or two."""
    if normalize:
        return "predict.py brings each beat to mean 0 and standard deviation 1 (N - 1), so they may come in any unit."
    if is_shipped:
        return (
            "Beats have to be z-normalised one by one, to mean 0 and standard deviation 1 (N - 1), before predict.py."
        )
    return (
        "Beats have to be as those that it was trained on, which is not known here; predict.py takes them as they are."
    )


def licence(is_shipped: bool) -> str:
    if is_shipped:
        return "Apache-2.0 (LICENSE), as ecgedge and the weights that it ships"
    return "Apache-2.0 (LICENSE) for predict.py and check.py; that of the model is not known here"


def unknown(artifact: Artifact, is_measured: bool) -> str:
    if is_measured:
        missing = "on which beats the trained model, which is named below with its SHA-256, was trained"
    else:
        missing = "what it was trained on, and how well it decides (`ecgedge evaluate` measures that)"
    return f"who made it, from what, {missing}" if is_foreign(artifact) else missing
