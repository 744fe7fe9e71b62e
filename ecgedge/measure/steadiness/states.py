"""Which blocks were timed in the machine's usual quick state: told from the reference kernel and the scheduler.

A block's own times are never looked at. A cell that has two speeds on a steady machine keeps all of its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from ecgedge.evaluate.intervals import median_interval

USUAL = 1 / 6  # of all blocks at least are in a state that counts as usual
WIDTH_LEAST = 0.06  # a state is so wide to either side of its middle, on a log scale; wider where the kernel is noisy
WIDTH_MOST = 0.25
NOISES = 8  # standard deviations of the kernel's own noise that a state is wide
BETWEEN = 0.1  # on a log scale: so far a group's own level may be from that of all, as they are timed minutes apart
LOST = 0.1  # so much more of its time than is usual may a block have lost to other processes and machines
HALF_WIDTH = 1.349  # standard deviations that the shortest half of normal values spans
LEAST = 6  # blocks or rounds, with fewer of which a median has no 95% interval
ENOUGH = 0.75  # of the rounds that the profile asks for have to be in the quick state
MOST = 3  # times as many rounds are timed at most


@dataclass(frozen=True)
class Reading:
    """The kernel's times beside one block.

    Attributes:
        name: of the cell or twin, each of which is a process.
        group: of the names that are timed in the same rounds.
        kernel: which one it was; only times of the same one are compared.
        before, after: nanoseconds.
        lost: the share of the block's time in which others had its processor, as the system tells; 0 where it does not.
    """

    name: str
    group: Hashable
    round: int
    kernel: str
    before: float
    after: float
    lost: float = 0.0

    @property
    def log(self) -> float:
        """The slower of the two, since a block has to be quick from end to end."""
        return math.log(max(self.before, self.after))


def enough_blocks(rounds: int) -> int:
    """How many blocks of a cell have to be in the quick state where a profile asks for so many rounds."""
    return min(rounds, max(LEAST, math.ceil(ENOUGH * rounds)))


def enough_pairs(rounds: int) -> int:
    """How many rounds two cells have to have in the quick state, both, to be compared."""
    return min(rounds, LEAST)


def most_rounds(rounds: int) -> int:
    """How many rounds are timed at most, while there are not enough in the quick state."""
    return MOST * rounds


def quick_readings(readings: Sequence[Reading]) -> set[tuple[str, int]]:
    """Name and round of each block that was timed in the machine's usual quick state.

    The state is the quickest one that a sixth of the blocks share: the lowest window of the width of a state that
    holds so many, and what is within that width of the window's median. Its width comes from how far the two
    readings of one block differ, so that noise of the kernel is no state: eight standard deviations of it. It is looked
    for among all blocks, and then among those of each group, which may have drifted a little from all.

    The kernel runs beside a block, not within it: what lost a tenth more of its time to others than the sixth of all
    blocks that lost least is not in that state, however quick the kernel was: others leave their data in the caches.
    """
    quick = set()
    for kernel in dict.fromkeys(reading.kernel for reading in readings):
        same = [reading for reading in readings if reading.kernel == kernel]
        offsets = own_offsets(same)
        width = grid(state_width([math.log(each.after / each.before) for each in same]))
        logs: dict[Hashable, dict[tuple[str, int], float]] = {}
        for each in same:
            logs.setdefault(each.group, {})[each.name, each.round] = grid(each.log - offsets[each.name])
        usual = usual_level(sorted(value for group in logs.values() for value in group.values()), width)
        for group in logs.values():
            own = usual_level(sorted(group.values()), width)
            level = own if apart(own, usual) <= max(BETWEEN, width) else usual
            quick |= {key for key, value in group.items() if apart(value, level) <= width}
    return quick - interrupted(readings) if quick else quick


def interrupted(readings: Sequence[Reading]) -> set[tuple[str, int]]:
    """Name and round of each block that lost more of its time to others than is usual.

    What a name loses in each of its rounds, beyond what another of its group loses at least, is its own doing: its
    threads take turns on too few processors.
    """
    least: dict[Hashable, dict[str, float]] = {}
    for each in readings:
        names = least.setdefault(each.group, {})
        names[each.name] = min(names.get(each.name, math.inf), each.lost)
    lost = {
        (each.name, each.round): grid(each.lost - least[each.group][each.name] + min(least[each.group].values()))
        for each in readings
    }
    usual = sorted(lost.values())[math.ceil(USUAL * len(lost)) - 1]
    return {key for key, share in lost.items() if share > grid(usual + LOST)}


def own_offsets(readings: Sequence[Reading]) -> dict[str, float]:
    """What a process itself does to the kernel in all of its rounds, on a log scale, the least being 0.

    Threads that still spin after a block, or a frequency lowered by a cell's own instructions, are no state of the
    machine. They differ from the median of the others in the same rounds: by the 95% interval of that difference,
    of which the end next to 0 is taken, and 0 where 0 is in it.
    """
    groups: dict[Hashable, list[Reading]] = {}
    for each in readings:
        groups.setdefault(each.group, []).append(each)
    found: dict[str, float] = {}
    for ours in groups.values():
        rounds: dict[int, list[float]] = {}
        differences: dict[str, list[float]] = {}
        for each in ours:
            rounds.setdefault(each.round, []).append(each.log)
        middles = {number: median(logs) for number, logs in rounds.items()}
        for each in ours:
            differences.setdefault(each.name, []).append(each.log - middles[each.round])
        offsets = {name: nearest_to_none(values) for name, values in differences.items()}
        found |= {name: value - min(offsets.values()) for name, value in offsets.items()}
    return found


def nearest_to_none(differences: Sequence[float]) -> float:
    """The end next to 0 of the 95% interval of their median; 0 where that holds 0, or they are too few for one."""
    if len(differences) < LEAST:
        return 0.0
    low, high = median_interval(np.array(differences))
    return max(low, 0.0) + min(high, 0.0)


def state_width(differences: Sequence[float]) -> float:
    """How far from its middle a state reaches, from the differences of the two readings of each block."""
    ordered = sorted(differences)
    half = math.ceil(len(ordered) / 2)
    shortest = min(ordered[i + half - 1] - ordered[i] for i in range(len(ordered) - half + 1))
    noise = shortest / HALF_WIDTH / math.sqrt(2)
    return min(max(NOISES * noise, WIDTH_LEAST), WIDTH_MOST)


def usual_level(ordered: Sequence[float], width: float) -> float:
    """The median of the lowest window of that width that holds enough of the sorted values; where none does, of the
    shortest that holds so many."""
    count = math.ceil(USUAL * len(ordered))
    spans = [apart(ordered[i + count - 1], ordered[i]) for i in range(len(ordered) - count + 1)]
    first = next((i for i, span in enumerate(spans) if span <= width), spans.index(min(spans)))
    return median(value for value in ordered[first:] if apart(value, ordered[first]) <= max(width, spans[first]))


def grid(value: float) -> float:
    """A value to a billionth. What is compared must not hang on the last bit of a logarithm: another implementation,
    such as that of ``ecgedge check``, may have another one there."""
    return round(value, 9)


def apart(first: float, second: float) -> float:
    """How far two values are from each other, without the noise of floating point."""
    return round(abs(first - second), 12)


def reading_of(block: dict[str, Any], group: Hashable) -> Reading | None:
    """The reading that a block's record in the journal holds; None where it was timed without one."""
    if "reference_ns" not in block:
        return None
    before, after = block["reference_ns"]
    return Reading(block["cell"], group, block["round"], block["kernel"], before, after, lost_in(block))


def lost_in(block: Mapping[str, Any]) -> float:
    """The share of a block's time that a hypervisor or the system gave to others, as far as it is told."""
    return float(block.get("steal", 0.0) + block.get("waited", 0.0))
