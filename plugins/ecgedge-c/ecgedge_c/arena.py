"""Where activations lie: by lifetime, an output over its input as far as nothing is overwritten that is still read."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ecgedge_c.joins import direct
from ecgedge_c.steps import ANYWHERE, APART, Step

ALIGN = 4  # bytes
TRIES = 300  # orders in which tensors are placed, the best is kept
GAIN = 0.05  # of the arena, which moves have to save
SPENT = 0.01  # of the arena, which may be given back for fewer moves


@dataclass(frozen=True)
class Plan:
    """The steps in the order in which they run, and the place of each tensor.

    Attributes:
        places: bytes from the arena's begin.
        size: bytes of the arena.
    """

    steps: tuple[Step, ...]
    places: Mapping[int, int]
    size: int


@dataclass(frozen=True)
class Life:
    """A tensor's bytes, and the first and last step at which it is there."""

    size: int
    first: int
    last: int


def plan(steps: Sequence[Step], sizes: Mapping[int, int], source: int, result: int, width: int) -> Plan:
    """Order and places with the least memory that was found; the same each time.

    Args:
        steps: whose tensors are places already: what is reshaped lies where it lay.
        sizes: bytes of each tensor.
        source, result: the tensors of input and output.
        width: bytes of a value, in which distances count.
    """
    plans = []
    for made in (direct(steps, source, result, width), list(steps)) if any(step.join for step in steps) else (steps,):
        orderly = [place(order, sizes, source, result, width) for order in orders(made, sizes, source, result)]
        plans.append(with_moves(min(orderly, key=lambda plan: plan.size), sizes, source, result, width))
    return min(plans, key=lambda plan: plan.size)  # of equals the first, which copies less


def with_moves(planned: Plan, sizes: Mapping[int, int], source: int, result: int, width: int) -> Plan:
    """The plan with tensors moved before they are read, as few as make the arena smaller by ``GAIN``, else as it is.

    All kernels go from the first sample to the last, so an output lies at or before its input. Where what is read next
    has to lie further back, it is copied there.
    """
    most = planned.size * (1 - GAIN)
    if live_bytes(planned.steps, lives_of(planned.steps, sizes, source, result)) > most:
        return planned

    def moving(reads: list[tuple[int, int]]) -> Plan:
        steps, grown = moved(planned.steps, sizes, reads)
        return place(steps, grown, source, result, width)

    reads = [(number, index) for number, step in enumerate(planned.steps) for index in {*step.reads} - {result}]
    best = moving(reads)
    if best.size > most:
        return planned
    most = best.size * (1 + SPENT)
    for one in sorted(reads, key=lambda read: -sizes[read[1]]):
        fewer = [other for other in reads if other != one]
        if (found := moving(fewer)).size <= most:
            best, reads = found, fewer
    return best


def moved(
    steps: Sequence[Step], sizes: Mapping[int, int], reads: Sequence[tuple[int, int]]
) -> tuple[list[Step], dict[int, int]]:
    """Steps in which tensors are copied, each ``(number of a step, tensor)`` just before that step, and all sizes."""
    made, now, grown = list[Step](), {index: index for index in sizes}, dict(sizes)
    for number, step in enumerate(steps):
        for index in (index for at, index in reads if at == number):
            new = max(grown) + 1
            grown[new] = sizes[index]
            call = f"memmove({{y}}, {{0}}, {sizes[index]});"
            made.append(Step("", "", (now[index],), new, (ANYWHERE,), f"for {step.told}", call=call))
            now[index] = new
        made.append(replace(step, reads=tuple(now[index] for index in step.reads)))
    return made, grown


def orders(steps: Sequence[Step], sizes: Mapping[int, int], source: int, result: int) -> list[list[Step]]:
    """Orders to try: that of the file, and the one that keeps the fewest bytes alive, step by step."""
    uses = {index: sum(index in step.reads for step in steps) for index in sizes}
    uses[result] += 1
    left, alive, thrifty = list(steps), {source}, list[Step]()
    while left:
        unfinished = {step.writes for step in left}
        ready = [step for step in left if {*step.reads} <= alive - unfinished]

        def growth(step: Step) -> tuple[int, int]:
            freed = sum(sizes[index] for index in {*step.reads} if uses[index] == 1)
            return (0 if step.writes in alive else sizes[step.writes]) - freed, steps.index(step)

        chosen = min(ready, key=growth)
        for index in {*chosen.reads}:
            uses[index] -= 1
            if not uses[index]:
                alive.discard(index)
        alive.add(chosen.writes)
        left.remove(chosen)
        thrifty.append(chosen)
    return [list(steps), thrifty]


def place(steps: Sequence[Step], sizes: Mapping[int, int], source: int, result: int, width: int) -> Plan:
    """Places for one order of steps: tensors one after another, each as low as it can lie, in many orders."""
    lives = lives_of(steps, sizes, source, result)
    before = overlaps(steps, lives, width)
    by_size = sorted(lives, key=lambda index: (-lives[index].size, lives[index].first))
    by_time = sorted(lives, key=lambda index: (lives[index].first, -lives[index].size))
    generator, tried = random.Random(0), [by_size, by_time, by_time[::-1]]
    for _ in range(TRIES):
        tried.append(sorted(by_size, key=lambda index: lives[index].size * generator.uniform(0.3, 1), reverse=True))
    least = live_bytes(steps, lives)
    best: Plan | None = None
    for order in tried:
        places: dict[int, int] = {}
        for index in order:
            places[index] = lowest(index, places, lives, before)
        size = max(places[index] + lives[index].size for index in places)
        if best is None or size < best.size:
            best = Plan(tuple(steps), places, size)
        if size <= least:
            break
    assert best is not None
    return best


def lives_of(steps: Sequence[Step], sizes: Mapping[int, int], source: int, result: int) -> dict[int, Life]:
    first, last = {source: -1}, {source: -1}
    for number, step in enumerate(steps):
        first.setdefault(step.writes, number)
        for index in (step.writes, *step.reads):
            last[index] = number
    last[result] = len(steps)
    return {index: Life(-(-sizes[index] // ALIGN) * ALIGN, first[index], last[index]) for index in first}


def live_bytes(steps: Sequence[Step], lives: Mapping[int, Life]) -> int:
    """Bytes of what is alive beside a step's output, at the worst step: less cannot be enough."""
    worst = 0
    for number in range(len(steps)):
        kept = sum(life.size for life in lives.values() if life.first < number < life.last)
        made = lives[steps[number].writes].size if lives[steps[number].writes].first == number else 0
        read = sum(lives[index].size for index in {*steps[number].reads} if lives[index].last == number)
        worst = max(worst, kept + max(made, read))
    return worst


def overlaps(steps: Sequence[Step], lives: Mapping[int, Life], width: int) -> dict[tuple[int, int], int]:
    """How many bytes an output has to begin before an input that ends with its step, by (output, input).

    Of an output that several steps make, the first one's alone: when the others come, there is something in it.
    """
    found: dict[tuple[int, int], int] = {}
    for number, step in enumerate(steps):
        if lives[step.writes].first != number:
            continue
        for index, distance in zip(step.reads, step.distance, strict=True):
            if lives[index].last == number and distance < APART:
                needed = -(-distance * width // ALIGN) * ALIGN
                found[step.writes, index] = max(found.get((step.writes, index), needed), needed)
    return found


def lowest(
    index: int, places: Mapping[int, int], lives: Mapping[int, Life], before: Mapping[tuple[int, int], int]
) -> int:
    """The lowest place where a tensor disturbs none of those that have theirs."""
    life = lives[index]
    rivals = [other for other in places if life.first <= lives[other].last and lives[other].first <= life.last]
    candidates = {0}
    for other in rivals:
        candidates.add(places[other] + lives[other].size)
        if (index, other) in before:
            candidates.add(max(0, places[other] - before[index, other]))
        if (other, index) in before:
            candidates.add(max(0, places[other] + before[other, index]))
    for candidate in sorted(candidates):
        if all(fits(index, candidate, other, places[other], lives, before) for other in rivals):
            return candidate
    raise AssertionError("behind all others there is room")


def fits(
    index: int,
    at: int,
    other: int,
    there: int,
    lives: Mapping[int, Life],
    before: Mapping[tuple[int, int], int],
) -> bool:
    """Whether two tensors that are there at the same time may lie at these places."""
    if at + lives[index].size <= there or there + lives[other].size <= at:
        return True
    if (index, other) in before and at + before[index, other] <= there:
        return True
    return (other, index) in before and there + before[other, index] <= at
