"""Which blocks were timed in the machine's usual quick state, by the reference kernel beside them and the scheduler."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ecgedge.audit import stats

Record = dict[str, Any]

USUAL = 6  # a state is usual that so many blocks at most have one of in it
LEAST, MOST, BETWEEN = 0.06, 0.25, 0.1  # logarithms: the least and the largest width of a state; between models
NOISES, HALF = 8, 1.349  # standard deviations: a state's width; what the shortest half of normal values spans
LOST = 0.1  # a share of a block's time
FEW = 6  # values, with fewer of which there is no 95% interval
GRID, FINE = 9, 12  # decimals of what is compared, and of differences of such: no last bit of a logarithm decides


def quick_blocks(blocks: list[tuple[str, Record]]) -> set[tuple[str, int]]:
    """Name and round of each such block, of all with their models."""
    found: set[tuple[str, int]] = set()
    for kernel in {block["kernel"] for _, block in blocks}:
        same = [(model, block) for model, block in blocks if block["kernel"] == kernel]
        names = np.array([block["cell"] for _, block in same])
        models = np.array([model for model, _ in same])
        rounds = np.array([block["round"] for _, block in same])
        times = np.array([block["reference_ns"] for _, block in same], dtype=np.float64)
        if not (np.isfinite(times) & (times > 0)).all():
            raise ValueError("a reference kernel that took no time")
        slower = np.log(times.max(axis=1))
        for model in set(models):
            slower[models == model] -= offsets(*(each[models == model] for each in (names, rounds, slower)))
        slower = np.round(slower, GRID)
        width = round(width_of(np.log(times[:, 1] / times[:, 0])), GRID)
        whole = middle(slower, width)
        for model in set(models):
            own = middle(slower[models == model], width)
            at = own if round(abs(own - whole), FINE) <= max(BETWEEN, width) else whole
            near = (models == model) & (np.round(np.abs(slower - at), FINE) <= width)
            found |= {(str(name), int(number)) for name, number in zip(names[near], rounds[near])}
    return found - waiting(blocks) if blocks else found


def waiting(blocks: list[tuple[str, Record]]) -> set[tuple[str, int]]:
    """Those that lost a tenth more of their time to others than the sixth that lost least.

    A cell's own least loss, above the least of its model, is not counted.
    """
    names = np.array([block["cell"] for _, block in blocks])
    models = np.array([model for model, _ in blocks])
    lost = np.array([block.get("steal", 0.0) + block.get("waited", 0.0) for _, block in blocks])
    if not np.isfinite(lost).all():
        raise ValueError("a share of time that is no number")
    own = np.array([lost[(names == name) & (models == model)].min() for model, name in zip(models, names)])
    lost = np.round(lost - own + np.array([own[models == model].min() for model in models]), GRID)
    most = round(float(np.sort(lost)[-(-len(lost) // USUAL) - 1]) + LOST, GRID)
    return {(block["cell"], block["round"]) for (_, block), share in zip(blocks, lost) if share > most}


def offsets(names: np.ndarray, rounds: np.ndarray, slower: np.ndarray) -> np.ndarray:
    """What each name adds to its readings in all rounds alike, beyond the name that adds least."""
    off = slower.copy()
    for number in set(rounds):
        off[rounds == number] -= stats.quantile(slower[rounds == number], 0.5)
    labels, codes = np.unique(names, return_inverse=True)
    own = np.zeros(len(labels))
    for code in range(len(labels)):
        mine = off[codes == code]
        low, high = stats.order_interval(mine.tolist())
        if len(mine) >= FEW and (low > 0 or high < 0):
            own[code] = min(low, high, key=abs)
    return own[codes] - own.min()


def width_of(differences: np.ndarray) -> float:
    """From the shortest half of the differences between after and before."""
    ordered, half = np.sort(differences), (len(differences) + 1) // 2
    spans = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
    return float(np.clip(NOISES * spans.min() / (HALF * math.sqrt(2)), LEAST, MOST))


def middle(values: np.ndarray, width: float) -> float:
    """The median of the lowest window that holds enough values, not wider than a state where there is such a one."""
    ordered = np.sort(values)
    count = -(-len(ordered) // USUAL)
    spans = np.round(ordered[count - 1 :] - ordered[: len(ordered) - count + 1], FINE)
    start = int(np.argmax(spans <= width)) if (spans <= width).any() else int(np.argmin(spans))
    beyond = np.round(ordered[start:] - ordered[start], FINE)
    return stats.quantile(ordered[start:][beyond <= max(width, spans[start])], 0.5)
