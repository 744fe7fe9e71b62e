"""Whether the files of a run answer alike elsewhere: what was tried, what was not, which layers lose sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate.portable import NOT_ASKED, NOT_TRIED, Portable
from ecgedge.files import escape
from ecgedge.portability.record import CERTIFICATE, Record
from ecgedge.portability.wording import summary
from ecgedge.report.document import Report
from ecgedge.run.row import Row

NONE_ASKED = f"{NOT_ASKED}; ecgedge matrix --portability tries it"


@dataclass(frozen=True)
class Certified:
    """A file of a run, by the first of its rows, with its certificate.

    Attributes:
        record: as it lies in the run's folder; None where nothing was tried, or it cannot be read.
        why: there is none.
    """

    row: Row
    portable: Portable
    record: Record | None
    why: str = ""

    @property
    def name(self) -> str:
        return f"{self.row.model} {self.row.format} {self.row.precision}"

    @property
    def text(self) -> str:
        """The verdict in a sentence."""
        found = self.record
        return f"{self.row.portability}: {summary(found.certificate) if found else self.why}"

    @property
    def short(self) -> str:
        """The same for a terminal: without how near its decisions are to others."""
        return self.text.partition("; the smallest margin")[0]

    @property
    def tried(self) -> list[str]:
        """Each kernel and processor that was tried: how it answers."""
        if self.record is None:
            return []
        first, *others = self.record.certificate.tried
        return [f"{first.name}: {first.beats:,} beats, what the others are held against"] + [
            f"{each.name}: {'bit for bit the same' if each.identical else apart(each.equal, len(each.flips))}, "
            f"{each.beats:,} beats"
            for each in others
        ]

    @property
    def not_tried(self) -> list[str]:
        return [f"{each.what}: {each.why}" for each in self.record.certificate.not_tried] if self.record else []

    @property
    def layers(self) -> list[str]:
        """Each layer whose sums of two products can leave 16 bits, and whether they did."""
        found = self.record.certificate.saturation if self.record else ()
        return [
            f"{each.layer}: {each.can:,} of {each.pairs:,} pairs can"
            + (f", on {each.beats:,} of {each.seen:,} beats they did" if each.seen else "")
            for each in found
        ]

    @property
    def overflow(self) -> list[str]:
        """Each layer whose values float16 cannot hold."""
        found = self.record.certificate.overflow if self.record else ()
        return [f"{each.layer}: {each.largest:,.0f}, on {each.beats:,} of {each.seen:,} beats" for each in found]

    @property
    def findings(self) -> list[str]:
        found = self.record.certificate.findings if self.record else ()
        return [each.text + (f"; {each.remedy}" if each.remedy else "") for each in found]


def apart(equal: float, flips: int) -> str:
    """How answers differ: never rounded to all or to nothing."""
    share = f"{min(max(equal, 0.0001), 0.9999):.2%} of the values equal"
    return (
        f"{share}, {flips:,} decision{'' if flips == 1 else 's'} changed" if flips else f"{share}, no decision changed"
    )


def certified(report: Report) -> list[Certified]:
    """A certificate a file, in the order of the rows; none where the run was not asked for them."""
    found: dict[str, Certified] = {}
    for row in report.rows:
        if row.portable is None or row.file is None or row.file.digest in (None, *found):
            continue
        found[str(row.file.digest)] = of_row(report, row, row.portable)
    return [*found.values()]


def of_row(report: Report, row: Row, portable: Portable) -> Certified:
    if portable.folder is None:
        return Certified(row, portable, None, portable.reason or NOT_TRIED)
    try:
        record = Record.read(report.folder, f"{portable.folder}/{CERTIFICATE}")
    except (EcgEdgeError, OSError) as error:
        return Certified(row, portable, None, f"its certificate cannot be read: {error}"[:200])
    if row.file is None or record.certificate.digest != row.file.digest:
        return Certified(row, portable, None, "its certificate is of another file")
    return Certified(row, portable, record)


def lines(found: Sequence[Certified]) -> list[str]:
    """A line a file that is not exact, and how many are, for a terminal."""
    if not found:
        return []
    exact = sum(is_exact(each) for each in found)
    left = sum(each.portable.verdict == NOT_TRIED for each in found)
    tried = f"{exact} of {len(found) - left} files are exact" + f", {left} not tried" * bool(left)
    told = [f"portability: {tried}; report.md says what was tried"]
    return told + [f"portability: {each.name}: {each.short}" for each in found if not is_exact(each)]


def is_exact(found: Certified) -> bool:
    """Whether several ways gave the same answers."""
    return found.portable.verdict == "exact" and not found.portable.is_alone


def markdown(report: Report) -> Iterator[str]:
    """The section of a page; one line where nothing was asked for."""
    found = certified(report)
    yield from ("## Portability", "")
    if not found:
        yield item(NONE_ASKED)
    for each in found:
        yield item(f"{each.name}: {each.text}")
        for title, told in (("tried", each.tried), ("not tried", each.not_tried),
                            ("sums can leave 16 bits", each.layers), ("values leave float16", each.overflow),
                            ("found", each.findings)):  # fmt: skip
            yield from (f"  {item(f'{title}: {line}')}" for line in told)


def item(text: str) -> str:
    return f"- {escape.markdown(text)}"
