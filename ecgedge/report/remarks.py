"""What is odd about a file that a user brought, and that no figure says by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ecgedge.api.artifact import file_name
from ecgedge.report.document import Report
from ecgedge.run.row import Row

MOST_NAMED = 5  # classes of a remark


def remarks(report: Report) -> list[str]:
    """A line for each user's classifier that never decides some of the classes that there are beats of."""
    files = {file_name(Path(name).name) for name in report.run.get("request", {}).get("files", ())}
    found = {row.model: row for row in reversed(report.rows) if row.status == "ok" and row.model in files}
    return [line for row in reversed(found.values()) for line in never_decided(row, report.run.get("labels") or ())]


def never_decided(row: Row, labels: Sequence[str]) -> Iterator[str]:
    """That a form decides no beat as some class, though there are beats of it: its outputs may be in another order."""
    if row.quality is None or row.quality.confusion is None:
        return
    counts = np.array(row.quality.confusion)
    beats = counts.sum(axis=1)
    lost = np.flatnonzero((counts.sum(axis=0) == 0) & (beats > 0))
    if not len(lost):
        return
    names = [labels[i] if i < len(labels) else str(i) for i in lost[:MOST_NAMED]]
    more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
    yield (
        f"remark: {row.model} never decides class {', '.join(names)}{more} ({beats[lost].sum():,} of {beats.sum():,} "
        "beats): are its outputs in the data's order? --class-names gives another"
    )
