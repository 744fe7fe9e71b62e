"""The site, built strictly: links, anchors or signatures that lead nowhere fail the build, as does a lost page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.pages import DOCS, ROOT, read

for tool in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(tool)

from docs import site_hooks  # noqa: E402  (it imports MkDocs)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def article(page: Path) -> str:
    found = re.search(r"<article.*?</article>", read(page), re.DOTALL)
    assert found
    return found[0]


def test_every_page_is_there(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()
    for pattern in site_hooks.PATTERNS:
        for page in ROOT.glob(pattern):
            assert (site / "repository" / page.parent.relative_to(ROOT)).is_dir()


def test_nothing_is_fetched_to_read_it(site: Path) -> None:
    for page in site.rglob("*.html"):
        wanted = re.findall(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["'](https?:[^"']+)""", read(page))
        assert wanted == [], page.name


def test_no_markdown_is_left_as_it_was(site: Path) -> None:
    """As where a list or a block is written in a way that a code host understands and Python-Markdown does not."""
    for page in site.rglob("*.html"):
        if page.name != "404.html":
            text = re.sub(r"<(pre|code)\b.*?</\1>", "", article(page), flags=re.DOTALL)
            assert re.findall(r"```|\]\(|<p>\||<p>[^<]*\n(?:[-*]|\d+\.) |^::: ", text, re.MULTILINE) == [], page.name


def test_signatures_and_descriptions_are_those_of_the_code(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", article(site / "reference" / "hooks.html"))
    assert "Load" in page and "Open an artifact in one of the formats" in page
    assert re.search(r"load\(\s*artifact: Artifact,\s*threads: int\s*\)", page)


@pytest.mark.parametrize(
    ("page", "link", "found"),
    [
        ("index.md", "[r](../README.md#models)", "[r](repository/README.md#models)"),
        ("how-to/own-data.md", "[d](../../data/README.md)", "[d](../repository/data/README.md)"),
        ("repository/README.md", "[p](docs/plugins.md)", "[p](../plugins.md)"),
        ("repository/data/README.md", "[`s`](samples)", "`s`"),  # a folder is no page
        ("index.md", "[pins](../constraints.txt)", "pins"),
        ("index.md", "[gone](../gone.md)", "[gone](../gone.md)"),  # for MkDocs to complain of
        ("index.md", "```\n[r](../README.md)\n```", "```\n[r](../README.md)\n```"),
        ("index.md", "[away](https://example.org/x.md)", "[away](https://example.org/x.md)"),
    ],
)
def test_links_lead_to_where_a_page_is_on_the_site(page: str, link: str, found: str) -> None:
    kept = SimpleNamespace(inclusion=SimpleNamespace(is_excluded=lambda: False))
    known = {"plugins.md", "repository/README.md", "repository/data/README.md"}
    files = SimpleNamespace(get_file_from_path=lambda path: kept if path in known else None)
    given = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert site_hooks.on_page_markdown(link, page=given, files=files) == found
