"""The contracts of exporters and quantizers: what a conversion must keep, and what it must not claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Artifact, copy_to, digest_of, files_of
from ecgedge.api.parts import ANY, Context, Runtime
from ecgedge.api.records import from_record
from ecgedge.testing.contract import Contract, answers, draw_for, nearly, stored

CALIBRATION = 100  # beats


class ConversionContract(Contract):
    """What exporters and quantizers share. Set ``part``, and give ``source`` what it converts.

    Attributes:
        tolerance: between the answers of source and result, relative where they are above 1.
        runtimes: for what no installed runtime takes.
    """

    tolerance: float
    runtimes: tuple[Runtime, ...] = ()

    def source(self, folder: Path) -> Artifact:
        """An artifact in a format that the part accepts; files may be left in ``folder``. Called once a class."""
        raise NotImplementedError

    def answers(self, artifact: Artifact, beats: np.ndarray) -> np.ndarray:
        """What source or result answer; override it for a format without a runtime."""
        return answers(artifact, beats, self.runtimes)

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        raise NotImplementedError

    def promised(self) -> tuple[str, str]:
        """Format and precision that the result should have."""
        raise NotImplementedError

    def test_it_writes_where_it_is_told(self) -> None:
        out, made = self.made()
        assert isinstance(made, Artifact), f"it returned {made!r}, which is no Artifact"
        assert made.path == out, f"the artifact is at {made.path}, it was told {out}"
        assert out.exists(), f"nothing was written at {out}"
        assert files_of(out), f"{out} is an empty folder"

    def test_it_makes_what_it_promises(self) -> None:
        _, made = self.made()
        assert (made.format, made.precision) == self.promised(), (
            f"it made {made.format} {made.precision}, it promises {' '.join(self.promised())}"
        )
        assert made.task == self.given.task, f"the task became {made.task}"
        assert made.parents[:1] == (self.given.digest,), "parents: use source.derive(...)"

    def test_the_source_is_left_as_it_was(self) -> None:
        self.made()
        assert digest_of(self.given.path) == self.given.digest, "the source was written to"

    def test_answers_are_those_of_the_source(self) -> None:
        _, made = self.made()
        beats = self.beats(20, seed=1)
        nearly(self.answers(self.given, beats), self.answers(made, beats), self.tolerance, "source and result")

    def test_done_twice_it_answers_the_same(self) -> None:
        (_, one), (_, two) = self.made(), self.made(time=2)
        beats = self.beats(20, seed=1)
        nearly(self.answers(one, beats), self.answers(two, beats), 1e-6, "the same conversion done twice")

    def test_the_batch_is_honoured(self) -> None:
        """``context.batch`` where ``fixed_batch`` says so, else that of the source."""
        for batch in (1, 4):
            _, made = self.made(batch=batch)
            expected = batch if self.part.fixed_batch else self.given.input.batch
            assert (made.input.batch, made.output.batch) == (expected, expected), (
                f"for batch {batch} it made {made.input} and {made.output}, batch {expected} is expected"
            )
            assert len(self.answers(made, self.beats(8))) == 8

    def test_the_record_can_be_read_back(self) -> None:
        _, made = self.made()
        try:
            again = from_record(made.path, json.loads(json.dumps(made.record(), allow_nan=False)))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"the record is no JSON: {error}") from error
        assert again == made, f"the record reads as {again}"

    def test_a_damaged_source_is_refused(self) -> None:
        """It raises: what cannot be read must not become an artifact."""
        if ANY in self.part.accepts:  # it copies whatever there is
            return

        def damage(folder: Path) -> Path:
            copy_to(self.given.path, folder / self.given.path.name)
            for file in files_of(folder / self.given.path.name):
                if file.suffix != ".json":
                    file.write_bytes(b"")
            return folder / self.given.path.name

        path = self.once("damaged", damage)
        damaged = from_record(path, self.given.record(), self.given.model)
        try:
            made = self.convert(damaged, path.with_name("out"), self.context())
        except Exception:  # which one is the part's affair
            return
        raise AssertionError(f"of a source of empty files it made {made!r}")

    @property
    def given(self) -> Artifact:
        return self.once("source", lambda folder: stored(self.source(folder)))

    def made(self, batch: int = 1, time: int = 1) -> tuple[Path, Artifact]:
        """The path that was given, and what was returned."""

        def make(folder: Path) -> tuple[Path, Artifact]:
            out = folder / f"made.{self.promised()[0]}"
            return out, self.convert(self.given, out, self.context(batch))

        return self.once((batch, time), make)

    def beats(self, count: int, seed: int = 0) -> np.ndarray:
        return draw_for(self.given, count, seed)

    def context(self, batch: int = 1) -> Context:
        return Context(self.beats(CALIBRATION), batch=batch, options=dict(self.part.defaults))

    def work(self) -> dict[str, Any]:
        out = self.once("child", lambda folder: folder / f"made.{self.promised()[0]}")
        return {"source": self.given, "out": str(out), "context": self.context()}


class ExporterContract(ConversionContract):
    """Answers are kept; so is the precision."""

    kind = "exporter"
    tolerance = 1e-4

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return self.part.convert(source, out, context)

    def promised(self) -> tuple[str, str]:
        return self.part.produces, self.given.precision

    def test_it_leads_from_one_format_to_another(self) -> None:
        assert self.given.format in self.part.accepts, f"accepts {self.part.accepts}, the source is {self.given.format}"
        assert self.part.produces not in self.part.accepts, f"from {self.part.accepts} to {self.part.produces}"


class QuantizerContract(ConversionContract):
    """Answers may change by what the precision costs: ``tolerance`` is wide, set it for your part."""

    kind = "quantizer"
    tolerance = 0.2

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return self.part.quantize(source, out, context)

    def promised(self) -> tuple[str, str]:
        return self.part.produces or self.given.format, self.part.precision

    def test_it_accepts_what_it_is_tested_with(self) -> None:
        accepts = self.part.accepts
        assert self.given.format in accepts or ANY in accepts, f"accepts {accepts}, the source is {self.given.format}"

    def test_another_precision_is_another_file(self) -> None:
        """A precision that is claimed and not given is worse than an error."""
        _, made = self.made()
        if made.format != self.given.format or made.precision == self.given.precision:
            return
        assert digest_of(made.path) != self.given.digest, f"the file is its source, and says {made.precision}"
        beats = self.beats(20, seed=1)
        before, after = self.answers(self.given, beats), self.answers(made, beats)
        assert not np.array_equal(before, after), f"{made.precision} answers exactly as {self.given.precision}"
