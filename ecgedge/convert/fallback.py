"""With which graph passes a cell can be made, where those that it wants make a tool fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ecgedge.api.artifact import Artifact
from ecgedge.plan.plan import Cell, takes
from ecgedge.workers.client import ChildError

if TYPE_CHECKING:
    from ecgedge.convert.lab import Lab


@dataclass(frozen=True)
class Passes:
    """The graph passes of a cell that can be used.

    Attributes:
        names: in order.
        left_out: those that cannot, with the reason.
    """

    names: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def usable_passes(lab: Lab, cell: Cell, batch: int) -> tuple[Passes, list[Artifact]]:
    """The passes with which a cell can be made, and what was made with them.

    Tried are its own; with a fixed batch, where an exporter takes the graph, since some tools cannot keep a free one;
    the same once more; none; and all but one, the last first, to find the one that makes a tool fail. What fails before
    there is a graph fails whatever the passes are, and is not tried again.

    Raises:
        ChildError: it cannot be made without any either; that of its own.
    """
    takers = [lab.tools.parts["exporter", name] for name in cell.route]
    fixable = any(takes(part.accepts, "onnx") for part in takers) and "fix_batch" not in cell.passes
    fixing = ("fix_batch",) if fixable else ()
    own = Passes(cell.passes)
    made, error = attempt(lab, cell, own, batch)
    if error and all(each.format != "onnx" for each in (lab.sources[cell.model], *made)):
        raise error
    if error and fixing:
        own = Passes((*fixing, *cell.passes))
        made, error = attempt(lab, cell, own, batch)
    changed = [] if error is None else [name for name in lab.changed_by(cell, own, batch) if name not in fixing]
    if error is None or not changed:
        return own, made_or_raise(made, error)
    made, error = attempt(lab, cell, own, batch)  # a disk that failed once is no fault of the passes
    if error is None:
        return own, made
    told = f"with it, {lab.store.unnamed(error.plain, lab.sources[cell.model].name, 'the file')}"
    bare = Passes(fixing, dict.fromkeys(changed, told))
    made, failed = attempt(lab, cell, bare, batch)
    if failed or len(changed) == 1:
        return bare, made_or_raise(made, error if failed else None)
    for name in reversed(changed):
        all_but = Passes(tuple(other for other in own.names if other != name), {name: told})
        found, error = attempt(lab, cell, all_but, batch)
        if error is None:
            return all_but, found
    return bare, made


def attempt(lab: Lab, cell: Cell, passes: Passes, batch: int) -> tuple[list[Artifact], ChildError | None]:
    """What was made of a cell with these passes, and why no more. Raises ChildError where it took too long."""
    made: list[Artifact] = []
    try:
        for artifact in lab.walk(cell, passes, batch):
            made.append(artifact)
    except ChildError as error:
        if error.status == "timeout":
            raise
        return made, error
    return made, None


def made_or_raise(made: list[Artifact], error: ChildError | None) -> list[Artifact]:
    if error:
        raise error
    return made
