"""Two artifacts timed in turns, each in a process of its own: what a change is worth."""

from __future__ import annotations

import base64
import random
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ecgedge.artifacts import Artifact
from ecgedge.lab import Lab
from ecgedge.measure import PROFILES
from ecgedge.records import pack
from ecgedge.results import compare


@dataclass(frozen=True)
class Pair:
    """Medians of one beat a call in microseconds, and the second relative to the first, with its 95% interval.

    Attributes:
        result: of the second: ``"faster"``, ``"slower"`` or ``"tie"``.
    """

    first: float
    second: float
    ratio: float
    low: float
    high: float
    result: str


def time_in_turns(first: Artifact, second: Artifact, runtime: str, lab: Lab, profile: str = "quick") -> Pair:
    """Blocks of both, in random order, round after round.

    Raises:
        ChildError: one of them cannot be loaded, or its process died.
    """
    medians: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        part = lab.parts["runtime", runtime]
        children = [stack.enter_context(lab.child(part, lab.folder / f"timed-{i}.log", 1)) for i in range(2)]
        for child, artifact in zip(children, (first, second), strict=True):
            request = {"runtime": runtime, "artifact": pack(artifact), "beats": str(lab.files["scored"])}
            with lab.turn():
                child.ask("load", lab.seconds, **request, threads=1, seed=lab.seed)
                child.ask("warm_up", lab.seconds)
        for number in range(PROFILES[profile].rounds):
            for i in random.Random(f"{lab.seed} {number}").sample(range(2), 2):
                with lab.turn():
                    children[i].ask("load_anew", lab.seconds)
                    answer = children[i].ask("block", lab.seconds, seconds=PROFILES[profile].block_seconds)
                samples = np.frombuffer(base64.b64decode(answer["samples"]), dtype="<i8").reshape(-1, 2)
                medians[i].append(float(np.median(samples[:, 0])) / 1e3)
    one, other = (np.array(each) for each in medians)
    return Pair(float(np.median(one)), float(np.median(other)), **compare(other, one, floor=None))
