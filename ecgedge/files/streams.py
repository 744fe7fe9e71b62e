"""Standard streams that no odd character fails, and no full disk where that is to be forgiven."""

from __future__ import annotations

import io
import os
from typing import Any, TextIO


class Stream(io.RawIOBase):
    """A standard stream to write to.

    Attributes:
        forgives: what cannot be written is lost then, and fails nothing.
        error: the last that there was.
    """

    def __init__(self, number: int, forgives: bool):
        self.number, self.forgives = number, forgives
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.number

    def isatty(self) -> bool:
        return os.isatty(self.number)

    def write(self, content: Any) -> int:
        left = memoryview(content)
        size = left.nbytes
        try:
            while left:
                left = left[os.write(self.number, left) :]
        except OSError as error:
            self.error = error
            if not self.forgives:
                raise
        return size


def stream_over(number: int, stream: TextIO | None, forgives: bool) -> tuple[io.TextIOWrapper, Stream]:
    """A standard stream of text that no odd character fails, and no full disk where it ``forgives``.

    Args:
        stream: that had its number, and the encoding.
    """
    raw = Stream(number, forgives)
    encoding = stream.encoding if stream else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=forgives), raw
