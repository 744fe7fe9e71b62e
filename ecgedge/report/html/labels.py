"""Where the labels of a plot go, so that none covers another.

Label by label, each takes the best free place on rings around its point. What has to be labelled goes
first, in the best of many tries; it may move away, with a line back, or cover a marker. Other labels
stay beside their point or are left out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecgedge.report.html.svg import FONT, width_of

GAP = 3.0  # pixels between a marker and its label
AIR = 2.0  # pixels around a label
RINGS = 14  # of places for what has to be labelled
RING = 9.0  # pixels from one to the next
COVERED = 15.0  # what a covered marker costs, in rings; LOST: what a label costs that has no place
LOST = 1000.0
TRIES, SHAKE = 150, 12.0  # other orders that are tried, and by how much costs are shaken in each
STEPS = 24  # points by which a line is known
ANGLES = (0, 180, 270, 90, 330, 210, 30, 150, 300, 240, 60, 120)  # degrees, clockwise; beside the point first

Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Box:
    """Pixels; ``bottom`` is the larger."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, x: float, y: float) -> bool:
        return self.left < x < self.right and self.top < y < self.bottom

    def within(self, other: Box) -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.top <= self.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True)
class Point:
    """A marker of that radius, and what it may be called; ``must``: it has to be labelled, in bold."""

    x: float
    y: float
    radius: float
    words: str
    must: bool = False

    @property
    def box(self) -> Box:
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


@dataclass(frozen=True)
class Place:
    """A label's box; where it is far off, the line that leads there."""

    box: Box
    ring: int = 0
    leader: Line | None = None

    def apart(self, other: Place) -> bool:
        """Whether neither the labels nor the lines to them cover each other's label."""
        return not (self.box.meets(other.box) or self.covers(other.leader) or other.covers(self.leader))

    def covers(self, leader: Line | None) -> bool:
        return leader is not None and any(self.box.holds(*at) for at in leader)


Offer = tuple[float, Place]  # with its cost


def place(points: Sequence[Point], area: Box) -> list[Place | None]:
    """A place for each label, None for one that is left out; no two boxes meet, and none leaves ``area``."""
    offers = [offers_of(i, points, area) for i in range(len(points))]
    must = [i for i, point in enumerate(points) if point.must]
    rest = [i for i, point in enumerate(points) if not point.must]
    rng = random.Random(0)
    best = settle(must, offers, {})
    for _ in range(TRIES if len(must) > 1 else 0):
        shuffled = {i: sorted(offers[i], key=lambda offer: offer[0] + rng.uniform(0, SHAKE)) for i in must}
        best = min(best, settle(rng.sample(must, len(must)), shuffled, {}), key=lambda found: found[0])
    _, found = settle(rest, offers, best[1])
    return [found.get(i) for i in range(len(points))]


def offers_of(i: int, points: Sequence[Point], area: Box) -> list[Offer]:
    """The places for one label by their cost: rings away, and markers covered."""
    markers = [point.box for j, point in enumerate(points) if j != i]
    found = []
    for one in places(points[i]):
        if one.box.within(area):
            covered = sum(one.box.meets(box) for box in markers)
            if points[i].must or not covered:
                found.append((one.ring + COVERED * covered, one))
    return sorted(found, key=lambda offer: offer[0])


def settle(
    order: Sequence[int], offers: Mapping[int, list[Offer]] | Sequence[list[Offer]], before: Mapping[int, Place]
) -> tuple[float, dict[int, Place]]:
    """One label after another takes the first free place of its offers; with the cost of all."""
    cost, found = 0.0, dict(before)
    for i in order:
        free = ((price, one) for price, one in offers[i] if all(one.apart(other) for other in found.values()))
        price, one = next(free, (LOST, None))
        cost += price
        if one:
            found[i] = one
    return cost, found


def places(point: Point) -> Iterator[Place]:
    """The nearest first."""
    width, height = width_of(point.words, point.must) + 2 * AIR, FONT + 2 * AIR
    for ring in range(RINGS if point.must else 1):
        reach = point.radius + GAP + RING * ring
        for angle in ANGLES:
            across, down = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # the box touches the ring with the corner or side that faces the point
            left = point.x + reach * across - width * (1 - across) / 2
            top = point.y + reach * down - height * (1 - down) / 2
            box = Box(left, top, left + width, top + height)
            yield Place(box, ring, line_to(point, box) if ring else None)


def line_to(point: Point, box: Box) -> Line:
    """From a point to the nearest spot of a box."""
    x, y = min(max(point.x, box.left), box.right), min(max(point.y, box.top), box.bottom)
    return tuple((point.x + (x - point.x) * i / STEPS, point.y + (y - point.y) * i / STEPS) for i in range(STEPS + 1))
