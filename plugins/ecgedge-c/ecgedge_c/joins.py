"""Concatenations whose inputs are written where they are joined: neither their bytes nor a copy are needed."""

from __future__ import annotations

from collections.abc import Sequence

from ecgedge_c.steps import Join, Step, copied_rows


def direct(steps: Sequence[Step], source: int, result: int, width: int) -> list[Step]:
    """The steps with as many concatenations as can be left out: what makes their inputs writes into their output.

    An input is written there where a concatenation alone reads it, once, and whoever makes it can write its rows apart,
    or there is one row. What else a concatenation takes is copied, after the others.

    Args:
        steps: whose tensors are places already.
        source, result: the tensors of input and output.
        width: bytes of a value.
    """
    made = list(steps)
    for step in steps:
        if step.join is None:
            continue
        inside = {index: maker for index in step.reads if (maker := maker_of(index, step, made, source, result))}
        if not inside:
            continue
        number, offset, copies = made.index(step), 0, list[Step]()
        for index, part in zip(step.reads, step.join.widths, strict=True):
            if index in inside:
                at = made.index(inside[index])
                made[at] = inside[index].into(step.writes, offset, pitch_of(step.join))
            else:
                copies.append(copy(step, index, offset, part, width))
            offset += part
        made[number : number + 1] = copies
    return made


def maker_of(index: int, step: Step, steps: Sequence[Step], source: int, result: int) -> Step | None:
    """The step that makes an input of a concatenation, where it can write it into the concatenation's output."""
    assert step.join
    makers = [other for other in steps if other.writes == index]
    readers = sum(other.reads.count(index) for other in steps)
    if len(makers) != 1 or readers != 1 or index in (source, result):
        return None
    [maker] = makers
    width = step.join.widths[step.reads.index(index)]
    apart = maker.rows is not None and (len(maker.rows.unread), maker.rows.width) == (step.join.count, width)
    return maker if apart or step.join.count == 1 else None


def pitch_of(join: Join) -> int:
    """From a row of the output to the next, in values; 0 where there is one row, however its makers divide it."""
    return sum(join.widths) if join.count > 1 else 0


def copy(step: Step, index: int, offset: int, part: int, width: int) -> Step:
    """One input of a concatenation, copied into its place."""
    assert step.join
    call = f"rows({step.join.count}, {{0}}, {part * width}, {{y}}, {{pitch}} * {width}, {part * width});"
    rows = copied_rows(step.join.count, 0, part, part)
    alone = Step("rows", "rows", (index,), step.writes, (rows.distance(),), step.told, call=call, rows=rows)
    return alone.into(step.writes, offset, pitch_of(step.join))
