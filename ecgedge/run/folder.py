"""The folder of a run, as every command reads it. What is found wrong is told in one line, before any of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api import tasks
from ecgedge.api.artifact import Anomaly, Multilabel, Task, digest_of
from ecgedge.api.records import from_record, task_from_record
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.files.arrays import read_array, read_arrays
from ecgedge.files.opening import read_bytes, size_of
from ecgedge.run.layout import finished_row
from ecgedge.run.reading import (
    BEATS,
    JOURNAL,
    MOST_LINES,
    ROWS,
    RUN,
    Record,
    blocks_of,
    check_entries,
    checked,
    damaged,
    read_about,
    read_records,
    sha256_of,
)
from ecgedge.run.request import MatrixRequest
from ecgedge.run.row import Row


@dataclass(frozen=True)
class Beats:
    """Scored beats ``(N, C, L)``, their class indices ``(N,)`` or which labels they have ``(N, K)``, and their numbers
    among the test beats ``(N,)``."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    leads: tuple[str, ...] = ()  # what they are called; empty: nothing says so


@dataclass(frozen=True)
class RunFolder:
    """What lies in the folder of a run, checked.

    Attributes:
        path: of the folder.
        about: its ``run.json``.
        records: of its journal, in order; a torn last line is left out.
    """

    path: Path
    about: dict[str, Any]
    records: list[Record]

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Raises EcgEdgeError where the folder holds no run, or one that is not as this version writes it."""
        return cls(path, read_about(path), read_records(path)[0])

    @cached_property
    def request(self) -> MatrixRequest:
        """What was asked for."""
        return MatrixRequest.from_record(self.about["request"])

    def rows(self) -> list[Row]:
        """Of ``rows.jsonl``. Raises EcgEdgeError where they are damaged; FileNotFoundError where there are none."""
        rows: list[Row] = []
        seen: set[str] = set()
        for number, line in enumerate(read_bytes(self.path, ROWS, MOST_LINES).splitlines(), 1):
            where = f"{self.path / ROWS}, line {number}"
            row = Row.from_record(checked(lambda told: finished_row(told, "it"), line, where))
            if fault := f"it is a second row of {row.id}" if row.id in seen else self.fault_of(row):
                raise damaged(where, fault)
            seen.add(row.id)
            rows.append(row)
        return rows

    def fault_of(self, row: Row) -> str:
        """Why a row cannot be one of this run; empty where it can."""
        task, labels = self.tasks.get(row.id), self.about["labels"]
        if task and task.judged_as != row.task:
            return f"it is for {row.task}, its artifact for {task.kind}"
        if row.status == "ok" and not row.emulated and row.id not in self.blocks:
            return "it is ok, and the journal tells of no call that was timed"
        confusion = row.quality.confusion if row.quality else None
        if confusion is not None and len(confusion) != len(labels):
            return f"its confusion is of {len(confusion)} classes, the data has {len(labels)}"
        return ""

    @cached_property
    def artifacts(self) -> dict[str, Record]:
        """The packed artifact of each cell that has one."""
        return {record["cell"]: record["artifact"] for record in self.records if record.get("artifact")}

    @cached_property
    def blocks(self) -> dict[str, list[Record]]:
        """The timed blocks of each cell and twin that has some."""
        return blocks_of(self.records)

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """What the outputs of a cell mean, by cell. Raises EcgEdgeError where a record does not say it."""
        found = {}
        for cell, packed in self.artifacts.items():
            try:
                found[cell] = task_from_record(packed["record"]["task"])
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise damaged(f"{self.path / JOURNAL}: the artifact of {cell}", error) from error
        return found

    @cached_property
    def beats(self) -> Beats | None:
        """The scored beats; None where they are no longer in the folder."""
        try:
            told = read_arrays(self.path, BEATS, ("x", "y", "index"))
        except FileNotFoundError:
            return None
        x, y, index = told["x"], told["y"], told["index"]
        if x.ndim != 3 or not x.size or x.dtype.kind != "f" or not np.isfinite(x).all():
            raise damaged(self.path / BEATS, f"x of shape {x.shape} holds no beats")
        for name, values in (("y", y), ("index", index)):
            of_labels = name == "y" and values.ndim == 2 and values.shape[1:] == (len(self.about["labels"]),)
            if values.ndim != 1 + of_labels or len(values) != len(x) or not is_count(values):
                raise damaged(self.path / BEATS, f"{name} does not tell of each beat")
        if y.max() >= (len(self.about["labels"]) if y.ndim == 1 else 2):
            raise damaged(self.path / BEATS, f"a beat is of class {y.max()}, {len(self.about['labels'])} are known")
        names = self.about.get("leads", ())
        return Beats(x, y.astype(np.int64), index, tuple(names) if len(names) == x.shape[1] else ())

    def has_outputs(self, cell: str) -> bool:
        """Whether the answers of a cell, and the beats that they are to, are still in the folder."""
        return all(size_of(self.path, name) is not None for name in (BEATS, f"cells/{cell}.outputs.npy"))

    def outputs(self, cell: str) -> np.ndarray | None:
        """The answers of a cell to the scored beats, ``(N, values)``; None where they or the beats are gone.

        Raises:
            EcgEdgeError: they are no answers to these beats, or nothing tells what they mean.
        """
        name = f"cells/{cell}.outputs.npy"
        if not self.has_outputs(cell) or self.beats is None:
            return None
        outputs, task = read_array(self.path, name), self.tasks.get(cell)
        if task is None:
            raise damaged(self.path / name, "the journal does not say what they mean")
        if task.labels != tuple(self.about["labels"]):
            raise damaged(self.path / JOURNAL, f"the classes of {cell} are not those of {RUN}")
        if isinstance(task, Multilabel) != (self.beats.y.ndim == 2):
            raise damaged(self.path / JOURNAL, f"{cell} is for {task.kind}, which {BEATS} is not")
        leads, length = self.beats.x.shape[1:]
        count = task.values(leads * length)
        if isinstance(task, Anomaly) and task.window > length:
            raise damaged(self.path / JOURNAL, f"{cell} has a window of {task.window}, a beat {length} samples")
        values = outputs.reshape(len(outputs), -1) if outputs.ndim > 1 and outputs.size else outputs
        if values.shape != (len(self.beats.y), count) or not np.isfinite(values).all():
            told = f"outputs of shape {outputs.shape} are no answers to {counted(len(self.beats.y), 'beat')}"
            raise damaged(self.path / name, told)
        return tasks.of_classes(values, task)

    def has_samples(self, name: str) -> bool:
        """Whether the samples of a cell or twin are still in the folder."""
        return size_of(self.path, f"samples/{name}.i64") is not None

    def with_samples(self) -> list[Record]:
        """The records, without the twins of which samples are gone: of these there is no noise to tell."""
        return [
            record
            for record in self.records
            if record["event"] != "twin" or all(self.has_samples(record[key]) for key in ("cell", "name"))
        ]

    def check_for_resume(self, trusted: bool) -> None:
        """What is gone on with must be as it was left: the cells planned, and each file that the journal names.

        Args:
            trusted: the user vouches for code in the files.

        Raises:
            EcgEdgeError: something in the folder is no file or folder, a cell was not planned, a file is another
                than the journal says, or one runs code that the user does not trust.
        """
        check_entries(self.path)
        planned = {*self.about["cells"], *self.about["skips"]}
        for record in self.records:
            if record["event"] == "scored" and record["cell"] not in planned:
                raise damaged(self.path / JOURNAL, f"{record['cell']!r} is no cell that {RUN} planned")
        known: dict[str, str] = {}
        for name, digest in self.about.get("files", {}).items():
            self.check_file(name, digest, known)
        for record in (record for record in self.records if record["event"] == "scored"):
            cell, row = record["cell"], record["row"]
            if row["model"] not in self.about["sources"]:
                raise damaged(self.path / JOURNAL, f"{cell} is of {row['model']!r}, no model that {RUN} names")
            for name, digest in record.get("files", {}).items():
                self.check_file(name, digest, known)
            packed = record.get("artifact") or {"path": None, "record": {"digest": None}}
            if (row.get("artifact"), row.get("digest")) != (packed["path"], packed["record"].get("digest")):
                raise damaged(self.path / JOURNAL, f"the row of {cell} does not name its artifact")
            if record.get("artifact"):
                self.check_artifact(cell, packed, trusted, known)

    def check_file(self, name: str, digest: str, known: dict[str, str]) -> None:
        """A file that is there has that SHA-256; ``known``: those of the files that were looked at."""
        if name not in known:
            known[name] = sha256_of(self.path, name)
        if known[name] not in ("", digest):
            raise damaged(self.path / name, "it is not the file that was written then")

    def check_artifact(self, cell: str, packed: Record, trusted: bool, known: dict[str, str]) -> None:
        """The artifact of a cell, where it is still there, is the one that was scored; its record can be read."""
        where = f"{self.path / JOURNAL}: the artifact of {cell}"
        try:
            artifact = from_record(self.path / packed["path"], packed["record"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(where, error) from error
        if not packed["path"].startswith("artifacts/"):
            raise damaged(where, f"it is in {packed['path']!r}, and not in artifacts/")
        if artifact.trusted and not trusted:
            told = f"{artifact.path} runs code of its own"
            raise EcgEdgeError(told, "--trust runs it: give that for a run whose maker you trust")
        if packed["path"] not in known:
            try:
                known[packed["path"]] = digest_of(artifact.path) if artifact.path.exists() else ""
            except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
                raise damaged(artifact.path, error) from error
        if known[packed["path"]] not in ("", artifact.digest):
            raise damaged(artifact.path, "it is not the file that was scored")


def is_count(values: np.ndarray) -> bool:
    """Whether an array holds whole numbers from 0."""
    return values.dtype.kind in "iu" and not (values < 0).any()
