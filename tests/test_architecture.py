"""The picture of docs/architecture.md against the imports: each arrow is a call that somebody makes."""

from __future__ import annotations

import re

import pytest

from tests.core.test_layers import PAGE, of_folder
from tests.pages import ROOT, blocks, read


def names(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


TABLE = read(PAGE).split("| from | to | what goes | made by |")[1].split("\n\n")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| `")]
ARROWS = [(names(start)[0], names(end)[0], names(by)[0]) for start, end, _, by in ROWS]


@pytest.mark.parametrize(("start", "end", "maker"), ARROWS, ids=[f"{start}-{end}" for start, end, _ in ARROWS])
def test_an_arrow_is_a_call_that_is_made(start: str, end: str, maker: str) -> None:
    assert {start, end} <= of_folder(maker) | {maker}


def test_the_picture_has_the_folders_of_the_arrows() -> None:
    picture = blocks(PAGE)[0].text
    assert set(re.findall(r"\[(\w+)\]", picture)) == {name for start, end, _ in ARROWS for name in (start, end)}


def test_each_thing_is_where_the_page_says() -> None:
    told = re.findall(r"`([\w/]+(?:\.py|/))`", read(PAGE).split("## Where a thing is")[1].split("\n## ")[0])
    assert len(told) > 10
    assert [path for path in told if not (ROOT / "ecgedge" / path).exists()] == []
