"""``ecgedge convert``."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecgedge.cli import common
from ecgedge.cli.options import (
    MOST_BEATS,
    calibration_option,
    chosen_passes,
    dataset_option,
    file_options,
    limit_options,
    limits_of,
    opset_option,
    options_of,
    passes_options,
    quantizer_options,
    seed_option,
)
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:
    from ecgedge.api.artifact import Artifact
    from ecgedge.convert.lab import Lab
    from ecgedge.data.dataset import Dataset
    from ecgedge.plan.plan import Cell
    from ecgedge.plugins import Parts
    from ecgedge.run.turns import Pair, Setting


@click.command()
@click.argument("source", metavar="MODEL|CHECKPOINT|FILE")
@click.option("--to", "format", required=True, metavar="FORMAT", help="onnx, saved_model, tflite, ...")
@click.option("--quantize", "quantizer", default="none", show_default=True, metavar="Q",
              help="none, fp16, dynamic, full-int8, mixed, or one quantizer.")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Default: NAME-PRECISION.FORMAT here.")
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
@click.option(
    "--batch", type=click.IntRange(1, MOST_BEATS), default=1, show_default=True, help="Of a file whose format fixes it."
)
@dataset_option
@calibration_option
@opset_option
@quantizer_options
@passes_options
@file_options
@seed_option
@limit_options
def convert(source: str, format: str, quantizer: str, out: Path | None, force: bool, batch: int, dataset: str | None,
            calibration: int, opset: int | None, passes: tuple[str, ...] | None, no_optimize: bool,
            seed: int, timeout: float, memory: int | None, **options: Any) -> None:  # fmt: skip
    """Make one artifact and prove that it answers as its source does.

    \b
    ecgedge convert tcn --to tflite --quantize full-int8 -o tcn.tflite
    ecgedge convert theirs.onnx --to onnx -o faster.onnx
    """
    import numpy as np

    from ecgedge.convert.lab import open_lab
    from ecgedge.convert.opening import with_threshold
    from ecgedge.measure.bench import check_size
    from ecgedge.workers.availability import require, unavailable
    from ecgedge.workers.client import ChildError
    from ecgedge.workers.standins import failure

    parts = common.load_parts()
    data = common.load_data(dataset)
    limits = limits_of(timeout, memory)
    with common.opener(parts, limits) as opener:
        origin = opener.fit_to_data(opener.find_artifact(source), data)
    check_size(origin, batch)
    cell = choose(origin, format, quantizer, parts, chosen_passes(passes, no_optimize))
    for kind, name in [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]:
        require(parts.find(kind, name))
    precision = cell.precision if origin.precision == "fp32" else origin.precision
    target = (out or Path(f"{origin.name}-{precision}.{format}")).absolute()
    check_target(target, format, force)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lab = open_lab(
            parts,
            data,
            {origin.name: origin},
            folder,
            np.arange(len(data.test)),
            calibration=calibration,
            seed=seed,
            options=options_of({"opset": opset, **options}),
            unavailable=unavailable(parts),
            seconds=limits.seconds,
            memory=limits.memory,
        )
        try:
            origin = with_threshold(origin, data, lambda given, _: lab.outputs_of(given, "train"), common.aside)
            lab.sources = {origin.name: origin}
            artifact = lab.make(cell, batch)
            proof = verify(artifact, lab.sources[cell.model], lab)
            check_proof(proof, artifact.precision)
            gain = measure_gain(artifact, cell, batch, lab)
            cost = measure_cost(artifact, cell, batch, lab)
            place(artifact, target)
        except ChildError as error:
            if error.why in ("late", "memory"):
                raise failure(error, source, limits) from None
            raise ConversionError(f"{error} (log: {keep_log(lab.log)})") from None
        finally:
            lab.close()
    if opset and "onnx" not in cell.route:
        common.warn("--opset changes nothing here: no ONNX file is exported on this route")
    if batch != 1 and artifact.input.batch is None:
        common.warn(f"--batch changes nothing here: {format} files take any batch")
    warn_of(artifact, proof, parts)
    summarize(artifact, out or Path(target.name), cell, proof, {"gain": gain, "cost": cost}, data)


def warn_of(artifact: Artifact, proof: Proof | None, parts: Parts) -> None:
    """Say on stderr what a user must not overlook: passes that were left out, a claim that fails, a loss."""
    from ecgedge.passes.optimize import left_out_notes

    if artifact.notes.get("left_out"):
        common.warn(left_out_notes(artifact.notes["left_out"])["text"])
    if proof is None:
        return
    if proof.claims["reason"]:
        common.warn(f"a matrix rejects this file: {proof.claims['reason']}")
    if lost := losses(proof):
        mixed = any(
            part.precision == "mixed" and (part.produces or artifact.format) == artifact.format
            for part in parts.quantizers.values()
        )
        remedy = "; --quantize mixed leaves the layers that cost most in float" if mixed else ""
        common.warn(f"{lost}{remedy if artifact.precision == 'full-int8' else ''}")


def choose(origin: Artifact, format: str, quantizer: str, parts: Parts, passes: tuple[str, ...] | None = None) -> Cell:
    """The shortest route to that format and precision; ``passes`` instead of those that its consumer wants.

    The runtime, where it is the consumer, is the first one that takes the format.

    Raises:
        EcgEdgeError: there is none; says what there is.
    """
    from ecgedge.plan.plan import Cell, passes_of, quantizer_words, routes, takes

    cells = [
        Cell(origin.name, route, q.name, q.produces or exported, q.precision, runtime="")
        for route, exported in routes(origin.format, parts.exporters)
        for q in parts.quantizers.values()
        if takes(q.accepts, exported) and (origin.precision == "fp32" or q.precision == "fp32")
    ]
    formats = sorted({cell.format for cell in cells})
    if format not in formats:
        raise EcgEdgeError(f"no way from {origin.format} to {format!r}", f"choose from: {', '.join(formats)}")
    near = [cell for cell in cells if cell.format == format]
    fitting = [cell for cell in near if quantizer in quantizer_words(cell.quantizer, cell.precision)]
    if not fitting:
        words = sorted({word for cell in near for word in (cell.precision, cell.quantizer)})
        known = "" if origin.precision == "fp32" else f": {origin.name} is {origin.precision} already"
        raise EcgEdgeError(f"{format} cannot be {quantizer!r}{known}", f"choose from: {', '.join(words)}")
    cell = min(fitting, key=lambda cell: len(cell.route))
    if origin.precision != "fp32":  # it is kept as it is
        return cell
    chain = [parts.exporters[name] for name in cell.route]
    runtime = next((part for part in parts.runtimes.values() if takes(part.accepts, format)), None)
    return replace(cell, passes=passes_of(origin.format, chain, parts.quantizers[cell.quantizer], runtime, passes))


def check_target(target: Path, format: str, force: bool) -> None:
    """Raise EcgEdgeError where the result cannot be put there without losing something of the user's."""
    from ecgedge.api.artifact import CHECKPOINT_FILE
    from ecgedge.api.records import SIDECAR

    if not target.name:
        raise EcgEdgeError(f"{target} is not a name for a file", "name one with -o")
    if target.exists() and not force:
        raise EcgEdgeError(f"{target} exists", "name another with -o, or --force")
    if target.exists() and not target.is_dir() and not target.is_file():
        raise EcgEdgeError(f"{target} is a device or a pipe", "name another with -o")
    ours = (target / SIDECAR).is_file() or (target / CHECKPOINT_FILE).is_file()
    if target.is_dir() and not ours:
        raise EcgEdgeError(f"{target} is a folder that ecgedge did not make", "name another with -o")
    common.usable_folder(target.parent)


def place(artifact: Artifact, target: Path) -> None:
    """Copy an artifact out of the store, whole or not at all."""
    from ecgedge.api.artifact import copy_to, digest_of
    from ecgedge.files.locks import swap_in

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".", suffix=".part") as scratch:
        fresh = Path(scratch) / "new"
        copy_to(artifact.path, fresh)
        if digest_of(fresh) != artifact.digest:
            raise ConversionError(f"{target} was not written as it was made")
        swap_in(fresh, target, Path(scratch) / "old")


def keep_log(log: Path) -> Path:
    """Keep the log of a failed conversion in the cache; returns where."""
    from ecgedge.files.cache import cache_folder

    kept = cache_folder() / "logs" / f"convert-{time.strftime('%Y%m%d-%H%M%S')}.log"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        shutil.copyfile(log, kept)
    return kept


@dataclass(frozen=True)
class Proof:
    """How a result answers, against its source, and whether it is what it claims to be.

    Attributes:
        answers: of ``verdicts.judge``.
        claims: of ``precision_check.judge``.
        amounts: whether a file that is rejected for its claims is of use all the same.
    """

    answers: dict[str, Any]
    claims: dict[str, Any]
    amounts: bool


def verify(artifact: Artifact, source: Artifact, lab: Lab) -> Proof | None:
    """Judge a result as the matrix judges its rows; None where no runtime takes its format."""
    from ecgedge.evaluate import precision_check, verdicts
    from ecgedge.run.matrix import judge_claims

    if lab.runtime_for(artifact.format) is None:
        return None
    scored = lab.scored
    was = lab.run(source, "scored", graph=True) if lab.runtime_for(source.format) else None
    here = lab.run(artifact, "scored", graph=True)
    expected = was.outputs if was else None
    answers = verdicts.judge(
        here.outputs, expected, scored.x, scored.y, artifact.task, artifact.precision, computes=None, index=lab.index
    )
    parent = was.graph if was and (source.format, source.precision) == (artifact.format, "fp32") else None
    claims = judge_claims(here.graph, artifact, source, here.runtime, parent)
    return Proof(
        answers, claims, here.graph is not None and precision_check.amounts_to_it(here.graph, artifact.precision)
    )


def check_proof(proof: Proof | None, precision: str) -> None:
    """Raise ConversionError where a result must not be kept."""
    if proof is None:
        return
    if proof.answers["status"] != "ok":
        raise ConversionError(f"the result is wrong and was not kept: {proof.answers['reason']}")
    if proof.claims["status"] != "ok" and not proof.amounts:
        raise ConversionError(f"the result is not {precision} and was not kept: {proof.claims['reason']}")


def losses(proof: Proof) -> str:
    """What a precision costs, where that is more than chance; empty where it is not."""
    told = proof.answers.get("verdict") or {}
    lost = [told["text"]] if told.get("result") == "worse" else []
    return ", ".join([*lost, *(gate["text"] for gate in proof.answers.get("gates", ()))])


def measure_gain(artifact: Artifact, cell: Cell, batch: int, lab: Lab) -> str:
    """What graph passes are worth for a user's ONNX file: it is made without them too, and both are timed in turns."""
    from ecgedge.run.turns import time_in_turns
    from ecgedge.workers.client import ChildError

    source, runtime = lab.sources[cell.model], lab.runtime_for(artifact.format)
    if source.format != "onnx" or artifact.passes == source.passes or runtime is None:
        return ""
    try:
        bare = lab.make(replace(cell, passes=()), batch)
        return told(time_in_turns((bare, artifact), (runtime, runtime), setting_of(lab)), runtime)
    except (ChildError, ConversionError, EcgEdgeError) as error:
        return f"not measured; without the passes: {error}"


def measure_cost(artifact: Artifact, cell: Cell, batch: int, lab: Lab) -> str:
    """What the layers that were left in float cost: full-int8 is made too, and both are timed in turns."""
    from ecgedge.run.turns import time_in_turns
    from ecgedge.workers.client import ChildError

    part, runtime = lab.parts["quantizer", cell.quantizer], lab.runtime_for(artifact.format)
    whole = [
        other.name
        for (kind, _), other in lab.parts.items()
        if kind == "quantizer" and other.precision == "full-int8"
        and (other.accepts, other.produces) == (part.accepts, part.produces)
    ]  # fmt: skip
    if not artifact.notes.get("left") or not whole:
        return ""
    try:
        full = lab.make(replace(cell, quantizer=whole[0], precision="full-int8"), batch)
        sizes = f"{full.size_bytes:,} -> {artifact.size_bytes:,} bytes against full-int8"
        if runtime is None:
            return sizes
        return f"{sizes}, {told(time_in_turns((full, artifact), (runtime, runtime), setting_of(lab)), runtime)}"
    except (ChildError, ConversionError, EcgEdgeError) as error:
        return f"not measured; full-int8: {error}"


def setting_of(lab: Lab) -> Setting:
    """What timing in turns needs of a lab."""
    from ecgedge.run.turns import Setting

    runtimes = [part for (kind, _), part in lab.parts.items() if kind == "runtime"]
    hosts = {part.name: lab.hosts[part.environment] for part in runtimes if part.environment in lab.hosts}
    networked = frozenset(part.name for part in runtimes if part.needs_network)
    return Setting(lab.folder, lab.files["scored"], lab.gate, seed=lab.seed, seconds=lab.seconds, memory=lab.memory,
                   hosts=hosts, networked=networked)  # fmt: skip


def told(pair: Pair, runtime: str) -> str:
    """Medians and ratio of two files timed in turns."""
    return (
        f"p50 {pair.first:.1f} -> {pair.second:.1f} us on {runtime}, "
        f"x {pair.ratio:.2f} [{pair.low:.2f}, {pair.high:.2f}]{pair.told}"
    )


def summarize(
    artifact: Artifact, target: Path, cell: Cell, proof: Proof | None, found: dict[str, str], data: Dataset
) -> None:
    """Print what was made and how it answers.

    Args:
        found: more lines by their heads; empty ones are left out.
    """
    common.say(f"{target}: {artifact.format} {artifact.precision}, {artifact.size_bytes:,} bytes")
    common.say(f"route      {' -> '.join([artifact.name, *cell.route, cell.quantizer])}")
    if cell.passes or artifact.passes:
        common.say(f"passes     {', '.join(artifact.passes) or 'none changed it'}")
    for what, text in {"notes": artifact.notes.get("text"), **found}.items():
        if text:
            common.say(f"{what:<10} {text}")
    for what, spec in (("input", artifact.input), ("output", artifact.output)):
        shape = ", ".join("N" if axis is None else str(axis) for axis in spec.shape)
        common.say(f"{what:<10} {spec.name} ({shape}) {spec.dtype}")
    common.say(f"sha256     {artifact.digest}")
    if proof is None:
        common.say(f"parity     checked by its exporter; no runtime here takes {artifact.format}")
        return
    verdict = proof.answers
    if "max_abs_diff" in verdict:
        common.say(
            f"parity     largest difference to its source {verdict['max_abs_diff']:.2g}, "
            f"{verdict['changed_decisions']} of {len(data.test):,} decisions changed"
        )
    else:
        common.say("parity     not measured: no runtime here takes its source")
    figures = ("accuracy", "macro_f1") if artifact.task.kind == "classification" else ("auroc", "auprc", "f1")
    told = ", ".join(f"{key} {verdict[key]:.4f}" for key in figures if verdict[key] is not None)
    common.say(f"quality    {told} ({data.name})")
    if lost := losses(proof):
        common.say(f"loss       {lost}")
