"""Are times over ssh those of a local process? One file, in two of them and in one on a board that is this machine.

    ecgedge board add loop --ssh localhost
    python benchmarks/loopback.py loop FILE.tflite --rounds 20

Three processes are timed in turns, round after round in random order: ``one`` and ``other`` of this machine, whose
ratio is noise, and ``there``, over ssh. Nothing goes over the connection while a block is timed, so that the ratio of
``there`` to ``one`` has to be within the same noise. Rounds count in which all three were in the machine's usual
quick state; as in a matrix, more are timed while these are too few.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ecgedge.devices import boards
from ecgedge.devices.link import Link
from ecgedge.evaluate.intervals import paired_ratio
from ecgedge.explain.study import write_beats
from ecgedge.measure.steadiness import Reading, enough_blocks, lost_in, most_rounds, quick_readings
from ecgedge.run.block import time_block
from ecgedge.workers import protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import Child
from ecgedge.workers.protocol import answered, pack
from ecgedge.workers.session import OpenSession, open_session

SECONDS, BLOCK = 300, 0.1  # the limit of a question; of timed calls
NAMES = ("one", "other", "there")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board", help="a board that is this machine")
    parser.add_argument("file", type=Path)
    parser.add_argument("--runtime", default="tflite")
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        link = stack.enter_context(Link(boards.find(asked.board), folder / "link.log"))
        children = {name: stack.enter_context(Child(folder / name, 1)) for name in NAMES[:2]}
        there = stack.enter_context(BoardChild(link, folder / "there", 1))
        inspected = children["one"].ask(protocol.Inspect(asked.runtime, asked.file.absolute()), SECONDS)
        artifact = answered(inspected, asked.runtime)
        beats = write_beats(artifact, 64, folder / "beats.npy")
        question = protocol.Open(asked.runtime, pack(artifact), 1, timed=protocol.Draw(beats, 0))
        sessions = {
            name: open_session(child, question, SECONDS) for name, child in (*children.items(), (NAMES[2], there))
        }
        for session in sessions.values():
            session.warm_up()
        medians, quick = time_all(sessions, asked.rounds)
    steady = len(quick) >= enough_blocks(asked.rounds)
    rounds = sorted(quick) if steady else range(len(medians))
    print(
        f"{asked.file.name} on {asked.runtime}: {len(medians)} rounds, of which {len(quick)} in the usual quick state"
    )
    print("" if steady else "unsteady: too few; what follows is of all rounds")
    for name in NAMES[1:]:
        pairs = np.array([[medians[number][name], medians[number]["one"]] for number in rounds])
        ratio, low, high = paired_ratio(pairs[:, 0], pairs[:, 1])
        times = " and ".join(f"{each:.2f} us" for each in np.median(pairs, axis=0))
        print(f"{name:>5} / one: {ratio:.4f} [{low:.4f}, {high:.4f}]  ({times})")


def time_all(sessions: dict[str, OpenSession], rounds: int) -> tuple[list[dict[str, float]], set[int]]:
    """Microseconds of each by round, and the rounds in which all were in the quick state."""
    medians: list[dict[str, float]] = []
    readings: list[Reading] = []
    quick: set[int] = set()
    while len(medians) < rounds or (len(medians) < most_rounds(rounds) and len(quick) < enough_blocks(rounds)):
        number = len(medians)
        medians.append({})
        for name in random.Random(number).sample(NAMES, len(NAMES)):
            block = time_block(sessions[name], BLOCK)
            medians[-1][name] = block.median_us
            before, after = block.state["reference_ns"]
            lost = lost_in(block.state)
            readings.append(Reading(name, "", number, block.state["kernel"], before, after, lost))
        found = quick_readings(readings)
        quick = {each for each in range(len(medians)) if {(name, each) for name in NAMES} <= found}
    return medians, quick


if __name__ == "__main__":
    main()
