"""A certificate in words: the verdict, and which beats are decided otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecgedge.portability.certificate import Certificate, Flip, Tried


def lines(certificate: Certificate, names: Sequence[str] = (), most: int = 10) -> list[str]:
    """The verdict, in words: how sure it is, and which beats are decided otherwise.

    Args:
        names: of the decisions; empty: they are told by number.
        most: beats that are told of.
    """
    tried = certificate.tried
    others = [each for each in tried[1:] if not each.identical]
    told = [f"{certificate.verdict}: {summary(certificate)}{of_some(certificate)}"]
    flips: dict[tuple[int, int | None], list[tuple[Tried, Flip]]] = {}
    for each in tried:
        for flip in each.flips:
            flips.setdefault((flip.beat, flip.label), []).append((each, flip))
    for (beat, _), found in sorted(flips.items(), key=lambda item: -item[1][0][1].margin)[:most]:
        flip, where = found[0][1], ", ".join(each.name for each, _ in found)
        if flip.label is None:
            was, now = (names[each] if names else str(each) for each in (flip.here, flip.there))
        else:
            label = names[flip.label] if names else f"label {flip.label}"
            was, now = (label if each else f"no {label}" for each in (flip.here, flip.there))
        told.append(f"beat {beat}: {was} becomes {now}, margin {flip.margin:.3g}; {where}")
    if len(flips) > most:
        more = len(flips) - most
        told.append(f"and {more:,} more decision{'' if more == 1 else 's'}, which --json lists")
    for each in others:
        if each.by == "emulator":
            told.append(
                f"{each.name}: bit for bit as {each.confirmed} answers, so it is not the emulator"
                if each.confirmed
                else f"{each.name}: seen under emulation only: its kernels differ, or the emulator errs"
            )
    return told


def summary(certificate: Certificate) -> str:
    ways = len(certificate.tried)
    if ways == 1:
        return "one family of kernels was tried, which says nothing of others"
    if certificate.verdict == "exact":
        return f"bit for bit the same in all {ways} that were tried"
    if certificate.verdict == "equivalent":
        apart = unit(certificate.largest, certificate.step) + ", in the signs of zeros" * (not certificate.largest)
        margin = f"{certificate.margin:.3g}"
        return f"values differ by {apart} at most, no decision changed; the smallest margin of one is {margin}"
    changed = certificate.flipped
    on = f"{changed:,} beat{'' if changed == 1 else 's'}"
    return f"decisions on {on} change; values differ by {unit(certificate.largest, certificate.step)} at most"


def of_some(certificate: Certificate) -> str:
    """How many ways were given a part of the beats, and how many those were; empty where all were given all."""
    seen = [each.beats for each in certificate.tried if each.beats < certificate.beats]
    if not seen:
        return ""
    return f"; {len(seen)} of the {len(certificate.tried)} ways saw {min(seen):,} of {certificate.beats:,} beats only"


def unit(value: float, step: float | None) -> str:
    """A value, and how many steps of the output it is."""
    if step is None or not math.isfinite(value):
        return f"{value:.3g}"
    steps = round(value / step)
    return f"{value:.3g} ({steps:,} step{'' if steps == 1 else 's'})"
