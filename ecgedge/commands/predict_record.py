"""``ecgedge predict RECORD``: a continuous record in, answers with their times out, a minute at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.commands.predict import CHUNK, Anomalies, Decisions, Labelled, Predictor
from ecgedge.errors import EcgEdgeError, counted
from ecgedge.files import strict_json
from ecgedge.files.locks import whole_file
from ecgedge.files.notices import note

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.data.records import Left, Piece, Recipe, Record, Way

NOTE = '"'  # the symbol of an annotation that says something in words
LONGEST_NOTE = 80


@dataclass(frozen=True)
class Timed:
    """Decisions for beats or segments of a record.

    Attributes:
        samples: at each R peak, or at which each segment begins, ``(N,)``.
        seconds: the same, from the begin of the record.
    """

    samples: np.ndarray
    seconds: np.ndarray
    decisions: Decisions


@dataclass
class Annotations:
    """What was decided, kept for a WFDB annotation file: a sample and a word each."""

    samples: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def add(self, timed: Timed) -> None:
        found = timed.decisions
        self.samples += timed.samples.tolist()
        if isinstance(found, Anomalies):
            self.words += ["anomaly" if flag else "normal" for flag in found.flags]
        elif isinstance(found, Labelled):
            self.words += found.words
        else:
            self.words += found.labels

    def write(self, out: Path, rate: float) -> None:
        """Write ``NAME.EXTENSION``. A class that is a symbol of the standard is that, any other a note in words.

        Raises:
            EcgEdgeError: it cannot be written, or nothing was decided.
        """
        import tempfile

        from ecgedge.data.records.recipe import BEATS
        from ecgedge.data.records.record import told_in_one_line

        if not self.samples:
            raise EcgEdgeError(f"{out}: there is nothing to annotate", "no beat was found in the record")
        symbols = [word if len(word) == 1 and word in BEATS else NOTE for word in self.words]
        notes = [
            "" if symbol != NOTE else word[:LONGEST_NOTE] for symbol, word in zip(symbols, self.words, strict=True)
        ]
        with tempfile.TemporaryDirectory() as scratch:
            with told_in_one_line(out, "an annotation file", "name it RECORD.EXTENSION, of letters"):
                import wfdb

                extension = out.suffix[1:]
                wfdb.wrann(out.stem, extension, np.array(self.samples), symbol=symbols, aux_note=notes, fs=rate,
                           write_dir=scratch)  # fmt: skip
            content = Path(scratch, out.name).read_bytes()
        with whole_file(out, "wb") as file:
            file.write(content)


def check_annotations_out(out: Path) -> None:
    """Raise EcgEdgeError, before any work, where a path cannot be that of a WFDB annotation file."""
    extension = out.suffix[1:]
    if not (extension.isascii() and extension.isalpha() and out.stem.replace("_", "").replace("-", "").isalnum()):
        raise EcgEdgeError(f"{out} cannot be a WFDB annotation file", "name it RECORD.EXTENSION, such as 100.ecgedge")


def kept_recipe(place: str | os.PathLike[str]) -> Recipe | None:
    """The recipe that a data set, or the folder of a checkpoint that was trained on it, keeps; None where it has none.

    Raises:
        EcgEdgeError: it cannot be read.
    """
    from ecgedge.api.artifact import CHECKPOINT_FILE
    from ecgedge.data.readers.npz import RECIPE, load
    from ecgedge.data.records import Recipe

    path = Path(place)
    if path.is_dir() and (path / CHECKPOINT_FILE).is_file():
        try:
            text = strict_json.read(path / CHECKPOINT_FILE)["training"]["data"]["recipe"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Recipe.from_json(str(text), str(path))
    if path.suffix.lower() != ".npz" or not path.is_file():
        return None
    found = load(path).get(RECIPE)
    return None if found is None else Recipe.from_json(str(found), str(path))


def start_of(like: Path | None, artifact: Artifact) -> Recipe:
    """The recipe to begin with: that of what the user names, else of what the model was trained on, else the usual one.

    Beats are z-normalised in any case where the model's record says that those of its training were.

    Raises:
        EcgEdgeError: what the user names keeps none.
    """
    from ecgedge.api.records.beats import RECIPE, wants_normalized
    from ecgedge.data.records import Recipe

    if like is not None:
        found = kept_recipe(like)
        if found is None:
            what = "keeps no recipe" if like.exists() else "does not exist"
            raise EcgEdgeError(f"--like {like} {what}", "name an .npz of ecgedge data cut, or a checkpoint of it")
    else:
        text = artifact.notes.get(RECIPE)
        found = Recipe.from_json(str(text), artifact.name) if text else Recipe()
    return replace(found, normalize=found.normalize or wants_normalized(artifact))


def compare_with_training(artifact: Artifact, recipe: Recipe, of: str) -> None:
    """Warn where a record is cut otherwise than the beats that a model was trained on.

    Raises:
        EcgEdgeError: its beats would be z-normalised, and the model's were not.
    """
    from ecgedge.api.records.beats import check_not_normalized
    from ecgedge.convert.preparation import warn_of_other_cut

    check_not_normalized(artifact, recipe.normalize)
    warn_of_other_cut(artifact, recipe, of)


def way_for(record: Record, recipe: Recipe, artifact: Artifact) -> Way:
    """How the recipe is followed in a record for a model: with ``stride`` alone, in segments of the model's length.

    Raises:
        EcgEdgeError: the model takes beats of another length or of other leads, or it is not said where beats are.
    """
    from ecgedge.data.records import way_of

    if recipe.window is None and recipe.annotation is None and not recipe.detect:
        raise EcgEdgeError(
            f"{record.name}: where are its beats?",
            "say --detect, --annotation NAME, --stride SECONDS for segments, or --like what the model was trained on",
        )
    way = way_of(record, recipe)
    leads, length = artifact.input.leads, artifact.input.length
    if leads not in (None, len(way.leads)):
        have = ", ".join(way.names(record))
        told = f"{artifact.name} takes beats of {counted(leads, 'lead')}, and {record.name} has {have}"
        raise EcgEdgeError(told, "say which with --leads NAME,...")
    if length not in (None, way.length):
        rate = length / recipe.span
        told = f"{recipe.span:g} s of {record.name} are {way.length} samples at {way.chain.rate_out:g} a second"
        raise EcgEdgeError(
            f"{told}, {artifact.name} takes {length}",
            f"say --resample {rate:g}, --before and --after, or --like what it was trained on",
        )
    return way


def in_segments(recipe: Recipe, stride: float, record: Record, artifact: Artifact) -> Recipe:
    """The recipe with segments as long as what the model takes. Raises EcgEdgeError where it takes any length."""
    length = artifact.input.length
    if length is None:
        raise EcgEdgeError(f"{artifact.name} takes segments of any length", "say --like what it was trained on")
    window = length / (recipe.rate or record.rate)
    return replace(recipe, window=window, stride=stride, annotation=None, detect=False)


def answers(record: Record, way: Way, predictor: Predictor, left: Left) -> Iterator[Timed]:
    """The decisions for a record, in the order of their times; no more than a piece of it is held.

    What can be wrong from the begin, such as annotations that are missing, is told before the first is asked for.

    Raises:
        EcgEdgeError: a part of the record cannot be read.
        ConversionError: the model gives no answers.
    """
    from ecgedge.data.records import pieces

    found = pieces(record, way, left, labelled=False)
    first = next(found, None)
    return decided(chain([first] if first else [], found), record, predictor)


def decided(found: Iterable[Piece], record: Record, predictor: Predictor) -> Iterator[Timed]:
    """The decisions for each piece, a chunk at a time."""
    for piece in found:
        for start in range(0, len(piece.x), CHUNK):
            at = piece.at[start : start + CHUNK]
            yield Timed(at, at / record.rate, predictor.decide(piece.x[start : start + CHUNK]))


def opened_record(path: Path) -> Record:
    """A record; what was assumed of it is a note. Raises EcgEdgeError where it cannot be read."""
    from ecgedge.data.records import open_record

    record = open_record(path)
    for told in record.told:
        note(told)
    return record


def seconds_of(record: Record) -> float:
    return record.length / record.rate
