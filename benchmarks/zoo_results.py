"""The results of ``benchmarks/zoo.py``, and their table."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version

SOURCES = ("ts-fixed", "dynamo-free", "keras", "ts-free", "dynamo-fixed")  # in this order: a cut off run is fair
LIBRARIES = ("torch", "onnx", "onnxruntime-gpu", "onnx2tf", "tensorflow", "keras", "ai-edge-litert")
FORMATS, PRECISIONS = ("onnx", "tflite"), ("fp32", "dynamic", "full-int8")


@dataclass(frozen=True)
class Case:
    """One conversion."""

    network: str
    source: str
    format: str
    precision: str


@dataclass(frozen=True)
class Result:
    """What came of it, by ``who``: ``plain`` or ``ours``; the rest as in ``Verdict`` of ``tests/full/zoo_judge.py``.

    A status may also be ``not exported``: torch's exporter made no file.
    """

    case: Case
    who: str
    status: str
    text: str = ""
    cosine: float | None = None
    difference: float | None = None
    quantized: float | None = None
    seconds: float = 0

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> Result:
        record = json.loads(line)
        return cls(**record | {"case": Case(**record["case"])})


LETTERS = {
    "right": "r", "unquantized": "u", "refused": "f", "rejected": "j", "unclear": "q", "crashed": "x", "wrong": "W",
    "not exported": "-",
}  # fmt: skip
LEGEND = """Each cell: the plain tools, then `ecgedge convert`.
r: right, one beat a call on {tested} held-out beats: fp32 within 1e-4 of the network's own outputs, relative to the
largest; dynamic and full-int8 with a cosine of 0.8 at least and no class lost.
u: right, but its weights are float still.
f: refused in one line that names the operation. j: refused in one line that says how far the answers are from right.
q: refused, the line does neither.
x: a traceback, compiler text, a library's exception, a crash or no end.
W: a file that answers otherwise, without a word.
-: torch exported nothing. Empty, or a dot: not run.
What was right is not run again after a change of ecgedge, unless asked (`--again`)."""


def table(results: Mapping[tuple[Case, str], Result], tested: int, all_of_them: int) -> str:
    """What is there, as Markdown: counts, every conversion, and what does not come out right here, with the reason.

    Args:
        tested: held-out beats.
        all_of_them: conversions that there are.
    """
    done = sum(who == "ours" for _, who in results)
    told = f"{date.today()}, {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}. "
    told += f"{done:,} of {all_of_them:,} conversions were run through ecgedge, {len(results) - done:,} by plain tools."
    parts = ["# The zoo: plain tools and ecgedge", told, LEGEND.format(tested=tested), "## Counts", *counts(results)]
    parts += [
        "## Every conversion",
        *every(results),
        "## Right by the plain tools and not here",
        *listed(results, True),
    ]
    parts += ["## Not right here, nor by the plain tools", *listed(results, False)]
    return "\n\n".join(parts) + "\n"


def counts(results: Mapping[tuple[Case, str], Result]) -> list[str]:
    """By format and precision: of the conversions that both did, and of all that ours did."""
    return [
        "Where the plain tools ran as well:",
        counted([(case, plain, ours) for case, plain, ours in both(results)]),
        "All of ours:",
        counted([(case, None, ours) for (case, who), ours in results.items() if who == "ours" and exported(ours)]),
    ]


def counted(tried: list[tuple[Case, Result | None, Result]]) -> str:
    """A table of statuses, a row for each format and precision, and one for all."""
    plainly, statuses = (
        ("right", "wrong"),
        ("right", "unquantized", "refused", "rejected", "unclear", "crashed", "wrong"),
    )
    compared = any(plain for _, plain, _ in tried)
    head = ["format", "precision", "conversions", *(f"ours {status}" for status in statuses)]
    head += [*(f"plain {status}" for status in plainly), "right by both, of plain's"] if compared else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for form in [*((format, precision) for format in FORMATS for precision in PRECISIONS), ("all", "all")]:
        chosen = [
            (plain.status if plain else "", ours.status)
            for case, plain, ours in tried
            if form in ((case.format, case.precision), ("all", "all"))
        ]
        there, here = Counter(plain for plain, _ in chosen), Counter(ours for _, ours in chosen)
        figures = [len(chosen), *(here[status] for status in statuses)]
        if compared:
            kept = sum(plain == ours == "right" for plain, ours in chosen)
            share = f"{kept} ({kept / there['right']:.0%})" if there["right"] else ""
            figures += [*(there[status] for status in plainly), share]
        lines.append("| " + " | ".join(map(str, (*form, *figures))) + " |")
    return "\n".join(lines)


def exported(result: Result) -> bool:
    return result.status != "not exported"


def both(results: Mapping[tuple[Case, str], Result]) -> Iterator[tuple[Case, Result, Result]]:
    """Conversions that the plain tools and ours both tried, of files that were exported."""
    for (case, who), ours in results.items():
        plain = results.get((case, "plain"))
        if who == "ours" and plain and exported(plain) and exported(ours):
            yield case, plain, ours


def every(results: Mapping[tuple[Case, str], Result]) -> list[str]:
    forms = [(format, precision) for format in FORMATS for precision in PRECISIONS]
    head = ["network", "file", *(f"{format} {precision}" for format, precision in forms)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in dict.fromkeys(case.network for case, _ in results):
        for source in SOURCES:
            cells = []
            for form in forms:
                pair = [results.get((Case(name, source, *form), who)) for who in ("plain", "ours")]
                cells.append(" ".join(LETTERS[found.status] if found else "." for found in pair) if any(pair) else "")
            if any(cells):
                lines.append(f"| {name} | {source} | " + " | ".join(cells) + " |")
    return ["\n".join(lines)]


def listed(results: Mapping[tuple[Case, str], Result], lost: bool) -> list[str]:
    """What did not come out right here, those with one reason together; ``lost``: what the plain tools have right."""
    reasons: dict[tuple[str, str, str], list[Case]] = {}
    for case, plain, ours in both(results):
        if ours.status != "right" and (plain.status == "right") == lost:
            reasons.setdefault((ours.status, plain.status, reason(ours.text)), []).append(case)
    lines = []
    for (status, plainly, text), cases in sorted(reasons.items(), key=lambda item: -len(item[1])):
        where: dict[str, list[str]] = {}
        for case in cases:
            where.setdefault(case.network, []).append(f"{case.source} {case.format} {case.precision}")
        networks = "; ".join(f"{name} ({', '.join(sorted(which))})" for name, which in where.items())
        lines.append(f"- {status} (plain: {plainly}): {networks}: `{text}`")
    return ["\n".join(lines) or "None."]


def reason(text: str) -> str:
    """The line that matters, without places on this machine and names that differ from file to file."""
    found, bar, told = text.partition(" | ")  # what the judge found of a file, and what was said of it
    if bar and not found.startswith(("Failed", "Error")):
        warned = [line for line in told.splitlines() if line.startswith("Warning: a matrix rejects")]
        line = " | ".join([found, *warned[:1]])
    else:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("Warning", "Note"))] or [
            ""
        ]
        line = next((line for line in lines if line.startswith(("Failed", "Error"))), lines[0])
    line = re.sub(r" \(log: [^)]*\)|; see \S+| \((?:model|functional)[\d_]*/[^)]*\)", "", line)
    return re.sub(r"(^|[\s(])/\S*/", r"\1", line).replace("`", "'")[:240]
