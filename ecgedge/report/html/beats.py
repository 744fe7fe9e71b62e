"""Beats as curves, a strip a lead: what went in, and what came out of an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgedge.report.html import svg
from ecgedge.report.html.figures import Figure, Key, stroke
from ecgedge.report.html.svg import Scale

WIDTH, HEIGHT = 280, 150
STRIP = 50  # height of one lead among several
NAMED = 40  # width of their names


@dataclass(frozen=True)
class Trace:
    """The curves ``(C, L)`` of C leads by what they are of."""

    name: str
    values: np.ndarray


def beat_plot(title: str, caption: str, traces: Sequence[Trace], leads: Sequence[str] = ()) -> Figure:
    """The first trace is the beat itself; several leads are strips below each other, all of one scale.

    Args:
        leads: what they are called; empty: they are numbered.
    """
    every = np.concatenate([trace.values for trace in traces])
    middle, reach = (every.max() + every.min()) / 2, max(float(np.ptp(every)) / 2 * 1.05, 1e-6)
    count, length = traces[0].values.shape
    height, left = (HEIGHT, 8) if count == 1 else (STRIP * count, NAMED)
    x = Scale(0, length - 1, left, WIDTH - 8)
    parts = []
    for lead in range(count):
        top, bottom = lead * height / count, (lead + 1) * height / count
        y = Scale(float(middle) - reach, float(middle) + reach, bottom - 6, top + 6)
        parts += [svg.line(x.start, y(0), x.end, y(0), "grid")] if y.low < 0 < y.high else []
        if count > 1:
            name = leads[lead] if len(leads) == count else str(lead + 1)
            parts.append(svg.text(4, (top + bottom) / 2, short(name)))
        for i, trace in enumerate(traces):
            points = [(x(at), y(float(value))) for at, value in enumerate(trace.values[lead])]
            parts.append(svg.path(points, "curve beat" if i == 0 else f"curve c{i - 1}"))
    names = ", ".join(trace.name for trace in traces)
    told = f"Curves: {names}. " + (f"{count} leads, from top to bottom. " if count > 1 else "")
    return Figure(svg.picture(WIDTH, height, title, f"{told}{caption}", *parts, class_="trace"), caption)


def short(name: str, most: int = 6) -> str:
    """A lead's name as a strip has room for it."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def trace_keys(names: Sequence[str]) -> list[Key]:
    """The legend that panels share."""
    return [Key(stroke("beat" if i == 0 else f"c{i - 1}"), name) for i, name in enumerate(names)]


def examples(scores: np.ndarray, positive: np.ndarray, threshold: float) -> list[tuple[str, int]]:
    """Beats worth seeing, with the reason: typical ones of both kinds, the worst mistakes, the closest call.

    Args:
        scores: ``(N,)``.
        positive: ``(N,)`` bool.
    """
    flagged = scores > threshold
    groups = (
        ("a typical normal beat", ~positive & ~flagged, "middle"),
        ("a typical anomaly", positive & flagged, "middle"),
        ("the loudest false alarm", ~positive & flagged, "highest"),
        ("the anomaly that is missed most clearly", positive & ~flagged, "lowest"),
        ("the closest call", np.ones_like(flagged), "closest"),
    )
    found: list[tuple[str, int]] = []
    for words, which, rule in groups:
        numbers = np.flatnonzero(which)
        if not len(numbers):
            continue
        ordered = numbers[np.argsort(scores[numbers], kind="stable")]
        picked = {
            "middle": ordered[len(ordered) // 2],
            "highest": ordered[-1],
            "lowest": ordered[0],
            "closest": numbers[np.argmin(np.abs(np.log(scores[numbers] / threshold)))] if threshold > 0 else ordered[0],
        }[rule]
        if int(picked) not in [number for _, number in found]:
            found.append((words, int(picked)))
    return found
