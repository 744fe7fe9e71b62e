"""What is found of a file that answered: is it what it claims, how good is it, how does it differ from its model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecgedge.evaluate.facts import figure, plain, rule_of, told
from ecgedge.evaluate.metric import Change, Metric, Shown
from ecgedge.files.schema import list_of, maybe, number, one_of, record, table_of
from ecgedge.files.values import ANY, CHANGE, COUNTED, LABEL, LINE, MANY, SHARE, TEXT, WORDS


def score(
    name: str, shown: Shown | None = None, task: str = "classification", key: str = "", change: Change | None = None
) -> Metric:
    """A share or an area of which more is better."""
    key = key or name
    return Metric(name, key, "share", True, task=task, ends=(f"{key}_low", f"{key}_high"), shown=shown, change=change)


@dataclass(frozen=True, kw_only=True)
class PrecisionCheck:
    """Whether the file is what it claims to be and ran where it was to, by the graph that ran.

    Attributes:
        text: what was checked.
        weight_shares: of the bytes of weights, by type.
        exempt: weights that may have another type than is claimed, with their bytes.
        computes: how many operations compute in each type.
        float_ops: the names of those that compute in float.
        placed: how many ran on each device; ``placement`` says it in words.
        faults: why a file is not what it claims, each with all names that it is about.
        kinds: whether the runtime said what its operations do; None: they were looked up by name.
    """

    text: str | None = told(TEXT, "precision_check")
    weight_shares: dict[str, float] | None = told(table_of(SHARE, 1000))
    exempt: list[Any] | None = told(list_of(ANY, MANY))
    computes: dict[str, int] | None = told(table_of(COUNTED, 10_000))
    float_ops: list[str] | None = told(WORDS)
    placement: str | None = told(LINE)
    placed: dict[str, int] | None = told(table_of(COUNTED, 10_000))
    faults: list[Any] | None = told(list_of(ANY, MANY))
    input_dtype: str | None = told(LINE)
    output_dtype: str | None = told(LINE)
    kinds: str | None = told(LINE)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A loss that an average may hide: a class, a threshold.

    Attributes:
        gate: its name.
        text: for people.
        label: the class that it is about.
        change: of its figure, with its ``p``.
        decided, right: how often the trained model decided a class that is never decided here, and rightly so.
        threshold, threshold_refitted, threshold_drift, f1, f1_refitted: as in ``Detection`` and ``Refit``.
    """

    gate: str = told(LINE, needed=True)
    text: str = told(TEXT, needed=True)
    label: str | None = told(LABEL)
    change: float | None = told(number())
    p: float | None = told(SHARE)
    decided: int | None = told(COUNTED)
    right: int | None = told(COUNTED)
    threshold: float | None = told(number(least=0))
    threshold_refitted: float | None = told(number(least=0))
    threshold_drift: float | None = told(number())
    f1: float | None = told(SHARE)
    f1_refitted: float | None = told(SHARE)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the answers are better, the same or worse than the trained model's, beats paired.

    Attributes:
        difference: in accuracy or AUROC, with its 95% interval ``low``, ``high`` and its ``p``.
        text: for people.
    """

    result: str = told(one_of("better", "same", "worse"), needed=True)
    difference: float = told(CHANGE, needed=True)
    low: float = told(CHANGE, needed=True)
    high: float = told(CHANGE, needed=True)
    p: float = told(SHARE, needed=True)
    text: str = told(TEXT, needed=True)
    against: str | None = told(LINE)


@dataclass(frozen=True, kw_only=True)
class ChangedDecision:
    """A beat that is decided otherwise than by the trained model.

    Attributes:
        beat: its number among the test beats.
        reference, here: class indices.
        margin: of the trained model's decision.
        label: whether it holds or not, 1 or 0, is what was decided; None where that is a class.
    """

    beat: int = told(COUNTED, needed=True)
    reference: int = told(COUNTED, needed=True)
    here: int = told(COUNTED, needed=True)
    margin: float = told(number(least=0), needed=True)
    label: str | None = told(LABEL)


OF_CLASS = record({**dict.fromkeys(("precision", "recall", "f1"), SHARE), "support": COUNTED}, others=ANY)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good a classifier's answers are.

    Attributes:
        per_class: precision, recall, F1 and support of each label.
        confusion: ``[true][decided]`` counts.
    """

    accuracy: float = figure(
        SHARE,
        score("accuracy", Shown("accuracy", "accuracy", digits=4), change=Change("accuracy", "points", 0.0)),
        needed=True,
    )
    accuracy_low: float | None = told(SHARE)
    accuracy_high: float | None = told(SHARE)
    macro_f1: float | None = figure(SHARE, score("macro_f1", Shown("macro-F1", "macro-F1", digits=4)))
    per_class: dict[str, Any] | None = told(table_of(OF_CLASS, 100_000))
    confusion: list[list[int]] | None = told(list_of(list_of(COUNTED, 100_000), 100_000, least=1))


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How good an anomaly detector's scores and alarms are.

    Attributes:
        auroc, auprc: None where a class is missing.
        f1, precision, recall: of the alarms, at the ``threshold`` that was carried over from the trained model.
        support: how many beats are normal, how many anomalies.
    """

    auroc: float | None = figure(
        maybe(SHARE),
        score("auroc", Shown("AUROC", "AUROC", digits=4), "anomaly", change=Change("auroc", "", 0.0)),
        null=True,
    )
    auroc_low: float | None = told(maybe(SHARE), null=True)
    auroc_high: float | None = told(maybe(SHARE), null=True)
    auprc: float | None = figure(maybe(SHARE), score("auprc", Shown("AUPRC", "AUPRC", digits=4), "anomaly"), null=True)
    f1: float = figure(SHARE, score("f1", Shown("F1", "F1", digits=3), "anomaly"), needed=True)
    precision: float | None = figure(
        SHARE,
        score("precision", Shown("prec", "precision", "of alarms", digits=2, page_digits=3), "anomaly",
              "anomaly_precision"),
    )  # fmt: skip
    recall: float | None = figure(
        SHARE,
        score("recall", Shown("rec", "recall", "of anomalies", digits=2, page_digits=3), "anomaly", "anomaly_recall"),
    )
    threshold: float = told(number(least=0), needed=True)
    support: dict[str, int] | None = told(table_of(COUNTED, 100))


OF_LABEL = record(
    {
        **dict.fromkeys(("auroc", "auprc"), maybe(SHARE)),
        **dict.fromkeys(("f1", "precision", "recall", "ece", "threshold"), SHARE),
        "support": COUNTED,
    },
    others=ANY,
)


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """How good answers are where several labels may hold, see ``api.multilabel``.

    Attributes:
        macro_auroc, macro_auprc: None where no label has one.
        mean_f1: of labels at the thresholds that were carried over from the trained model.
        ece: expected calibration error, the mean over the labels.
        exact: the share of beats of which every label is right.
        per_label: of each label its AUROC, AUPRC, F1, precision, recall, ECE, threshold and support.
    """

    macro_auroc: float | None = figure(
        maybe(SHARE),
        score("macro_auroc", Shown("mAUROC", "macro AUROC", digits=4, means="mean over the labels"), "multilabel",
              change=Change("macro_auroc", "", 0.0)),
        null=True,
    )  # fmt: skip
    macro_auroc_low: float | None = told(maybe(SHARE), null=True)
    macro_auroc_high: float | None = told(maybe(SHARE), null=True)
    macro_auprc: float | None = figure(
        maybe(SHARE),
        score("macro_auprc", Shown("mAUPRC", "macro AUPRC", digits=4, means="mean over the labels"), "multilabel"),
        null=True,
    )
    mean_f1: float = figure(
        SHARE,
        score("mean_f1", Shown("mean F1", "mean F1", digits=4, means="of the labels, at the model's thresholds"),
              "multilabel"),
        needed=True,
    )  # fmt: skip
    exact: float = figure(
        SHARE,
        score("exact_match", Shown("exact", "exact match", digits=4, means="beats with every label right"),
              "multilabel", change=Change("exact_match", "points", 0.0)),
        needed=True,
    )  # fmt: skip
    ece: float = figure(
        SHARE,
        Metric("label_ece", "label_ece", "share", task="multilabel",
               shown=Shown("ECE", "ECE", digits=4, means="expected calibration error, mean over the labels")),
        needed=True,
    )  # fmt: skip
    per_label: dict[str, Any] | None = told(table_of(OF_LABEL, 100_000))


@dataclass(frozen=True, kw_only=True)
class Refit:
    """The threshold as the file itself would set it.

    Attributes:
        drift: relative to the one that was carried over; None where that is 0.
        f1: with it.
    """

    threshold: float = told(number(least=0), "threshold_refitted", needed=True)
    drift: float | None = told(maybe(number()), "threshold_drift", null=True)
    f1: float = told(SHARE, "f1_refitted", needed=True)


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The losses that an average may hide; none is an empty list."""

    gates: list[Gate] = told(list_of(rule_of(Gate), MANY), needed=True, of=Gate)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How the answers differ from the trained model's own.

    Attributes:
        tolerance: the limit that one of the differences is held to, by its name.
        runtime_computes: what the runtime computes in, where it says so: the tolerance hangs on it.
        changed: the first of the beats that are decided otherwise.
        recall_change: of each label; None without beats.
        verdict: None where a class is missing.
    """

    verdict: Verdict | None = told(maybe(rule_of(Verdict)), null=True, of=Verdict)
    max_abs_diff: float | None = figure(number(least=0), Metric("max_abs_diff", "max_abs_diff", "number"))
    mean_abs_diff: float | None = told(number(least=0))
    cosine: float | None = figure(number(), Metric("cosine", "cosine", "number", higher=True))
    tolerance: dict[str, float] | None = told(table_of(number(), 100))
    runtime_computes: str | None = told(maybe(LINE), null=True)
    equal_decisions: float | None = figure(SHARE, Metric("equal_decisions", "equal_decisions", "share", higher=True))
    changed_decisions: int | None = figure(COUNTED, Metric("changed_decisions", "changed_decisions", "number"))
    changed: list[ChangedDecision] | None = told(list_of(rule_of(ChangedDecision), MANY), of=ChangedDecision)
    recall_change: dict[str, float | None] | None = told(table_of(maybe(CHANGE), 100_000))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is found, and whether that is right.

    Attributes:
        status: ``ok``, ``rejected`` or ``failed``.
        reason: why it is not ``ok``, in one line.
    """

    status: str = "ok"
    reason: str = ""
    precision_check: PrecisionCheck | None = None
    quality: Quality | None = None
    detection: Detection | None = None
    labelling: Labelling | None = None
    refit: Refit | None = None
    losses: Losses | None = None
    parity: Parity | None = None

    @property
    def gates(self) -> list[Gate]:
        return self.losses.gates if self.losses else []

    @property
    def flat(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {"status": self.status, "reason": self.reason}
        groups = (
            self.precision_check,
            self.quality,
            self.detection,
            self.labelling,
            self.refit,
            self.losses,
            self.parity,
        )
        for group in groups:
            found |= plain(group) if group is not None else {}
        return found
