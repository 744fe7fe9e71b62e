"""From the journal of a run to its rows: pure, so that rows can be made again without measuring anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.evaluate import intervals
from ecgedge.evaluate.facts import plain
from ecgedge.evaluate.portable import CertifiedFile
from ecgedge.measure.steadiness import enough_blocks, enough_pairs, quick_readings, reading_of
from ecgedge.run.journal import samples
from ecgedge.run.measurement import TimeRatio
from ecgedge.run.reading import blocks_of
from ecgedge.run.row import Row, TimedBy

Record = dict[str, Any]
Timed = tuple[str, TimedBy]  # a model, and what some of its cells were timed by

TIE = 0.02  # relative; by that much two processes of one file may differ, see docs/how-figures-are-made.md
P99_CALLS = 3000  # with fewer, the slowest hundredth is a handful of calls
UNSTEADY = "unsteady"  # of a comparison: the machine's state was another for too many of the rounds


@dataclass(frozen=True)
class Noise:
    """A file that was timed twice, in two processes.

    Attributes:
        cell: its id.
        ratio: of the times of the two.
        floor: how far from 1 that may be, with 95% confidence.
    """

    cell: str
    ratio: TimeRatio
    floor: float

    @property
    def result(self) -> str:
        return self.ratio.result

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"cell": self.cell, **plain(self.ratio), "floor": self.floor}


def fixed_rounds(row: Mapping[str, Any], rounds: int) -> int | None:
    """How many rounds a scored cell has whatever state this machine is in: as many as its runtime asks for, or those of
    the profile where its times are by a clock of its own; None: that hangs on the state."""
    asked: int | None = (row.get("blocks_asked") or {}).get("rounds")
    return asked or (rounds if row.get("clock") else None)


class Timing:
    """The timed blocks of a run, and those of them that figures are made from.

    These are the blocks in the machine's usual quick state, by the reference kernel beside them. Where too few are,
    it is all of them, and the figures are called unsteady. Blocks of older runs have no reference: all count, and
    nothing is said of the machine. Nor is it of blocks that a session timed by a clock of its own: all of these count.
    Each board has states of its own.

    Attributes:
        blocks: the recorded blocks of each cell and twin, by round.
        by: the board on which each cell and twin was timed, and its clock.
        kernels: median nanoseconds of each reference kernel in the quick state, by board.
    """

    def __init__(self, records: Sequence[Record], rounds: int, folder: Path):
        self.rounds, self.folder, self.blocks = rounds, folder, blocks_of(records)
        self.rows = {record["cell"]: record["row"] for record in records if record["event"] == "scored"}
        self.rows |= {record["name"]: self.rows[record["cell"]] for record in records if record["event"] == "twin"}
        self.by: dict[str, TimedBy] = {name: (row.get("board"), row.get("clock")) for name, row in self.rows.items()}
        self.by |= {name: (self.board_of(name), each[0].get("clock")) for name, each in self.blocks.items()}
        self.medians: dict[str, dict[int, float]] = {}  # of each block that was asked for
        self.quick: set[tuple[str, int]] = set()
        self.kernels: dict[tuple[str | None, str], float] = {}
        self.known: set[str | None] = set()  # the boards whose state is told
        for board in dict.fromkeys(board for board, _ in self.by.values()):
            self.look_for_states(board)

    def look_for_states(self, board: str | None) -> None:
        """Which blocks of a board, or of this machine, were timed in its usual quick state."""
        names = [name for name in self.blocks if self.by[name] == (board, None)]
        readings = [
            reading_of(block, self.rows.get(name, {}).get("model")) for name in names for block in self.blocks[name]
        ]
        told = [reading for reading in readings if reading]
        if not told or len(told) < len(readings):
            return
        self.known.add(board)
        self.quick |= quick_readings(told)
        times: dict[str, list[float]] = {}
        for reading in told:
            if (reading.name, reading.round) in self.quick:
                times.setdefault(reading.kernel, []).append(max(reading.before, reading.after))
        self.kernels |= {(board, kernel): float(np.median(each)) for kernel, each in times.items()}

    def asked(self, name: str) -> int:
        """How many rounds a cell or twin has at least."""
        return fixed_rounds(self.rows.get(name, {}), self.rounds) or self.rounds

    def told(self, *names: str) -> bool:
        """Whether the references tell the state of the machine in each block of all of these."""
        return bool(names) and all(self.clock_of(name) is None and self.board_of(name) in self.known for name in names)

    def board_of(self, name: str) -> str | None:
        """On which a cell or twin was timed; None: this machine."""
        return self.by.get(name, (None, None))[0]

    def clock_of(self, name: str) -> str | None:
        """By which it was; None: that of the machine that it ran on."""
        return self.by.get(name, (None, None))[1]

    def quick_blocks(self, name: str) -> list[Record]:
        """The blocks in the quick state; all, where there are no references."""
        blocks = self.blocks[name]
        return [each for each in blocks if (name, each["round"]) in self.quick] if self.told(name) else blocks

    def unsteady(self, name: str) -> bool:
        """Whether too few of its blocks were in the quick state."""
        return self.told(name) and len(self.quick_blocks(name)) < enough_blocks(self.asked(name))

    def used(self, name: str) -> list[Record]:
        """The blocks that figures are made from."""
        return self.blocks[name] if self.unsteady(name) else self.quick_blocks(name)

    def common(self, first: str, second: str) -> tuple[list[int], bool]:
        """The rounds by which two of one model are compared, and whether enough of them are in the quick state."""
        rounds = [{block["round"] for block in self.blocks.get(name, ())} for name in (first, second)]
        shared = sorted(rounds[0] & rounds[1])
        if not self.told(first, second):
            return shared, True
        quick = [each for each in shared if {(first, each), (second, each)} <= self.quick]
        steady = len(quick) >= enough_pairs(min(self.asked(first), self.asked(second)))
        return (quick if steady else shared), steady

    def comparable(self, first: str, second: str) -> bool:
        """Whether a ratio of their times means anything: they are of one board, by one clock."""
        return self.by.get(first) == self.by.get(second)

    def ratio(self, first: str, second: str) -> intervals.Ratio:
        """Of the rounds that count."""
        rounds, _ = self.common(first, second)
        return intervals.paired_ratio(
            *(np.array([self.median(name, each) for each in rounds]) for name in (first, second))
        )

    def compare(self, first: str, second: str, floor: float | None) -> TimeRatio:
        """As ``compare``, of the rounds that count; ``rounds`` says how many, where there are references."""
        found = judged(self.ratio(first, second), floor)
        if not self.told(first, second):
            return found
        rounds, steady = self.common(first, second)
        return replace(found, rounds=len(rounds), result=found.result if steady else UNSTEADY)

    def median(self, name: str, number: int) -> float:
        """Median nanoseconds of the model in the block of one round."""
        known = self.medians.setdefault(name, {})
        if number not in known:
            block = next(block for block in self.blocks[name] if block["round"] == number)
            known[number] = float(np.median(samples(self.folder, block)[:, 0]))
        return known[number]

    def latency(self, name: str) -> Record:
        """As ``latency``, of the blocks that figures are made from; their medians are kept, for ratios."""
        blocks = self.used(name)
        each = [samples(self.folder, block) for block in blocks]
        medians = [float(np.median(one[:, 0])) for one in each]
        self.medians.setdefault(name, {}).update(zip((block["round"] for block in blocks), medians))
        return latency(blocks, each, np.array(medians))

    def used_medians(self, name: str) -> np.ndarray:
        """Median nanoseconds of the model in each block that figures are made from."""
        return np.array([self.median(name, block["round"]) for block in self.used(name)])

    def state(self, name: str) -> Record:
        """What a row says of the machine; empty where there are no references."""
        if not self.told(name):
            return {}
        return {"blocks_quick": len(self.quick_blocks(name)), "unsteady": self.unsteady(name)}


def rows_of(records: Sequence[Record], rounds: int, folder: Path) -> list[Row]:
    """The rows of the cells that are done, in the order in which they were scored."""
    timing = Timing(records, rounds, folder)
    failed, warm = first_of(records, "failed"), first_of(records, "warm")
    told: dict[str, Record] = {}
    found = (CertifiedFile.from_record(record) for record in records if record["event"] == "portability")
    certified = {each.digest: plain(each.found) for each in found}
    for record in records:
        if record["event"] != "scored":
            continue
        name, row = record["cell"], dict(record["row"])
        if name in failed:
            row |= failed[name]["row"]
        elif is_timed(row):
            if len(timing.blocks.get(name, [])) < timing.asked(name):
                continue
            row |= timing.latency(name) | {"blocks": len(timing.blocks[name])} | timing.state(name)
            row |= warm_up(warm[name])
        told[name] = row | (certified.get(str(row.get("digest")), {}) if row["status"] == "ok" else {})
    told = {name: lost["row"] for name, lost in lost_of(records).items()} | told
    rows = [Row.from_record(row) for row in told.values()]
    floors, whole_forms = floors_of(timing, records), whole_rows(rows)
    return [compared(row, whole_forms.get(row.form), floors.get((row.model, row.timed_by)), timing) for row in rows]


def is_timed(row: Mapping[str, Any]) -> bool:
    """Whether a scored cell is to be timed: it works, and its board is none that is emulated."""
    return bool(row["status"] == "ok" and not row.get("emulated"))


def lost_of(records: Sequence[Record]) -> dict[str, Record]:
    """The cells whose board was lost since the run was last begun or gone on with, each with the row that says so."""
    last = max((i for i, record in enumerate(records) if record["event"] == "start"), default=0)
    return {record["cell"]: record for record in records[last:] if record["event"] == "lost"}


def compared(row: Row, whole: Row | None, floor: float | None, timing: Timing) -> Row:
    """A row with its noise floor and, of one that is quantized or as it came, its times relative to those of its fp32
    form."""
    if row.latency is None or row.status != "ok":
        return row
    ratio = None
    if not row.is_whole and whole and timing.comparable(row.id, whole.id):
        ratio = replace(timing.compare(row.id, whole.id, floor), to=whole.id)
    known = replace(row.latency, noise_floor=None if floor is None else round(floor, 4), time_ratio=ratio)
    return replace(row, latency=known)


def latency(blocks: Sequence[Record], each: Sequence[np.ndarray], medians: np.ndarray) -> Record:
    """Latency of one beat in microseconds, from the samples of the blocks that count, and their medians.

    The median is the median of the blocks' medians, and its 95% interval the one that needs no
    assumption on their distribution: calls of one block are too much alike to count as independent.
    """
    model, host = np.concatenate(each).T / 1e3
    medians = medians / 1e3
    low, high = intervals.median_interval(medians)
    row: Record = {
        "latency_p50_us": round(float(np.median(medians)), 3),
        "latency_p50_low_us": round(low, 3),
        "latency_p50_high_us": round(high, 3),
        "latency_p90_us": round(float(np.percentile(model, 90)), 3),
        "latency_p95_us": round(float(np.percentile(model, 95)), 3),
        "latency_p99_us": round(float(np.percentile(model, 99)), 3) if len(model) >= P99_CALLS else None,
        "host_p50_us": round(float(np.median(host)), 3),
        "timed_calls": len(model),
        "blocks": len(blocks),
        "cpu_share": float(np.median([block["cpu_share"] for block in blocks])),
        "energy_uj_per_beat": energy(blocks, len(model)),
    }
    return row


def energy(blocks: Sequence[Record], calls: int) -> float | str:
    """Microjoules of a call: by the session's own meter where it told something of each block, or by this machine's."""
    own = [block["energy_uj"] for block in blocks if "energy_uj" in block]
    if len(own) == len(blocks) and sum(own) > 0:
        return round(sum(own) / calls, 3)
    if all("active_uj" in block for block in blocks):
        return round(sum(block["active_uj"] for block in blocks) / calls, 3)
    return "not measured"


def first_of(records: Sequence[Record], event: str) -> dict[str, Record]:
    """The first record of one kind of each cell, since what came before was void, where that is so."""
    found: dict[str, Record] = {}
    for record in records:
        if record["event"] == event:
            found.setdefault(record["cell"], record)
        elif record["event"] == "void":
            found.pop(record["cell"], None)
    return found


def warm_up(found: Record) -> Record:
    """How long a cell took to become stable, and how busy the machine was."""
    told = ("warm_up_calls", "stable", "load", *(("sm_clock_mhz",) if "sm_clock_mhz" in found else ()))
    return {key: found[key] for key in told}


def whole_rows(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    """The fp32 row of each model, route, format and runtime."""
    return {row.form: row for row in reversed(rows) if row.status == "ok" and row.is_whole}


def compare(first: np.ndarray, second: np.ndarray, floor: float | None) -> TimeRatio:
    """The ratio of the times of two cells in the same rounds, and what it means, see ``judged``."""
    return judged(intervals.paired_ratio(first, second), floor)


def judged(found: intervals.Ratio, floor: float | None) -> TimeRatio:
    """What a ratio of times means.

    ``"faster"`` or ``"slower"``: the 95% interval leaves 1 out, and the ratio is further from 1 than
    the noise floor. Else ``"tie"``.
    """
    ratio, low, high = found
    further = round(max(ratio, 1 / ratio) - 1, 9)  # where the two meet, no last bit may decide: times are whole numbers
    beyond = further > round(max(floor or 0.0, TIE), 9) and not low <= 1 <= high
    result = ("faster" if ratio < 1 else "slower") if beyond else "tie"
    return TimeRatio(ratio=round(ratio, 4), low=round(low, 4), high=round(high, 4), result=result)


def noise_of(records: Sequence[Record], rounds: int, folder: Path) -> dict[str, Noise]:
    """The A/A pairs by model, and by board and clock where these are not this machine's: which cell was timed twice,
    how the two compare, and the noise floor."""
    timing = Timing(records, rounds, folder)
    return {
        timed_words(*key): Noise(pair[0], timing.compare(*pair, floor=None), round(floor_of(timing, pair), 4))
        for key, pair in pairs_of(timing, records).items()
    }


def timed_words(model: str, by: TimedBy) -> str:
    """A model, with the board on which it was timed and the clock, where these are not this machine's."""
    board, clock = by
    return model + (f" on {board}" if board else "") + (f" by {clock}" if clock else "")


def floors_of(timing: Timing, records: Sequence[Record]) -> dict[Timed, float]:
    """The noise floor of each model, by board and clock, of which a cell was timed twice; not rounded, for other
    figures come from it."""
    return {key: floor_of(timing, pair) for key, pair in pairs_of(timing, records).items()}


def pairs_of(timing: Timing, records: Sequence[Record]) -> dict[Timed, tuple[str, str]]:
    """Cell and twin of each model, by board and clock, for which both were timed."""
    pairs = ((record["cell"], record["name"]) for record in records if record["event"] == "twin")
    return {
        (timing.rows[pair[0]]["model"], timing.by[pair[0]]): pair
        for pair in pairs
        if all(len(timing.blocks.get(name, ())) >= timing.asked(name) for name in pair)
    }


def floor_of(timing: Timing, pair: tuple[str, str]) -> float:
    """How far from 1 the ratio of two processes that run one file may be, with 95% confidence."""
    _, low, high = timing.ratio(*pair)
    return max(high, 1 / low) - 1
