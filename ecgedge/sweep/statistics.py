"""What a sweep says: each form's quality over seeds and data sets, ranks, and which differences are more than chance.

Ranks are those of Demšar (2006): of the forms on each data set by their mean over seeds, ties share the mean of their
ranks, and the ranks of a form are averaged over the data sets on which every form has a value. Friedman's test asks
whether the forms differ at all; Wilcoxon's signed ranks of each form against the first, with Holm's correction, whether
that one does (Benavoli and others, 2016). Both are scipy's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from ecgedge.run.metrics import QUALITY

ALPHA = 0.05
LEAST = 5  # data sets that a test needs


@dataclass(frozen=True, slots=True)
class Form:
    """What is ranked: a model in a format and precision, by its route, on a runtime.

    Attributes:
        id: of the cell that it is in every data set.
        steps: the exporters and the quantizer.
    """

    id: str
    model: str
    task: str
    format: str
    precision: str
    runtime: str
    steps: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Less its model: format, precision, and the runtime where the format does not say it."""
        return " ".join([self.format, self.precision, *([f"on {self.runtime}"] if self.runtime != self.format else [])])


@dataclass(frozen=True, slots=True)
class Score:
    """What one cell came to.

    Attributes:
        value: accuracy or AUROC; None where it has none.
        change: of that against the trained model.
    """

    form: Form
    dataset: str
    seed: int
    status: str
    value: float | None = None
    change: float | None = None
    size_bytes: int | None = None
    stage: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Values over seeds: how many, their mean, the standard deviation (N - 1; None of one), the least and the most."""

    count: int
    mean: float
    sd: float | None
    least: float
    most: float


@dataclass(frozen=True)
class Line:
    """A form over all data sets.

    Attributes:
        words: what it is called, less its model.
        by_data: its spread over seeds, by data set.
        mean: of the data sets' means.
        seed_sd: standard deviation between seeds within a data set: the root of the mean variance.
        data_sd: standard deviation between the data sets' means.
        change: mean change against the trained model; ``worst``: the least.
        rank: the mean of its ranks; None where no data set has all forms.
        wins: data sets in which it is first, alone or not.
        size_bytes: mean size of its files.
        ok, tried: cells that have a value, and all.
        p: of the difference to the first form, corrected; None: not tested.
    """

    form: Form
    words: str
    by_data: Mapping[str, Spread]
    mean: float | None
    seed_sd: float | None
    data_sd: float | None
    change: float | None
    worst: float | None
    rank: float | None
    wins: int
    size_bytes: float | None
    ok: int
    tried: int
    p: float | None = None

    @property
    def like_first(self) -> bool | None:
        """Whether it cannot be told from the first form; None: not tested."""
        return None if self.p is None else self.p >= ALPHA


@dataclass(frozen=True)
class Ranking:
    """The forms of one task, the best first.

    Attributes:
        complete: data sets on which every form has a value that has any: those that ranks are of.
        data: all data sets.
        friedman: p of Friedman's test; None: not tested.
        untested: why nothing was tested; empty where something was.
    """

    task: str
    lines: Sequence[Line]
    complete: Sequence[str]
    data: Sequence[str]
    friedman: float | None = None
    untested: str = ""

    @property
    def metric(self) -> str:
        """The figure that it is by."""
        return QUALITY[self.task].name


@dataclass
class Summary:
    """All scores of a sweep, as they come, and what they say.

    Attributes:
        data: names of the data sets, in order.
    """

    data: Sequence[str]
    scores: list[Score] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take what matters of a row in JSON."""
        task = row["task"]
        model, prefix = row["model"], f"{row['dataset']}.s{row['seed']}."
        form = Form(
            row["id"].removeprefix(prefix), model, task, row["format"], row["precision"] or "", row["runtime"],
            (*row.get("route", ()), row.get("quantizer", "")),
        )  # fmt: skip
        works = row["status"] == "ok"
        verdict = row.get("verdict") or {}
        self.scores.append(
            Score(
                form, row["dataset"], row["seed"], row["status"],
                value=row.get(QUALITY[task].key) if works else None,
                change=verdict.get("difference") if works and isinstance(verdict, dict) else None,
                size_bytes=row.get("size_bytes"), stage=row.get("stage") or "", reason=row.get("reason") or "",
            )
        )  # fmt: skip

    def words(self) -> dict[Form, str]:
        """What forms are called, less their models; those that would be called alike also by their steps."""
        forms = dict.fromkeys(score.form for score in self.scores)
        alike = Counter((form.model, form.words) for form in forms)
        twins = Counter((form.model, form.words, form.steps[-1:]) for form in forms)
        found = {}
        for form in forms:
            steps = form.steps if twins[form.model, form.words, form.steps[-1:]] > 1 else form.steps[-1:]
            found[form] = form.words + (f" by {', '.join(steps)}" if alike[form.model, form.words] > 1 else "")
        return found

    def rankings(self) -> list[Ranking]:
        """One for each task that there is."""
        tasks, words = dict.fromkeys(score.form.task for score in self.scores), self.words()
        return [self.ranking(task, words) for task in tasks]

    def ranking(self, task: str, words: Mapping[Form, str]) -> Ranking:
        """The forms of a task."""
        of_form: dict[Form, list[Score]] = defaultdict(list)
        for score in self.scores:
            if score.form.task == task:
                of_form[score.form].append(score)
        spreads = {form: spreads_of(scores) for form, scores in of_form.items()}
        data = [name for name in self.data if any(name in found for found in spreads.values())]
        able = [form for form, found in spreads.items() if found]
        complete = [name for name in data if all(name in spreads[form] for form in able)]
        means = np.array([[spreads[form][name].mean for form in able] for name in complete])
        means = means.reshape(len(complete), len(able))
        ranks = np.array([ranks_of(-row) for row in means]).reshape(means.shape)
        first = means == means.max(axis=1, keepdims=True, initial=-np.inf)
        lines = [
            line_of(form, words[form], of_form[form], spreads[form], ranks[:, number], first[:, number])
            for number, form in enumerate(able)
        ]
        order = sorted(range(len(lines)), key=lambda i: standing(lines[i]))
        tested, ordered = test(means[:, order]), [lines[i] for i in order]
        if tested.corrected:
            ordered = [ordered[0], *(with_p(line, p) for line, p in zip(ordered[1:], tested.corrected, strict=True))]
        unable = [form for form, found in spreads.items() if not found]
        nothing = np.empty(0)
        ordered += [line_of(form, words[form], of_form[form], {}, nothing, nothing) for form in unable]
        return Ranking(task, ordered, complete, data, tested.friedman, tested.why_not)

    def troubles(self) -> list[tuple[str, str, str, str, int, list[str]]]:
        """Status, form, stage and reason of what did not work, of how many cells and of which data sets, in the order
        that these were named in, not that their jobs ended in."""
        found: dict[tuple[str, str, str, str], list[Score]] = defaultdict(list)
        words = self.words()
        for score in self.scores:
            if score.status != "ok":
                reason = score.reason.partition("; see ")[0]
                found[score.status, f"{score.form.model} {words[score.form]}", score.stage, reason].append(score)
        return [
            (*key, len(scores), [name for name in self.data if any(score.dataset == name for score in scores)])
            for key, scores in sorted(found.items())
        ]

    def counts(self) -> dict[str, int]:
        """How many cells have each status."""
        found: dict[str, int] = defaultdict(int)
        for score in self.scores:
            found[score.status] += 1
        return dict(found)


def spreads_of(scores: Iterable[Score]) -> dict[str, Spread]:
    """Of one form, by data set; without those in which no seed gave a value."""
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        if score.value is not None:
            values[score.dataset].append(score.value)
    return {
        name: Spread(len(found), float(np.mean(found)), float(np.std(found, ddof=1)) if len(found) > 1 else None,
                     min(found), max(found))
        for name, found in values.items()
    }  # fmt: skip


def line_of(
    form: Form,
    words: str,
    scores: Sequence[Score],
    spreads: Mapping[str, Spread],
    ranks: np.ndarray,
    first: np.ndarray,
) -> Line:
    means = [spread.mean for spread in spreads.values()]
    variances = [spread.sd**2 for spread in spreads.values() if spread.sd is not None]
    changes = [score.change for score in scores if score.change is not None]
    sizes = [score.size_bytes for score in scores if score.size_bytes is not None]
    return Line(
        form=form,
        words=words,
        by_data=spreads,
        mean=float(np.mean(means)) if means else None,
        seed_sd=float(np.sqrt(np.mean(variances))) if variances else None,
        data_sd=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        change=float(np.mean(changes)) if changes else None,
        worst=min(changes, default=None),
        rank=float(np.mean(ranks)) if len(ranks) else None,
        wins=int(first.sum()),
        size_bytes=float(np.mean(sizes)) if sizes else None,
        ok=sum(score.value is not None for score in scores),
        tried=len(scores),
    )


def with_p(line: Line, p: float) -> Line:
    return replace(line, p=p)


def standing(line: Line) -> tuple[bool, float, bool, float]:
    """By its rank, then by its mean; what has neither is last."""
    return line.rank is None, line.rank or 0.0, line.mean is None, -(line.mean or 0.0)


def ranks_of(values: np.ndarray) -> np.ndarray:
    """Ranks ``(K,)`` from 1, the least value first; equal ones share the mean of their ranks."""
    order = values.argsort(kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    for value in np.unique(values):
        ranks[values == value] = ranks[values == value].mean()
    return ranks


@dataclass(frozen=True)
class Tested:
    """Friedman's p, and the corrected p of each form but the first against that."""

    friedman: float | None = None
    corrected: Sequence[float] = ()
    why_not: str = ""


def test(means: np.ndarray) -> Tested:
    """Whether forms differ. ``means``: ``(data sets, forms)``, the first form's first."""
    count, forms = means.shape if means.ndim == 2 else (0, 0)
    if forms < 2:
        return Tested(why_not="one form has nothing to be compared with")
    if count < LEAST:
        return Tested(why_not=f"{count} data sets with a value of every form are too few for a test ({LEAST})")
    if not find_spec("scipy"):
        return Tested(why_not="scipy is not installed (ecgedge[readers] brings it)")
    from scipy import stats  # heavy

    friedman = None
    if forms > 2 and np.ptp(means, axis=1).any():
        friedman = float(stats.friedmanchisquare(*means.T).pvalue)
    raw = [
        float(stats.wilcoxon(means[:, 0], means[:, k], zero_method="zsplit", method="asymptotic").pvalue)
        if (means[:, 0] != means[:, k]).any()
        else 1.0
        for k in range(1, forms)
    ]
    return Tested(friedman, holm(raw))


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for as many tests, by Holm's step-down."""
    order = np.argsort(p, kind="stable")
    found, most = np.empty(len(p)), 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, p[index] * (len(p) - place)))
        found[index] = most
    return [float(value) for value in found]
