"""``ecgedge bundle``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    NORMALIZE,
    FiniteRange,
    column_options,
    file_options,
    keep_normalize,
    limit_options,
    limits_of,
    told_columns,
    trusted,
)
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.files import escape
from ecgedge.files.locks import usable_folder

if TYPE_CHECKING:
    import numpy as np

    from ecgedge.api.artifact import Artifact
    from ecgedge.api.parts import Runtime
    from ecgedge.bundle import Facts, Portable
    from ecgedge.commands.of_run import RowOfRun
    from ecgedge.convert.opening import Opener
    from ecgedge.data.dataset import Dataset
    from ecgedge.plugins import Parts
    from ecgedge.workers.standins import RuntimeElsewhere, SessionElsewhere

BEATS = 20  # synthetic ones, as test vectors: each class is there
MOST_VECTORS = 1000  # of a user's file: check.py runs them all, and C has them as an array


@click.command()
@click.argument("file", metavar="FILE|RUN")
@click.argument("row", nargs=-1, metavar="[ROW]")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="NAME.zip, or a folder. Default: a zip here.")
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option("--sign", "private", type=click.Path(path_type=Path), metavar="KEY.pem",
              help="Sign it with this Ed25519 key; ecgedge check --verify holds it to that.")  # fmt: skip
@click.option("--vectors", type=click.Path(path_type=Path),
              help="Take test vectors from this file, lines or an array, 1,000 beats at most; they travel in the "
                   "bundle. Default: synthetic beats.")  # fmt: skip
@click.option("--portability", "certificate", type=click.Path(path_type=Path), metavar="FOLDER",
              help="What ecgedge portability -o kept of this file goes along, and bounds the vectors. Default: what "
                   "the run found, where it was asked to.")  # fmt: skip
@click.option("--labels", metavar="NAME,...", help="Of a foreign classifier, in the order of its outputs.")
@click.option("--threshold", type=FiniteRange(0), help="Of a foreign autoencoder: an error above is an anomaly.")
@click.option("--dataset", metavar="ecg5000|synthetic|PATH",
              help="Instead of these two: labels of the data, threshold fitted on its training beats.")  # fmt: skip
@column_options
@click.option("--normalize", is_flag=True, expose_value=False, callback=keep_normalize,
              help="predict.py z-normalises each beat; the built-in weights expect that.")  # fmt: skip
@file_options
@limit_options
def bundle(file: str, row: tuple[str, ...], out: Path | None, force: bool, private: Path | None, vectors: Path | None,
           certificate: Path | None, labels: str | None, threshold: float | None, dataset: str | None, timeout: float,
           memory: int | None) -> None:  # fmt: skip
    """Pack a file, or a folder of C, with all that it takes to run and check it without ecgedge.

    ONNX, TFLite; and as their frameworks saved them, to run there: Keras, SavedModel, .pt2, TorchScript.

    Of a run, ROW is the id of a row or words that only it has; without it, the row that the run suggests. The card
    then states what was measured of it, on which data and which machine.

    \b
    ecgedge bundle tcn.tflite -o tcn.zip
    ecgedge bundle runs/int8 tflite full-int8 -o tcn.zip
    ecgedge bundle theirs.onnx --labels normal,PVC,other -o theirs.zip
    ecgedge bundle tcn.tflite --sign key.pem
    """
    from ecgedge.audit.signature import SIGNATURE, SUMS
    from ecgedge.bundle import TARGETS, Vectors, check_target, contents, place
    from ecgedge.cli.check import signing_key
    from ecgedge.commands.of_run import check_row, row_of_run
    from ecgedge.commands.predict import prepared_as_trained
    from ecgedge.convert.opening import with_threshold
    from ecgedge.workers.availability import pick_runtime

    key = private and signing_key(private)
    parts = common.load_parts()
    limits = limits_of(timeout, memory)
    with tempfile.TemporaryDirectory() as scratch, common.opener(parts, limits) as opener:
        of_run = row_of_run(file, row, parts, trusted()) if check_row(file, row) else None
        artifact = of_run.artifact if of_run else opener.find_artifact(file)
        if artifact.format not in TARGETS:
            *others, last = TARGETS
            first = f"name a row of these: ecgedge choose {file}"
            raise EcgEdgeError(
                f"{artifact.path} is {artifact.format}, a bundle takes {', '.join(others)} or {last}",
                first if of_run else f"first: ecgedge convert {file} --to tflite",
            )
        name = bundle_name(artifact, of_run)
        target = out or Path(f"{name}.zip")
        usable_folder(target.absolute().parent)
        check_target(target, force)
        if of_run:
            check_nothing_told(artifact, {"--labels": labels, "--threshold": threshold, "--dataset": dataset})
        data = common.load_data(dataset) if dataset else None
        if not of_run:
            artifact = with_meaning(artifact, data, labels, threshold, opener)
        runtime = pick_runtime(artifact.format, TARGETS[artifact.format].runtime, parts, opener.workers)
        session, model = load_alone(artifact, runtime, Path(scratch))
        if data:
            artifact = with_threshold(artifact, data, lambda _, split: infer(artifact, session, split.x), common.aside)
        asked = click.get_current_context().meta[NORMALIZE] or bool(of_run and of_run.normalize)
        normalize = prepared_as_trained(artifact, asked)
        beats, origin = vector_beats(artifact, vectors, data, normalize)
        outputs = infer(artifact, session, beats)
        artifact = replace(artifact, input=artifact.input.settled(beats, artifact.input.batch))
        told = () if of_run else told_by_user(artifact, data, labels)
        facts = facts_of(artifact, name, runtime, parts, told, normalize, of_run.measured() if of_run else ())
        certificate = certificate or (of_run.certificate if of_run else None)
        facts = replace(
            facts,
            portability=portable(certificate, artifact) if certificate else None,
            code=(runtime.code_in(artifact.path) or "") if artifact.trusted else "",
        )
        files = contents(artifact, model, Vectors.of(artifact, beats, outputs, origin), facts)
        if key:
            files |= {SIGNATURE: key.sign(files[SUMS])}
        prove(files, Path(scratch), runtime)
    place(files, name, target)
    size = target.stat().st_size if target.is_file() else sum(map(len, files.values()))
    common.say(f"{target}: {name}, {len(files)} files, {size:,} bytes; its own check passed on {len(beats)} beats")


def bundle_name(artifact: Artifact, of_run: RowOfRun | None) -> str:
    """Of the folder in the zip: model and precision, or the name of the user's file."""
    from ecgedge.api.records.rules import USER

    if of_run:
        return escape.file_name(f"{Path(of_run.row.model).stem}-{artifact.precision}")
    name = artifact.name if artifact.maker.get("part") == USER else f"{artifact.name}-{artifact.precision}"
    return escape.file_name(name)


def check_nothing_told(artifact: Artifact, given: Mapping[str, object]) -> None:
    """Raise EcgEdgeError where an option says what the run knows of its files."""
    if option := next((name for name, value in given.items() if value is not None), None):
        raise EcgEdgeError(f"{artifact.path}: {option} beside what its run says of it", f"leave {option} out")


def with_meaning(
    artifact: Artifact, data: Dataset | None, labels: str | None, threshold: float | None, opener: Opener
) -> Artifact:
    """The file with what its outputs mean: by its record, by data, or as the options say.

    Raises:
        EcgEdgeError: they do not say it, or say what is known already.
    """
    from ecgedge.api.artifact import Classification
    from ecgedge.api.records.rules import USER
    from ecgedge.api.records.told import check_told
    from ecgedge.convert.opening import with_meaning as as_told

    for option, value in (("--labels", labels), ("--threshold", threshold)):
        if value is not None and (data or artifact.maker.get("part") != USER):
            source = f"of {data.name}" if data else "in its record"
            raise EcgEdgeError(f"{artifact.path}: {option} beside what is told {source}", f"leave {option} out")
    if data:
        return opener.fit_to_data(artifact, data)
    artifact = as_told(artifact, threshold, opener)
    if labels is None:
        return artifact
    names = tuple(name.strip() for name in labels.split(","))
    if not isinstance(artifact.task, Classification):
        raise EcgEdgeError(f"{artifact.path} is an autoencoder, which has no --labels", "leave --labels out")
    if len(names) != len(artifact.task.labels) or len({*names}) != len(names) or "" in names:
        raise EcgEdgeError(
            f"--labels {labels}: {artifact.path} gives {len(artifact.task.labels)} scores", "name each, once"
        )
    return check_told(replace(artifact, task=replace(artifact.task, labels=names)))


def load_alone(
    artifact: Artifact, runtime: RuntimeElsewhere, scratch: Path
) -> tuple[SessionElsewhere, dict[str, bytes]]:
    """The file or folder loaded from where nothing else is, as in the bundle, and its bytes by their names there.

    Raises:
        EcgEdgeError: it needs another file, or more time or memory than it may take.
    """
    from ecgedge.api.artifact import copy_to
    from ecgedge.bundle import FOLDER, model_files
    from ecgedge.workers.client import ChildError

    alone = scratch / (f"model.{artifact.format}" if artifact.path.is_file() else FOLDER)
    copy_to(artifact.path, alone)
    moved = replace(artifact, path=alone)
    model = model_files(moved)
    try:
        session = runtime.load(moved, threads=1)
        session.about = artifact.path
        return session, model
    except EcgEdgeError as error:
        if isinstance(error.__cause__, ChildError):  # of time or memory, wherever it lies
            raise EcgEdgeError(error.message.replace(str(alone), str(artifact.path)), error.hint) from error
        reason = error.message.replace(str(alone), "it")
        raise EcgEdgeError(
            f"{artifact.path} cannot be used away from its folder: {reason}"[:300],
            "save it with its weights inside (torch.onnx.export: external_data=False)",
        ) from error


def infer(artifact: Artifact, session: SessionElsewhere, beats: np.ndarray) -> np.ndarray:
    """Outputs for all beats. Raises ConversionError where they are no answers."""
    from ecgedge.api import tasks

    outputs = session.infer(beats)
    if reason := tasks.wrong(outputs, beats, artifact.task):
        raise ConversionError(f"{artifact.path} gives no answers: {reason}")
    return outputs


def vector_beats(
    artifact: Artifact, path: Path | None, data: Dataset | None, normalize: bool
) -> tuple[np.ndarray, str]:
    """The beats of the test vectors, ``(N, C, L)`` float32 as the model takes them, and whose they are."""
    import numpy as np

    from ecgedge.commands.predict import beats_in
    from ecgedge.data.synthetic import synthetic_beats

    if path is None:
        length = artifact.input.length or (data.length if data else 140)
        leads = artifact.input.leads or (data.leads if data else 1)
        return synthetic_beats(BEATS, length, leads), "synthetic beats"
    parts: list[np.ndarray] = []
    with beats_in(path, artifact, told_columns(), normalize) as pieces:
        for piece in pieces:
            parts.append(piece)
            if sum(map(len, parts)) > MOST_VECTORS:
                break
    if not parts:
        raise EcgEdgeError(f"{path} holds no beats", "name another file with --vectors")
    beats = np.concatenate(parts)
    if len(beats) <= MOST_VECTORS:
        return beats, f"beats of {path.name}"
    common.note(f"{path} holds more beats than a bundle takes along: the first {MOST_VECTORS:,} are its test vectors")
    return beats[:MOST_VECTORS], f"the first beats of {path.name}"


def facts_of(artifact: Artifact, name: str, runtime: Runtime, parts: Parts, told: tuple[str, ...], normalize: bool,
             measured: Sequence[str]) -> Facts:  # fmt: skip
    """What the record does not say: the card of the weights, what the user told, what a run found, who bundled."""
    from ecgedge.bundle import Facts
    from ecgedge.environments.versions import VERSION
    from ecgedge.measure import machine

    versions = machine.versions()
    library = next((f"{key} {versions[key]}" for key in runtime.libraries if key in versions), runtime.name)
    return Facts(
        name,
        source=artifact.path.name,
        normalize=normalize,
        weights=card_of_weights(artifact, parts),
        told=told,
        measured=tuple(measured),
        bundled={"by": f"ecgedge {VERSION}", "with": library, "on": machine.describe()["cpu"]},
        requirements=tuple(map(required, ("numpy", *runtime.libraries))),
    )


def required(distribution: str) -> str:
    """A distribution as pip takes it, in the version that is installed; what is local to a build is left out."""
    from ecgedge.environments.versions import version_of

    version = version_of(distribution)
    return f"{distribution}=={version.partition('+')[0]}" if version else distribution


def portable(folder: Path, artifact: Artifact) -> Portable:
    """The certificate in a folder, held to its answers.

    Raises:
        EcgEdgeError: it does not hold, or is of another file.
    """
    from ecgedge.api.artifact import digest_of
    from ecgedge.audit import check_certificate, is_certificate
    from ecgedge.audit.portability import CERTIFICATE
    from ecgedge.bundle import Portable
    from ecgedge.files import strict_json

    again = f"ecgedge portability {artifact.path} -o FOLDER"
    if not is_certificate(folder):
        raise EcgEdgeError(f"{folder} holds no certificate", again)
    if reasons := check_certificate(folder).reasons:
        raise EcgEdgeError(f"the certificate does not hold: {reasons[0]}"[:300], f"ecgedge check {folder}")
    told = strict_json.read(folder / CERTIFICATE, again)
    if told["digest"] != digest_of(artifact.path):
        raise EcgEdgeError(f"the certificate in {folder} is of another file", again)
    text = (folder / CERTIFICATE).read_text(encoding="utf-8")
    fewer = sum(each["beats"] < told["beats"] for each in told["tried"])
    return Portable(text, told["verdict"], told["largest"], len(told["tried"]), fewer)


def told_by_user(artifact: Artifact, data: Dataset | None, labels: str | None) -> tuple[str, ...]:
    """Who says what the outputs of a user's file mean, for its card."""
    from ecgedge.api.records.rules import USER

    if artifact.maker.get("part") != USER:
        return ()
    if data:
        fitted = ", threshold: fitted on their training beats" if artifact.task.kind == "anomaly" else ""
        return (f"labels: of the data {data.name}, digest {data.digest}{fitted}",)
    if artifact.task.kind == "anomaly":
        return ("threshold: as its user said, not in the file",)
    return (
        "labels: as its user said, not in the file" if labels else "labels: not known; outputs are numbered from 0",
    )


def card_of_weights(artifact: Artifact, parts: Parts) -> str:
    """The card of the weights that it was made from, where they are those that ecgedge itself ships; else empty."""
    from ecgedge.api.artifact import digest_of

    owner = parts.owners.get(("model", artifact.name))
    folder = parts.models[artifact.name].pretrained() if owner and owner.distribution == "ecgedge" else None
    if folder is None or digest_of(folder) not in artifact.parents:
        return ""
    return (folder / "README.md").read_text(encoding="utf-8")


def prove(files: dict[str, bytes], scratch: Path, runtime: RuntimeElsewhere) -> None:
    """Unpack the bundle and run its ``check.py``. Raises ConversionError where it fails."""
    from ecgedge.bundle import place

    folder = scratch / "bundle"
    place(files, folder.name, folder)
    if reason := runtime.prove(folder):
        raise ConversionError(f"the bundle does not pass its own check and was not written: {reason}")
