"""TFLM's interpreter: opened, its refusals in words, and the arena that it takes."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ecgedge import EcgEdgeError

ROOM = 1 << 26  # bytes of an arena that is large enough for any file; only what is used is touched
STEP = 16  # bytes to which TFLM aligns what lies in an arena


@dataclass(frozen=True)
class Arena:
    """Bytes that an interpreter takes of its arena, on this host.

    Attributes:
        total, head, tail: as its recording allocator tells. The head holds activations and scratch, the
            tail what lives as long as the interpreter; structures with pointers, which are half that size
            on a 32-bit board.
        smallest: the smallest arena that works, in steps of ``STEP``.
    """

    total: int
    head: int
    tail: int
    smallest: int


def open_interpreter(content: bytes, arena: int = ROOM) -> Any:
    """An interpreter of a file's content that has allocated its tensors.

    Raises:
        EcgEdgeError: TFLM refuses the file, or the arena is too small; says what it said.
    """
    from tflite_micro.python.tflite_micro import runtime  # heavy

    with said() as lines:
        try:
            return runtime.Interpreter.from_bytes(content, arena_size=arena)
        except RuntimeError as error:
            failed = str(error)
    raise EcgEdgeError(f"TFLM refuses it: {reason(lines) or failed}", "use a full int8 or a float32 file")


def measure_arena(interpreter: Any, content: bytes) -> Arena:
    """The arena of an interpreter of ``content`` that has run; the smallest is found by bisection."""
    with said() as lines:
        interpreter.print_allocations()
    told = dict(re.findall(r"Arena allocation (\w+) (\d+) bytes", "\n".join(lines)))
    total, head, tail = (int(told[part]) for part in ("total", "head", "tail"))
    return Arena(total, head, tail, smallest_arena(content, total))


def smallest_arena(content: bytes, near: int) -> int:
    """The smallest arena that works, in bytes; ``near`` is where to look."""
    low, high = 0, -(-near // STEP)
    while not works(content, high * STEP):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(content, middle * STEP) else (middle, high)
    return high * STEP


def works(content: bytes, arena: int) -> bool:
    """Whether the interpreter can allocate its tensors in that many bytes."""
    try:
        open_interpreter(content, arena)
    except EcgEdgeError:
        return False
    return True


def reason(lines: list[str]) -> str:
    """What TFLM printed of a file that it refuses, with the operation's name first: it tells of one only."""
    text = " ".join(lines)
    if missing := re.search(r"Didn't find op for builtin opcode '(\w+)'", text):
        return f"it has no kernel for {missing[1]}"
    if failed := re.search(r"Node (\w+) \(number (\w+)\) failed to prepare", text):
        why = re.sub(r"^\S+\.(?:cc|h)(?::\d+)? ", "", lines[0]).rstrip(".")
        return f"{failed[1]} (operation {int(failed[2], 16)}): {why}"
    return " ".join(text.split())[:200]


@contextlib.contextmanager
def said() -> Iterator[list[str]]:
    """The lines that C++ code writes to this process's standard error, kept off it; complete at the end."""
    sys.stderr.flush()
    kept, lines = os.dup(2), list[str]()
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
