"""The artifacts of a model's cells, made before anything is timed, on two cores where there are two."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from ecgedge.convert.lab import Lab
from ecgedge.errors import ConversionError, EcgEdgeError, MachineError
from ecgedge.measure.bench import BATCHES
from ecgedge.measure.machine import usable_cores
from ecgedge.plan.plan import Cell
from ecgedge.workers.client import ChildError

Job = tuple[Cell, int]  # a cell, and the beats a call of its file


@dataclass
class Helper:
    """A second process for conversions, and the thread that asks it, which lives as long: a child dies with its parent.

    Attributes:
        beside: the lab that it helps.
        thread: that asks it.
        task: what that is doing, or did last.
    """

    beside: Lab
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    task: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self.lab = replace(self.beside, converters=self.beside.converters.second())
        self.task.set_result(None)

    def make(self, cells: Sequence[Cell]) -> None:
        """Put what cells need into the store; what cannot be made is left to whoever asks for it, and tells why."""
        groups = deque(groups_of(self.beside, [cell for cell in cells if not self.beside.comes_along(cell)]))
        if len(groups) < 2 or (usable_cores() or 1) < 2:
            return
        with self.beside.converters.turn():  # once for both
            self.task = self.thread.submit(make_all, self.lab, groups.pop)  # the shortest way first
            make_all(self.beside.in_this_turn(), groups.popleft)
            self.task.result()

    def close(self) -> None:
        """End its process, whatever it is doing."""
        self.lab.converters.kill()
        while not wait([self.task], 0.1).done:  # it was just starting one
            self.lab.converters.kill()
        self.thread.submit(self.lab.converters.close).result()
        self.thread.shutdown()


def make_all(lab: Lab, take: Callable[[], list[Job]]) -> None:
    """Take one group of jobs after the other, until none is left, or the lab's processes have ended.

    Two take them from both ends: what is made on the way to several groups is made by one, and not waited for by the
    other as long as there is something else to do.
    """
    with contextlib.suppress(IndexError):  # the other took the last
        while not lab.converters.ended.is_set():
            for cell, batch in take():
                try:
                    lab.make(cell, batch)
                except MachineError:  # it may be mended by then
                    continue
                except (ChildError, ConversionError, EcgEdgeError) as error:
                    lab.failed[cell, batch] = error


def groups_of(lab: Lab, cells: Sequence[Cell]) -> list[list[Job]]:
    """What cells need, in groups that share what is made on the way; the longest way first.

    All batches of what is calibrated are one group, since a process that has calibrated for one of them need not do
    it again.
    """
    groups: dict[tuple[tuple[str, ...], bool, int], list[Job]] = {}
    for cell in cells:
        steps = [*(("exporter", name) for name in cell.route), ("quantizer", cell.quantizer)]
        fixed = any(lab.tools.parts[step].fixed_batch for step in steps)
        calibrates = fixed and lab.tools.parts["quantizer", cell.quantizer].calibrates
        for batch in dict.fromkeys((1, *(lab.batch_sizes or BATCHES))) if fixed else (1,):
            groups.setdefault((cell.route, calibrates, 0 if calibrates else batch), []).append((cell, batch))
    return [groups[key] for key in sorted(groups, key=lambda key: (-len(key[0]), not key[1], key[2]))]
