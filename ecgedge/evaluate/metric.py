"""What a figure of a row is, for whoever shows it, requires it, ranks by it or sends it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ecgedge.api.figures import UNITS


class Figures(Protocol):
    """What a metric reads, see ``run.row.Row``."""

    @property
    def id(self) -> str: ...

    @property
    def flat(self) -> Mapping[str, Any]: ...

    @property
    def figures(self) -> Mapping[str, Any]: ...

    @property
    def unsteady(self) -> bool: ...

    @property
    def throughput(self) -> Mapping[int, float]: ...


SHOWN: dict[str, list[tuple[float, str, int]]] = {  # from which value on, in which unit, with how many decimals
    "share": [(1, "", 4)],
    "number": [(1, "", 4)],
    "bytes": [(1e6, " MB", 2), (1e3, " kB", 1)],
    "time": [(1e6, " s", 2), (1e3, " ms", 2), (1, " us", 1)],
    "rate": [(1, " beats/s", 0)],
    "energy": [(1e6, " J", 2), (1e3, " mJ", 2), (1, " uJ", 1)],
}


def percent_of(part: float, digits: int = 0) -> str:
    """A share in percent, ``34%``; ``under 1%`` where there is something and rounding would leave nothing of it."""
    least = 10.0 ** -(digits + 2)
    return f"under {least:.{digits}%}" if 0 < part <= least / 2 else f"{part:.{digits}%}"


@dataclass(frozen=True)
class Shown:
    """How tables show a figure.

    Attributes:
        head: of the column in a terminal and in Markdown; empty: only the page has it.
        title: of the column on the page.
        unit: below the title, of what is printed.
        scale: from the kind's own unit to that one.
        digits: decimals in a terminal; None: one below 1,000 and none from there on.
        page_digits: likewise on the page, where there is more room; None: as in a terminal.
        means: for who hovers or listens.
        spread: whether a terminal has a column for its interval, too.
    """

    head: str
    title: str
    unit: str = ""
    scale: float = 1
    digits: int | None = None
    page_digits: int | None = None
    means: str = ""
    spread: bool = False

    def text(self, value: float, page: bool = False) -> str:
        """A value in the kind's own unit, as a cell has it."""
        amount = value * self.scale
        digits = self.page_digits if page and self.page_digits is not None else self.digits
        return format(amount, f"{',' if page else ''}.{(1 if amount < 1000 else 0) if digits is None else digits}f")


@dataclass(frozen=True)
class Change:
    """How two runs are compared in a figure.

    Attributes:
        name: as the comparison calls it.
        unit: of the change: ``"%"`` (relative), ``"points"`` (of a share, in percent), or the figure's own, empty.
        tolerance: by how much it may become worse, in that unit, where the user says nothing.
    """

    name: str
    unit: str
    tolerance: float


@dataclass(frozen=True)
class Metric:
    """One figure of a row.

    Attributes:
        name: as users write it.
        key: of the figure in a row's JSON.
        kind: of ``UNITS``.
        higher: whether more is better.
        scale: from the row's figure to the kind's own unit.
        task: the only one that has it; None: both.
        exact: measuring it again gives the same.
        timed: it is from the timed blocks, and is unsteady where these are.
        ends: the keys of its 95% interval.
        shown: how tables show it; None: they do not.
        largest: it is the throughput in the largest batch that was measured.
        change: how two runs are compared in it; None: they are not.
        unit: a word of its own, of a number.
        of_runtime: it is one of ``Row.figures``.
    """

    name: str
    key: str
    kind: str
    higher: bool = False
    scale: float = 1
    task: str | None = None
    exact: bool = False
    timed: bool = False
    ends: tuple[str, str] | None = None
    shown: Shown | None = None
    change: Change | None = None
    largest: bool = False
    unit: str = ""
    of_runtime: bool = False

    @property
    def of_device(self) -> bool:
        """Whether a device itself has to be there to measure it; an emulated one is not."""
        measured = self.kind in ("time", "rate", "energy") or (self.kind == "bytes" and not self.exact)
        return measured and not self.of_runtime

    @property
    def units(self) -> Mapping[str, float]:
        """What a value may be given in, each with the factor to the kind's own unit."""
        return UNITS[self.kind] | ({self.unit: 1} if self.unit else {})

    def unsteady(self, row: Figures) -> bool:
        """Whether the machine changed its speed so often that a row's figure is none to decide by."""
        return self.timed and row.unsteady

    def value(self, row: Figures) -> float | None:
        """The figure in the kind's own unit; None where the row has none."""
        if self.largest and row.throughput:
            return row.throughput[max(row.throughput)]
        return self.read(row.figures if self.of_runtime else row.flat, self.key)

    def known(self, row: Figures) -> float:
        """The figure of a row that has it."""
        value = self.value(row)
        assert value is not None, f"{row.id} has no {self.name}"
        return value

    def interval(self, row: Figures) -> tuple[float, float] | None:
        """Its 95% interval; None where the row has none."""
        low, high = (self.read(row.flat, key) for key in self.ends or ("", ""))
        return None if low is None or high is None else (low, high)

    def read(self, flat: Mapping[str, object], key: str) -> float | None:
        found = flat.get(key)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return found * self.scale if is_number else None  # type: ignore[operator]

    def better(self, first: float, second: float) -> bool:
        """Whether the first of two values is the better one."""
        return first > second if self.higher else first < second

    def order(self, row: Figures) -> float:
        """A key to sort rows by, the best first. The row has the figure."""
        return -self.known(row) if self.higher else self.known(row)

    def show(self, value: float, *ends: float) -> str:
        """A value and perhaps the ends of its interval, in a unit that suits the value."""
        if self.unit:
            first, *others = (f"{each:,.6g}" for each in (value, *ends))
            return first + (f" [{', '.join(others)}]" if others else "") + f" {self.unit}"
        least, unit, digits = next((step for step in SHOWN[self.kind] if value >= step[0]), SHOWN[self.kind][-1])
        first, *others = (f"{each / least:.{digits}f}" for each in (value, *ends))
        return first + (f" [{', '.join(others)}]" if others else "") + unit

    def told(self, row: Figures) -> str:
        """The row's figure with its interval where there is one, and its unit; a question mark where it is unsteady."""
        value = self.value(row)
        mark = " ?" if self.unsteady(row) else ""
        return "-" if value is None else self.show(value, *(self.interval(row) or ())) + mark
