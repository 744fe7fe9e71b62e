"""``ecgedge diverge``: the first place where two forms of a model part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Artifact
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is looked into: ``import ecgedge`` is to stay quick
    from ecgedge.api.taps import Taps
    from ecgedge.convert.lab import Lab
    from ecgedge.convert.opening import Opener
    from ecgedge.data.dataset import Dataset
    from ecgedge.diverge.chain import Answered, Stage
    from ecgedge.diverge.findings import Finding
    from ecgedge.diverge.fix import Fixed
    from ecgedge.diverge.match import Matching
    from ecgedge.diverge.sealed import Sealed
    from ecgedge.diverge.study import Study
    from ecgedge.plugins import Parts
    from ecgedge.run import Told

SCORED = 500  # test beats that every stage answers
SEALED = 16  # decisions that change and are looked into, at most
TAPPED = 32  # of these, beats for which inner tensors are read


@dataclass(frozen=True)
class Diverged:
    """Where forms of one model part.

    Attributes:
        stages: each form, the reference first.
        parted: the name of the first stage that parts by more than its precision explains; None: none does.
        form, against: names of the two stages whose operations were held against each other; empty: no two were.
        study: of these; None: it was not possible, see ``notes``.
        findings: what stands out, with a remedy where there is one.
        data: the beats, in one line.
        beats, tapped: how many every stage answered, and for how many inner tensors were read.
        notes: what could not be told, and why.
        fixed: what mends a loss; None: that was not asked for.
    """

    stages: tuple[Stage, ...]
    parted: str | None
    form: str
    against: str
    study: Study | None
    findings: tuple[Finding, ...]
    data: str
    beats: int
    tapped: int
    notes: tuple[str, ...] = ()
    fixed: Fixed | None = None

    @property
    def culprit(self) -> str | None:
        """The operation at fault, by its name in the first file; None: none is."""
        return self.study.culprit.operation if self.study and self.study.culprit else None

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        from ecgedge.files import typed_json

        found: dict[str, Any] = typed_json.plain(self)
        return {"culprit": self.culprit, **found, "ranking": [line.operation for line in self.ranking()]}

    def ranking(self) -> list[Any]:
        """The lines of the study, the worst first."""
        return self.study.ranked() if self.study else []


def diverge(
    target: str | os.PathLike[str],
    *,
    against: str | os.PathLike[str] | None = None,
    to: str | None = None,
    quantizer: str = "none",
    runtime: str | None = None,
    against_runtime: str | None = None,
    beats: int = SCORED,
    fix: bool = False,
    max_drop: float = 0.1,
    data: str | os.PathLike[str] | None = None,
    normalize: bool = False,
    label_column: str | None = None,
    ignore_columns: str | Sequence[str] = (),
    leads: str | Sequence[str] = (),
    layout: str | None = None,
    group_column: str | None = None,
    label_file: str | os.PathLike[str] | None = None,
    class_names: str | os.PathLike[str] | None = None,
    calibration: int = 400,
    seed: int = 0,
    told: Told | None = None,
    trust: bool = False,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    timeout: float = 300,
    memory: int | None = None,
) -> Diverged:
    """Find the stage and the operation from which on two forms of a model answer otherwise.

    Args:
        target: the name of a model, a folder of a checkpoint, or a file.
        against: another form of the same model, which counts as right.
        to: instead of that, the format into which ``target`` is converted: every stage on the way is looked at.
        quantizer: with ``to``, a precision or the name of a quantizer.
        runtime: that runs the form, or the last stage; None: the first that takes it and works here.
        against_runtime: that runs the other form.
        beats: test beats that every stage answers, drawn stratified with the seed.
        fix: with ``to``: where the last stage loses more than ``max_drop`` hundredths of accuracy or AUROC on these
            beats, try other precisions until one does not.
        data: where it lies, as for ``MatrixRequest``; so ``normalize``, ``label_column``, ``ignore_columns``,
            ``leads``, ``layout``, ``group_column``, ``label_file``, ``class_names``.
        calibration: training beats that int8 is calibrated on, with ``to``.
        seed: of all that is drawn at random.
        told: what is to be known of files without a record.
        trust: code that a file brings may run.
        options: of the parts, as ``MatrixRequest`` has them.
        threads: of the models.
        timeout: seconds that a step in a child process may take.
        memory: millions of bytes that a child process may take; None: no limit.

    Raises:
        EcgEdgeError: there is no such file, the two are no forms of one model, or no runtime runs them.
        ConversionError: a stage cannot be made, or gives no answers.
    """
    from ecgedge.commands.loading import data_of, limits_of, load_parts, settled
    from ecgedge.convert.opening import opener
    from ecgedge.data.drawing import stratified
    from ecgedge.plan.options import chosen
    from ecgedge.run import Told

    if (against is None) == (to is None):
        told_ = "it needs another form to be held against" if to is None else "--against and --to are given both"
        raise EcgEdgeError(f"{target}: {told_}", "--against FORM, or --to FORMAT for all stages of a conversion")
    if quantizer != "none" and to is None:
        raise EcgEdgeError(f"--quantize {quantizer} is for a conversion", "add --to FORMAT, or leave it out")
    if fix and to is None:
        raise EcgEdgeError("--fix converts once more, and nothing is converted", "add --to FORMAT, or leave it out")
    request = settled(
        data=data, normalize=normalize, label_column=label_column, ignore_columns=ignore_columns, leads=leads,
        layout=layout, group_column=group_column, label_file=label_file, class_names=class_names, told=told or Told(),
        options=options or {}, threads=threads, timeout=timeout, memory=memory, calibration=calibration, seed=seed,
    )  # fmt: skip
    parts, limits, held = load_parts(), limits_of(request), data_of(request)
    given = chosen(request.options, parts.steps, parts.models.values())
    index = np.sort(stratified(held.test.y, max(beats, held.classes), seed))
    with opener(parts, limits, request.told, trust, threads) as opened, ExitStack() as kept:
        form = opened.fit_to_data(opened.find_artifact(os.fspath(target), alone=against is None), held)
        look = Look(parts, opened, held, index, given, threads, runtime, against_runtime)
        if against is not None:
            other = opened.fit_to_data(opened.find_artifact(os.fspath(against), alone=False), held)
            forms = [(f"{os.fspath(against)}", other), (f"{os.fspath(target)}", form)]
        else:
            from ecgedge.convert.lab import open_lab
            from ecgedge.workers.availability import not_installed

            scratch = kept.enter_context(tempfile.TemporaryDirectory())
            lab = open_lab(parts, held, {form.name: form}, Path(scratch), index, calibration=calibration, seed=seed,
                           options=given, unavailable=not_installed(parts), limits=limits, unasked=True)  # fmt: skip
            kept.callback(lab.close)
            forms = made_on_the_way(lab, parts, form, str(to), quantizer, runtime, look)
            if fix:
                fixed = mended(lab, parts, forms, str(to), quantizer, os.fspath(target), max_drop, look)
                return replace(look.into(forms), fixed=fixed)
        return look.into(forms)


@dataclass(frozen=True)
class Look:
    """What looking into forms needs.

    Attributes:
        index: of the test beats that every stage answers.
        runtime, against_runtime: of the last and the first form; None: the first that takes it and works.
    """

    parts: Parts
    opened: Opener
    data: Dataset
    index: np.ndarray
    given: Mapping[str, Any]
    threads: int
    runtime: str | None = None
    against_runtime: str | None = None

    @property
    def x(self) -> np.ndarray:
        return self.data.test.x[self.index]

    def few(self) -> np.ndarray:
        """The beats ``(n, C, L)`` for which inner tensors are read, evenly spaced among all."""
        count = len(self.index)
        return self.x[np.unique(np.linspace(0, count - 1, min(count, TAPPED)).astype(int))]

    def answered(self, name: str, artifact: Artifact, runtime: str | None) -> Answered:
        """What one form answers. Raises ConversionError where that is no answer."""
        from contextlib import closing

        from ecgedge.api import tasks
        from ecgedge.diverge.chain import Answered
        from ecgedge.plan.options import options_of
        from ecgedge.workers.availability import pick_runtime

        part = pick_runtime(artifact.format, runtime, self.parts, self.opened.workers)
        with closing(part.load(artifact, self.threads, **options_of(part, self.given))) as session:
            outputs = session.infer(self.x)
        if reason := tasks.wrong(outputs, self.x, artifact.task):
            raise ConversionError(f"{name} gives no answers: {reason}")
        return Answered(name, artifact, part.name, outputs)

    def into(self, forms: Sequence[tuple[str, Artifact]]) -> Diverged:
        """All stages, then the operations of the first that parts, else of the last."""
        from ecgedge.diverge.chain import first_parted, stages_of
        from ecgedge.diverge.findings import find

        last = len(forms) - 1
        names = {0: self.against_runtime, last: self.runtime}
        found = [self.answered(name, artifact, names.get(place)) for place, (name, artifact) in enumerate(forms)]
        task = self.settled_task(forms[0][1], found[0])
        stages = stages_of(found, self.x, task, self.index)
        parted = first_parted(stages)
        result = Diverged(stages, stages[parted].name if parted is not None else None, "", "", None, (),
                          self.data.describe(), len(self.index), len(self.few()))  # fmt: skip
        result = self.operations(found, last if parted is None else parted, result)
        return replace(result, findings=tuple(find(result.stages, result.study, result.form, result.parted)))

    def settled_task(self, artifact: Artifact, answered: Answered) -> Any:
        """What the answers mean; a threshold that nobody told is that of the middle of the beats."""
        import math

        from ecgedge.api import tasks
        from ecgedge.api.artifact import Anomaly

        task = artifact.task
        if isinstance(task, Anomaly) and math.isnan(task.threshold):
            scores = tasks.anomaly_scores(answered.outputs, self.x, task.window)
            return replace(task, threshold=float(np.median(scores)))
        return task

    def operations(self, forms: Sequence[Answered], place: int, result: Diverged) -> Diverged:
        """With the operations of a stage against those of the nearest one before it that can be looked into."""
        from ecgedge.diverge.study import study

        notes: list[str] = []
        later, earlier = range(place, len(forms)), range(place - 1, -1, -1)
        with (
            self.tapped(forms, later, notes) as (mine, form),
            self.tapped(forms, earlier, notes) as (theirs, against),
        ):
            if form is None or against is None:
                return replace(result, notes=tuple(notes))
            found = study(form, against, self.few(), self.sealing(forms[mine], forms[theirs]))
        return replace(result, study=found, form=forms[mine].name, against=forms[theirs].name, notes=tuple(notes))

    def sealing(self, form: Answered, against: Answered) -> Callable[[Matching], tuple[Sealed, ...]] | None:
        """What looks into the first decisions that differ between two forms; None where none does."""
        from ecgedge.api import tasks
        from ecgedge.diverge.chain import as_one
        from ecgedge.diverge.sealed import sealed

        task = self.settled_task(against.artifact, against)
        here, was = (as_one(tasks.decide(each.outputs, self.x, task)) for each in (form, against))
        places = np.flatnonzero(here != was)[:SEALED]
        if not len(places):
            return None
        x = self.x[places]

        def decide(outputs: np.ndarray) -> np.ndarray:
            return as_one(tasks.decide(outputs.reshape(len(x), *against.outputs.shape[1:]), x, task))

        return lambda both: sealed(both, x, self.index[places].tolist(), here[places], was[places], decide)

    @contextmanager
    def tapped(
        self, forms: Sequence[Answered], places: Sequence[int], notes: list[str]
    ) -> Iterator[tuple[int, Taps | None]]:
        """The first of some stages that can be looked into, open; None, and notes, where none can."""
        for place in places:
            form = forms[place]
            part = self.opened.workers.runtime(self.parts.runtimes[form.runtime])
            taps = part.taps(form.artifact, self.threads)
            if taps is not None:
                try:
                    yield place, taps
                finally:
                    taps.close()
                return
            notes.append(f"{form.name}: runtime {form.runtime} shows no inner tensors")
        yield -1, None


def made_on_the_way(
    lab: Lab, parts: Parts, source: Artifact, to: str, quantizer: str, runtime: str | None, look: Look
) -> list[tuple[str, Artifact]]:
    """Every form between a model and a file, by what was done last: exporters, graph passes, quantizers.

    Passes are looked at one by one only where all of them together move the answers.
    """
    from ecgedge.convert.fallback import Passes
    from ecgedge.plan.file import FileAsked, plan_file
    from ecgedge.plan.plan import source_of, takes
    from ecgedge.workers.client import ChildError

    asked = FileAsked(to, quantizer, None, runtime, None)
    cell = plan_file(source.name, source_of(source), asked, parts.exporters, parts.quantizers, parts.runtimes,
                     lambda part: lab.lacks(part) is None)  # fmt: skip
    try:
        lab.way(cell)
    except ChildError as error:
        raise ConversionError(f"{source.name} cannot be converted: {error.plain}") from None
    passes = lab.usable[source.digest, cell.route, cell.quantizer, cell.passes]
    forms, artifact = [(source.format, source)], source

    def optimized(artifact: Artifact) -> Artifact:
        done = lab.optimize(artifact, passes, 1)
        applied = [name for name in done.passes if name not in artifact.passes]
        if not applied:
            return done
        forms.append((f"{done.format}, {len(applied)} passes", done))
        pair = [look.answered(name, form, None) for name, form in ((forms[-2]), (forms[-1]))]
        if is_parted(pair, look):
            forms.pop()
            for count, name in enumerate(applied, 1):
                forms.append((f"{done.format}, {name}", lab.optimize(artifact, Passes(tuple(applied[:count])), 1)))
        return done

    for name in cell.route:
        artifact = lab.convert(optimized(artifact), "exporter", name, 1)
        forms.append((artifact.format, artifact))
    artifact = optimized(artifact)
    floats = [part for part in parts.quantizers.values() if part.precision == "fp32" and takes(part.accepts,
              artifact.format) and part.produces == cell.format and part.name != cell.quantizer]  # fmt: skip
    if floats and artifact.format != cell.format:
        forms.append((f"{cell.format} fp32", lab.convert(artifact, "quantizer", floats[0].name, 1)))
    made = lab.convert(artifact, "quantizer", cell.quantizer, 1)
    if made.digest != forms[-1][1].digest:
        forms.append((f"{made.format} {made.precision}", made))
    return forms


def mended(lab: Lab, parts: Parts, forms: Sequence[tuple[str, Artifact]], to: str, quantizer: str, target: str,
           allowed: float, look: Look) -> Fixed:  # fmt: skip
    """Other precisions of the last form, until one loses no more than is allowed."""
    from ecgedge.api import tasks
    from ecgedge.diverge.chain import as_one
    from ecgedge.diverge.fix import CHEAPEST, mend, quality

    first = look.answered(*forms[0], look.against_runtime)
    task, x, y = look.settled_task(forms[0][1], first), look.x, look.data.test.y[look.index]
    right, decided = quality(first.outputs, x, y, task), as_one(tasks.decide(first.outputs, x, task))

    def drop_of(artifact: Artifact) -> tuple[float, int]:
        found = look.answered(artifact.precision, artifact, look.runtime).outputs
        changed = int((as_one(tasks.decide(found, x, task)) != decided).sum())
        return right - quality(found, x, y, task), changed

    def make(precision: str) -> Artifact:
        return made_on_the_way(lab, parts, forms[0][1], to, precision, look.runtime, look)[-1][1]

    def command(precision: str) -> str:
        return f"ecgedge convert {target} --to {to} --quantize {precision}"

    others = [precision for precision in CHEAPEST if precision != quantizer]
    return mend(drop_of(forms[-1][1])[0], allowed, make, drop_of, command, others)


def is_parted(pair: Sequence[Answered], look: Look) -> bool:
    """Whether two forms part by more than their precision explains."""
    from ecgedge.diverge.chain import stages_of

    return stages_of(pair, look.x, look.settled_task(pair[0].artifact, pair[0]), look.index)[1].parts
