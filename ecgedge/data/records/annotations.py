"""Annotation files in MIT format, read here: ``wfdb.rdann`` never ends with some that strangers may write."""

from __future__ import annotations

import struct
from pathlib import Path

SYMBOLS = {  # by their codes
    1: "N", 2: "L", 3: "R", 4: "a", 5: "V", 6: "F", 7: "J", 8: "A", 9: "S", 10: "E", 11: "j", 12: "/", 13: "Q", 14: "~",
    16: "|", 18: "s", 19: "T", 20: "*", 21: "D", 22: '"', 23: "=", 24: "p", 25: "B", 26: "^", 27: "t", 28: "+", 29: "u",
    30: "?", 31: "!", 32: "[", 33: "]", 34: "e", 35: "n", 36: "@", 37: "x", 38: "f", 39: "(", 40: ")", 41: "r",
}  # fmt: skip
SKIP, NUM, SUB, CHN, AUX = 59, 60, 61, 62, 63  # codes that are no annotations
NOTE = 22
DEFINITION = "## "  # what a note at sample 0 begins with that says something of the file
BIGGEST = 200_000_000  # bytes: a day of beats has under a million


def read_annotations(file: Path) -> list[tuple[int, str, str]]:
    """Sample, symbol and note of each annotation; a code of the user's own is its number.

    Raises:
        ValueError: it is too big, or ends within an annotation.
        OSError: it cannot be read.
    """
    if file.stat().st_size > BIGGEST:
        raise ValueError(f"it has more than {BIGGEST:,} bytes")
    content = file.read_bytes()
    found: list[tuple[int, str, str]] = []
    at, time, codes = 0, 0, []
    while at + 2 <= len(content):
        (word,) = struct.unpack_from("<H", content, at)
        code, value = word >> 10, word & 0x3FF
        at += 2
        if not word:
            break
        if code == SKIP:
            if at + 4 > len(content):
                raise ValueError("it is cut")
            high, low = struct.unpack_from("<hH", content, at)
            time, at = time + (high << 16) + low, at + 4
        elif code == AUX:
            if at + value > len(content):
                raise ValueError("it is cut")
            if found:
                note = content[at : at + value].split(b"\0")[0].decode("utf-8", "replace")
                found[-1] = (*found[-1][:2], note)
            at += value + value % 2
        elif code not in (NUM, SUB, CHN):
            time += value
            if code:
                found.append((time, SYMBOLS.get(code, str(code)), ""))
                codes.append(code)
    return [
        each for each, code in zip(found, codes, strict=True) if not (code == NOTE and each[2].startswith(DEFINITION))
    ]
