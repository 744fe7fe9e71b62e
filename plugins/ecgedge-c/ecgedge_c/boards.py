"""Boards by the flash and RAM that a program can use of them, each figure with its source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

UNKNOWN = "no board of this core is known"


@dataclass(frozen=True)
class Board:
    """Bytes of flash and RAM.

    Attributes:
        source: where these figures are from.
    """

    name: str
    title: str
    core: str
    flash: int
    ram: int
    source: str

    def lacking(self, flash: int, ram: int) -> str:
        """``"flash"``, ``"RAM"``, ``"flash and RAM"``; empty where an image of that size fits."""
        short = {"flash": flash > self.flash, "RAM": ram > self.ram}
        return " and ".join(name for name, is_short in short.items() if is_short)


@cache
def load() -> tuple[Board, ...]:
    """All, as ``boards.toml`` has them."""
    text = resources.files("ecgedge_c").joinpath("boards.toml").read_text(encoding="utf-8")
    return tuple(
        Board(one["name"], one["title"], one["core"], one["flash_bytes"], one["ram_bytes"], one["source"])
        for one in tomllib.loads(text)["boards"]
    )


def judged(core: str, flash: int, ram: int) -> tuple[str, str]:
    """Boards of that core that an image fits, and those that are too small for it with what they lack, as texts."""
    found = [(board.name, board.lacking(flash, ram)) for board in load() if board.core == core]
    if not found:
        return UNKNOWN, "none"
    fits = ", ".join(name for name, lacking in found if not lacking)
    return fits or "none", ", ".join(f"{name} ({lacking})" for name, lacking in found if lacking) or "none"
