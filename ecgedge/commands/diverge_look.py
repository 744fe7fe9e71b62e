"""What looking into forms of a model needs: their answers, their inner tensors, the beats that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact, Classification, Multilabel
from ecgedge.diverge.diverged import Diverged, Example
from ecgedge.errors import ConversionError, EcgEdgeError

if TYPE_CHECKING:  # the rest is imported when something is looked into: ``import ecgedge`` is to stay quick
    from ecgedge.api.artifact import Task
    from ecgedge.api.taps import Taps
    from ecgedge.convert.opening import Opener
    from ecgedge.data.dataset import Dataset
    from ecgedge.devices.link import Link
    from ecgedge.diverge.chain import Answered
    from ecgedge.diverge.lines import Strip
    from ecgedge.diverge.match import Matching
    from ecgedge.diverge.origins import Origin
    from ecgedge.diverge.sealed import Sealed
    from ecgedge.plugins import Parts
    from ecgedge.workers.client import Limits
    from ecgedge.workers.standins import Errand
    from ecgedge.workers.survey import Surveyed

SEALED = 16  # decisions that change and are looked into, at most
TAPPED = 32  # of these, beats for which inner tensors are read
BESIDES = 8  # the same, of the stages that are only drawn
SHOWN = 6  # beats that are decided otherwise and are drawn


@dataclass(frozen=True)
class Look:
    """What looking into forms needs.

    Attributes:
        index: of the test beats that every stage answers.
        runtime, against_runtime: of the last and the first form; None: the first that takes it and works.
        there, link: the board on which the last form runs, and the way there; None: this machine.
        whole: every operation of a long form is measured.
    """

    parts: Parts
    opened: Opener
    data: Dataset
    index: np.ndarray
    given: Mapping[str, Any]
    threads: int
    limits: Limits
    runtime: str | None = None
    against_runtime: str | None = None
    there: Surveyed | None = None
    link: Link | None = None
    whole: bool = False

    @property
    def x(self) -> np.ndarray:
        return self.data.test.x[self.index]

    def few(self, most: int = TAPPED) -> np.ndarray:
        """The beats ``(n, C, L)`` for which inner tensors are read, evenly spaced among all."""
        count = len(self.index)
        return self.x[np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))]

    def answered(self, name: str, artifact: Artifact, runtime: str | None, there: bool = False) -> Answered:
        """What one form answers.

        Args:
            there: it runs on the board, where one was named.

        Raises:
            ConversionError: that is no answer.
        """
        from contextlib import closing

        from ecgedge.api import tasks
        from ecgedge.diverge.chain import Answered
        from ecgedge.plan.options import options_of
        from ecgedge.workers.availability import pick_runtime
        from ecgedge.workers.standins import SessionElsewhere
        from ecgedge.workers.survey import pick_there

        if there and self.link and self.there:
            part = self.parts.runtimes[pick_there(self.there, artifact.format, runtime, self.parts)]
            given = options_of(part, self.given)
            with self.errand() as errand:
                outputs = SessionElsewhere(errand, part.name, artifact, self.threads, given).infer(self.x)
            name = f"{name} on {self.link.board.name}"
        else:
            here = pick_runtime(artifact.format, runtime, self.parts, self.opened.workers)
            part = self.parts.runtimes[here.name]
            with closing(here.load(artifact, self.threads, **options_of(here, self.given))) as session:
                outputs = session.infer(self.x)
        of_other_size = isinstance(artifact.task, Anomaly) and outputs[0].size != self.x[0].size
        if not of_other_size and (reason := tasks.wrong(outputs, self.x, artifact.task)):
            raise ConversionError(f"{name} gives no answers: {reason}")
        return Answered(name, artifact, part.name, outputs, there and self.link is not None)

    def errand(self) -> Errand:
        """A worker on the board."""
        from functools import partial

        from ecgedge.workers.boards import BoardChild
        from ecgedge.workers.standins import Errand

        assert self.link
        worker = partial(BoardChild, self.link, threads=self.threads, memory=self.limits.memory)
        return Errand(None, self.threads, self.limits, worker=worker)

    def into(self, forms: Sequence[tuple[str, Artifact]], each_stage: bool = False, converted: str = "") -> Diverged:
        """All stages, then the operations of the first that parts, else of the last.

        Args:
            each_stage: those of the others, too, on fewer beats.
            converted: the model whose conversion they are; empty: they are two files.
        """
        from ecgedge.diverge.chain import first_parted, not_one_model, of_two_sizes, stages_of
        from ecgedge.diverge.findings import find

        last = len(forms) - 1
        names = {0: self.against_runtime, last: self.runtime}
        found = [self.answered(name, artifact, names.get(place), place == last)
                 for place, (name, artifact) in enumerate(forms)]  # fmt: skip
        task = settled_task(forms[0][1], found[0], self.x)
        is_longer = found[-1].outputs[0].size != found[0].outputs[0].size
        stages = of_two_sizes(found, self.index) if is_longer else stages_of(found, self.x, task, self.index)
        parted = first_parted(stages)
        result = Diverged(stages, stages[parted].name if parted is not None else None, "", "", None, (),
                          self.data.describe(), len(self.index), len(self.few()))  # fmt: skip
        result = self.operations(found, last if parted is None else parted, result)
        if is_longer and result.study is None:
            raise not_one_model(stages[-1].name, stages[0].name, found[-1].outputs[0].size, found[0].outputs[0].size)
        if each_stage and not is_longer:
            result = replace(result, strips=tuple(self.strips(found, result)))
        return replace(result, findings=tuple(find(result.stages, result.study, result.form, result.parted, converted)),
                       examples=() if is_longer else tuple(self.examples(found, result, task)))  # fmt: skip

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
            alike = forms[mine].outputs[0].size == forms[theirs].outputs[0].size
            seal = self.sealing(forms[mine], forms[theirs]) if alike else None
            told = self.told(forms, (mine, form), (theirs, against))
            try:
                found = study(form, against, self.few(), seal, told, self.whole)
            except ConversionError as error:  # the process that looked inside died
                notes.append(f"{forms[mine].name}: no inner tensors, only its answers: {error}")
                return replace(result, notes=tuple(notes))
        return replace(result, study=found, form=forms[mine].name, against=forms[theirs].name, notes=tuple(notes))

    def told(
        self, forms: Sequence[Answered], form: tuple[int, Taps], reference: tuple[int, Taps]
    ) -> Mapping[str, Origin]:
        """What those who made one stage from another tell of its tensors; nothing of files that were brought."""
        from ecgedge.diverge.origins import origins_between

        mine, theirs = ((forms[place].artifact, taps.wiring) for place, taps in (form, reference))
        return origins_between([each.artifact for each in forms], mine, theirs)

    def strips(self, forms: Sequence[Answered], result: Diverged) -> Iterator[Strip]:
        """The operations of each stage that can be looked into against those of the nearest before it that can."""
        from ecgedge.diverge.lines import Strip
        from ecgedge.diverge.study import study

        x, missed = self.few(BESIDES), list[str]()
        for place in range(1, len(forms)):
            if forms[place].name == result.form:
                continue
            with (
                self.tapped(forms, [place], missed) as (mine, form),
                self.tapped(forms, range(place - 1, -1, -1), missed) as (theirs, against),
            ):
                if form is not None and against is not None:
                    told = self.told(forms, (mine, form), (theirs, against))
                    with suppress(ConversionError):  # the process that looked inside died: it has no strip
                        lines = study(form, against, x, told=told).lines
                        yield Strip(forms[place].name, forms[theirs].name, lines, len(x))

    def examples(self, forms: Sequence[Answered], result: Diverged, task: Task) -> Iterator[Example]:
        """Beats that the two forms which were held against each other decide otherwise, else the first and the last."""
        by_name = {form.name: form for form in forms}
        form, was = by_name.get(result.form, forms[-1]), by_name.get(result.against, forms[0])
        words = [decisions_in_words(each.outputs, self.x, task) for each in (form, was)]
        sealed = {each.beat: each.operation for each in (result.study.decisions if result.study else ())}
        differ = [place for place in range(len(self.x)) if words[0][place] != words[1][place]]
        for place in differ[:SHOWN]:
            beat = int(self.index[place])
            whole = self.x[place].shape
            made = [each.outputs[place].reshape(whole) for each in (was, form)] if isinstance(task, Anomaly) else None
            yield Example(
                beat, self.x[place], tuple(self.data.lead_names), self.truth(beat, task),
                words[1][place], words[0][place], sealed.get(beat), (made[0], made[1]) if made else None,
            )  # fmt: skip

    def truth(self, beat: int, task: Task) -> str:
        """What the data says of a test beat, in words."""
        label = self.data.test.y[beat]
        if isinstance(task, Multilabel):
            return in_words(label, task)
        return str(self.data.labels[int(label)])

    def sealing(self, form: Answered, against: Answered) -> Callable[[Matching], tuple[Sealed, ...]] | None:
        """What looks into the first decisions that differ between two forms; None where none does."""
        from ecgedge.api import tasks
        from ecgedge.diverge.chain import as_one
        from ecgedge.diverge.sealed import sealed

        task = settled_task(against.artifact, against, self.x)
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
            taps = self.taps_of(form, notes)
            if taps is not None:
                try:
                    yield place, taps
                finally:
                    taps.close()
                return
        yield -1, None

    def taps_of(self, form: Answered, notes: list[str]) -> Taps | None:
        """A form that is open to be tapped where it ran; None, and a note, where it cannot be."""
        from ecgedge.workers.standins import Bug, taps_by

        if not form.on_board:
            part = self.opened.workers.runtime(self.parts.runtimes[form.runtime])
            try:
                taps = part.taps(form.artifact, self.threads)
                reason = f"runtime {form.runtime} shows no inner tensors"
            except EcgEdgeError as error:
                taps, reason = None, f"no inner tensors, only its answers: {error.message}"
            if taps is None:
                notes.append(f"{form.name}: {reason}")
            return taps
        errand = self.errand()
        try:
            taps = taps_by(errand, form.runtime, form.artifact, self.threads)
            reason = "its runtime shows none"
        except (EcgEdgeError, ConversionError, Bug) as error:
            taps, reason = None, str(error)
        if taps is None:
            errand.close()
            notes.append(f"{form.name}: no inner tensors from there, only its answers: {reason}")
        return taps


def settled_task(artifact: Artifact, answered: Answered, x: np.ndarray) -> Task:
    """What the answers mean; a threshold that nobody told is that of the middle of the beats ``(N, C, L)``."""
    import math

    from ecgedge.api import tasks

    task = artifact.task
    if isinstance(task, Anomaly) and math.isnan(task.threshold):
        scores = tasks.anomaly_scores(answered.outputs, x, task.window)
        return replace(task, threshold=float(np.median(scores)))
    return task


def decisions_in_words(outputs: np.ndarray, x: np.ndarray, task: Task) -> list[str]:
    """What is decided of each beat, as a page tells it."""
    from ecgedge.api import tasks

    decided = tasks.decide(outputs, x, task)
    if isinstance(task, Anomaly):
        return ["anomaly" if each else "normal" for each in decided]
    return [in_words(each, task) for each in decided]


def in_words(decided: Any, task: Classification | Multilabel) -> str:
    """A decision: the class by its name, or the labels that hold, joined."""
    if isinstance(task, Multilabel):
        return "+".join(task.labels[k] for k in np.flatnonzero(decided)) or "none"
    return task.labels[int(decided)]
