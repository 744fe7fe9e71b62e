"""Whether a model fits a board. The arena is measured, the code of interpreter and kernels estimated."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge import EcgEdgeError

OURS = Path(__file__).with_name("boards.toml")


@dataclass(frozen=True)
class Board:
    """Bytes of flash and RAM that a program can use, and what to allow for beside model and arena.

    Attributes:
        framework: bytes of flash for TFLM without kernels.
        kernel: bytes of flash for each kernel.
        margin: bytes of RAM beside the arena.
    """

    name: str
    title: str
    flash: int
    ram: int
    framework: int
    kernel: int
    margin: int


@dataclass(frozen=True)
class Fit:
    """What a model needs of a board, in bytes.

    Attributes:
        code: bytes of ``flash`` that are not the model.
    """

    board: Board
    flash: int
    code: int
    ram: int

    @property
    def lacking(self) -> str:
        """``"flash"``, ``"RAM"``, ``"flash and RAM"``; empty where it fits."""
        short = {"flash": self.flash > self.board.flash, "RAM": self.ram > self.board.ram}
        return " and ".join(name for name, is_short in short.items() if is_short)

    @property
    def fits(self) -> bool:
        return not self.lacking


def fit(board: Board, model: int, arena: int, kernels: int, code: int | None = None) -> Fit:
    """What a model needs of a board.

    Args:
        model, arena: bytes.
        kernels: how many different ones it needs.
        code: bytes of the firmware, where known; None: framework and kernels as estimated.
    """
    code = board.framework + kernels * board.kernel if code is None else code
    return Fit(board, model + code, code, arena + board.margin)


def load(path: Path = OURS, names: Sequence[str] = ()) -> list[Board]:
    """The boards of a file, or those of them that are named; what it does not estimate is estimated as in ours.

    Raises:
        EcgEdgeError: the file cannot be read, or has no board of such a name.
    """
    try:
        told = tables(path)
        estimate = tables(OURS)["estimate"] | told.get("estimate", {})
        known = {each["name"]: board_of(each, estimate) for each in told["boards"]}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise EcgEdgeError(f"{path} holds no boards: {error!r}"[:200], "write it as the README shows") from error
    for name in names:
        if name not in known:
            raise EcgEdgeError(f"no board {name!r}", f"choose from: {', '.join(known)}")
    return [known[name] for name in names or known]


def board_of(table: dict[str, Any], estimate: dict[str, int]) -> Board:
    return Board(
        name=table["name"],
        title=table.get("title", table["name"]),
        flash=int(table["flash_bytes"]),
        ram=int(table["ram_bytes"]),
        framework=int(estimate["framework_bytes"]),
        kernel=int(estimate["kernel_bytes"]),
        margin=int(estimate["ram_bytes"]),
    )


def tables(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)
