"""What a bundle holds, as names and bytes: the same model and test vectors give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact, files_of
from ecgedge.api.records.beats import LEADS
from ecgedge.bundle import card, csource
from ecgedge.bundle.facts import Facts
from ecgedge.bundle.vectors import Vectors, tolerance
from ecgedge.files import escape


@dataclass(frozen=True)
class Target:
    """What runs files of a format, and the scripts that a bundle of them holds.

    Attributes:
        runtime: the part.
        distribution: where the runtime comes from; empty: it is C, a folder that a compiler makes a program of.
        predict: the template of ``predict.py``.
        framework: the template of ``framework.py``, which loads the file with the framework that saved it; empty:
            ``predict.py`` does so itself.
    """

    runtime: str
    distribution: str
    predict: str
    framework: str = ""

    @property
    def has_array(self) -> bool:
        """Whether a bundle holds the file as an array in C, too: of such as programs in C take."""
        return bool(self.distribution) and not self.framework

    @property
    def readme(self) -> str:
        """The template of ``README.md``."""
        if self.framework:
            return "README_framework.md"
        return "README.md" if self.distribution else "README_c.md"


FOLDER = "model"  # of a model that is one; without a suffix, by which Keras takes it for a file
TARGETS = {
    "onnx": Target("cpu", "onnxruntime", "predict_onnx.py"),
    "tflite": Target("tflite", "ai-edge-litert", "predict_tflite.py"),
    "c": Target("c", "", "predict_c.py"),
    "keras": Target("keras", "tensorflow", "predict_framework.py", "framework_keras.py"),
    "h5": Target("keras", "tensorflow", "predict_framework.py", "framework_keras.py"),
    "saved_model": Target("saved_model", "tensorflow", "predict_framework.py", "framework_saved_model.py"),
    "pt2": Target("torch-program", "torch", "predict_framework.py", "framework_torch.py"),
    "torchscript": Target("torch-program", "torch", "predict_framework.py", "framework_torch.py"),
}


def contents(artifact: Artifact, model: Mapping[str, bytes], vectors: Vectors, facts: Facts) -> dict[str, bytes]:
    """The files of a bundle.

    Args:
        artifact: of a format of ``TARGETS``, with all that it needs said: no free length, no threshold of nan.
        model: the bytes of its file, or of those of its folder, by the names that they have in the bundle.

    Returns:
        Bytes by name, with / between folders; ``SHA256SUMS`` has the sums of all others.
    """
    target = TARGETS[artifact.format]
    record = record_of(artifact, vectors, facts) | {"file": named_in(artifact.format, model)}
    texts = {
        "record.json": json.dumps(record, indent=1, allow_nan=False) + "\n",
        "labels.json": json.dumps(list(artifact.task.labels)) + "\n",
        "predict.py": template(target.predict),
        "check.py": template("check.py"),
        "vectors/beats.csv": table(vectors.beats.reshape(len(vectors.beats), -1)),
        "vectors/outputs.csv": table(vectors.outputs),
        "README.md": readme(artifact, record, facts),
        "MODEL_CARD.md": card.model_card(artifact, record, replace(facts, told=told_of(facts))),
        "LICENSE": template("LICENSE"),
    }
    if target.framework:
        texts |= {"framework.py": template(target.framework), "requirements.txt": "\n".join(facts.requirements) + "\n"}
    if target.has_array:
        texts |= {
            "model.c": csource.model_source(facts.name, model[record["file"]]),
            "model.h": csource.model_header(facts.name, artifact),
            "vectors/vectors.h": csource.vectors_header(facts.name, artifact, vectors),
        }
    if facts.portability:
        texts["portability.json"] = facts.portability.text
    files = {name: text.encode() for name, text in texts.items()} | dict(model)
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return files | {"SHA256SUMS": sums.encode()}


def model_files(artifact: Artifact) -> dict[str, bytes]:
    """The bytes of a model's files, by their names in a bundle: a folder lies in one, C beside ``predict.py``."""
    if artifact.path.is_file():
        return {f"model.{artifact.format}": artifact.path.read_bytes()}
    within = f"{FOLDER}/" if TARGETS[artifact.format].distribution else ""
    files = files_of(artifact.path)
    return {f"{within}{file.relative_to(artifact.path).as_posix()}": file.read_bytes() for file in files}


def named_in(format: str, model: Mapping[str, bytes]) -> str:
    """What ``predict.py`` loads, of a model's files: the file, or the folder."""
    file = f"model.{format}"
    return file if file in model else FOLDER


def told_of(facts: Facts) -> tuple[str, ...]:
    """What is said of the file beside its record, a sentence each."""
    told = facts.told
    if facts.code:
        told = (
            *told,
            f"code: the file holds {facts.code}; who bundled it trusted its maker, and to load it is to run it",
        )
    if facts.portability is None:
        return told
    return (*told, f"portability: {facts.portability.sentence}; portability.json lists what was tried")


def record_of(artifact: Artifact, vectors: Vectors, facts: Facts) -> dict[str, Any]:
    """The record that the file carries, or that was told of it, and what ``predict.py`` and ``check.py`` need."""
    record = artifact.record()
    most, unit = tolerance(artifact, vectors.outputs, facts.portability)
    return record | {
        "source": facts.source,
        "length": vectors.beats.shape[2],
        **({"leads": vectors.beats.shape[1]} if vectors.beats.shape[1] > 1 else {}),
        "preprocessing": {
            "normalize": facts.normalize,
            "expects": card.expected_beats(bool(facts.weights), facts.normalize),
            "resampling": "none",
            "filtering": "none",
        },
        "answers": [escape.csv_cell(label) for label in artifact.task.labels],  # as predict.py writes them
        "vectors": {"beats": len(vectors.beats), "origin": vectors.origin, "tolerance": most, "unit": unit},
        **({"portability": facts.portability.record()} if facts.portability else {}),
        "bundled": dict(facts.bundled),
    }


ANSWERS = {"anomaly": "score and anomaly flag", "multilabel": "the labels that hold, and all probabilities,"}


def readme(artifact: Artifact, record: Mapping[str, Any], facts: Facts) -> str:
    """How to use the bundle, in a few lines."""
    target = TARGETS[artifact.format]
    warning = f"The file holds {facts.code}. Both scripts run it: trust its maker, or leave it."
    return Template(template(target.readme)).substitute(
        name=escape.markdown(facts.name),
        what=escape.markdown(card.what_it_is(artifact)),
        file=record["file"],
        distribution=target.distribution,
        numbers=numbers_of(record),
        answers=ANSWERS.get(artifact.task.kind, "class and probability"),
        expects=record["preprocessing"]["expects"],
        code=f"\n{escape.markdown(warning)}\n" if facts.code else "",
        prefix=escape.c_identifier(facts.name),
        beats=record["vectors"]["beats"],
        origin=escape.markdown(record["vectors"]["origin"]),
        tolerance=f"{record['vectors']['tolerance']:.3g} {record['vectors']['unit']}",
        bundled=escape.markdown(", ".join(facts.bundled.values())),
        licence=card.licence(bool(facts.weights)),
    )


def numbers_of(record: Mapping[str, Any]) -> str:
    """What a line of beats holds, in words."""
    leads, length = record.get("leads", 1), record["length"]
    if leads == 1:
        return f"{length} numbers"
    names = record["notes"].get(LEADS, ())
    named = f" ({escape.markdown(', '.join(names))})" if len(names) == leads else ""
    return (
        f"{leads * length} numbers (the {length} samples of one lead after those of the other, {leads} leads{named}),"
    )


def table(values: np.ndarray) -> str:
    """A line a beat, numbers separated by commas; float32 can be read back exactly."""
    return "".join(",".join(f"{value:.9g}" for value in row) + "\n" for row in values.tolist())


def template(name: str) -> str:
    return resources.files("ecgedge").joinpath("bundle", "templates", name).read_text(encoding="utf-8")
