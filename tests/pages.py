"""The pages of the documentation as their tests read them: files, and their fenced blocks with what is said of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
MARK = r"(?:^<!-- (?P<mark>[^>]*) -->\s*)?"
MARKED = re.compile(MARK + r"^( *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^\2```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        mark: the comment before it: ``file: NAME`` where it is a file, ``not run: REASON``, or nothing.
    """

    language: str
    text: str
    mark: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run: ")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    return [Block(found["language"], found["text"], found["mark"] or "") for found in MARKED.finditer(read(page))]
