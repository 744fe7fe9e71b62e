"""A certificate as files keep it: ``portability.json``, and the answers that it is by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact, task_record
from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate.facts import plain, read, rule_of, told
from ecgedge.files import strict_json
from ecgedge.files.arrays import read_arrays
from ecgedge.files.locks import usable_folder, whole_file
from ecgedge.files.opening import read_bytes
from ecgedge.files.schema import SchemaError, free
from ecgedge.files.values import LINE
from ecgedge.measure import machine
from ecgedge.portability.certificate import Certificate
from ecgedge.portability.study import Answers

CERTIFICATE, ANSWERS = "portability.json", "answers.npz"
MOST_BYTES = 2**28
CHECK = "ecgedge check says what is wrong with it"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is told beside a certificate.

    Attributes:
        runtime: whose first kernels the others are held against.
        data: the data, in one line.
    """

    file: str = told(LINE, needed=True)
    format: str = told(LINE, needed=True)
    precision: str = told(LINE, needed=True)
    runtime: str = told(LINE, needed=True)
    data: str = told(LINE, needed=True)
    task: dict[str, Any] = told(free(dict), needed=True)
    machine: dict[str, Any] = told(free(dict), needed=True)
    versions: dict[str, Any] = told(free(dict), needed=True)


@dataclass(frozen=True)
class Record:
    """What ``portability.json`` says."""

    about: Circumstances
    certificate: Certificate

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        about = plain(self.about)
        last = {name: about.pop(name) for name in ("machine", "versions")}
        found = self.certificate
        return {**about, "verdict": found.verdict, "largest": found.largest, **plain(found), **last}

    @classmethod
    def from_record(cls, record: Any) -> Record:
        """Raises SchemaError, a ValueError, where it is no certificate."""
        parts = [of_group(kind, record) for kind in (Circumstances, Certificate)]
        return cls(parts[0], in_tuples(parts[1]))

    @classmethod
    def read(cls, folder: Path, name: str = CERTIFICATE) -> Record:
        """A file below a folder, to which no link leads. Raises EcgEdgeError where there is none, or a damaged one."""
        where = folder / name
        try:
            text = read_bytes(folder, name, MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise EcgEdgeError(f"{where.parent} holds no certificate", "ecgedge portability FILE -o FOLDER") from None
        try:
            return cls.from_record(strict_json.loads(text, str(where), CHECK, most=MOST_BYTES))
        except SchemaError as error:
            raise EcgEdgeError(f"{where} is no certificate: {error}"[:300], CHECK) from error


def of_group(kind: type, record: Any) -> Any:
    rule_of(kind)(record, "")
    return read(kind, record)


def in_tuples(found: Certificate) -> Certificate:
    """With tuples for the lists of JSON."""
    tried = tuple(replace(each, flips=tuple(each.flips)) for each in found.tried)
    return replace(found, tried=tried, not_tried=tuple(found.not_tried), saturation=tuple(found.saturation),
                   findings=tuple(found.findings), overflow=tuple(found.overflow))  # fmt: skip


@dataclass(frozen=True)
class Portability:
    """How a file answers elsewhere.

    Attributes:
        artifact: as it was used on these data.
        runtime: whose first kernels the others are held against.
        data: the data, in one line.
        answers: that the certificate is by, one for each that was tried.
        beats: all test beats ``(N, C, L)``.
        since: when it was found, where nothing was tried anew; empty: now.
        then: what was told beside it when it was found; None: that is now.
    """

    artifact: Artifact
    runtime: str
    data: str
    certificate: Certificate
    answers: tuple[Answers, ...] = field(repr=False)
    beats: np.ndarray = field(repr=False)
    since: str = ""
    then: Circumstances | None = field(default=None, repr=False)

    @cached_property
    def about(self) -> Circumstances:
        """What is told beside the certificate, the same wherever it is written."""
        if self.then:
            return replace(self.then, file=self.artifact.path.name, data=self.data)
        return Circumstances(
            file=self.artifact.path.name,
            format=self.artifact.format,
            precision=self.artifact.precision,
            runtime=self.runtime,
            data=self.data,
            task=task_record(self.artifact.task),
            machine=machine.describe(),
            versions=machine.versions(),
        )

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return Record(self.about, self.certificate).record()

    def write(self, folder: Path) -> None:
        """Keep it in a folder, with the answers by which ``ecgedge check`` finds its figures again.

        Raises:
            EcgEdgeError: the folder cannot be written, or is not empty.
        """
        check_free(folder)
        arrays = {"x": self.beats}
        for i, each in enumerate(self.answers):
            arrays |= {f"outputs_{i}": each.outputs, f"against_{i}": each.against, f"numbers_{i}": each.numbers}
        usable_folder(folder)
        with whole_file(folder / ANSWERS) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        with whole_file(folder / CERTIFICATE, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.record(), indent=1) + "\n")


def answers_of(folder: Path, certificate: Certificate) -> tuple[Answers, ...]:
    """The answers that lie beside a certificate. Raises EcgEdgeError where they are damaged, OSError without them."""
    arrays: Mapping[str, np.ndarray] = read_arrays(folder, ANSWERS)
    parts = ("outputs", "against", "numbers")
    try:
        return tuple(
            Answers(each, *(arrays[f"{part}_{i}"] for part in parts)) for i, each in enumerate(certificate.tried)
        )
    except KeyError as error:
        raise EcgEdgeError(f"{folder / ANSWERS} has no {error}", CHECK) from error


def check_free(folder: Path) -> None:
    """Raise EcgEdgeError where something lies there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EcgEdgeError(f"{folder} is there, and not empty", "name another folder")
