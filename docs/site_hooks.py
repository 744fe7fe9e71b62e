"""Hooks of MkDocs: pages of the repository that lie outside ``docs`` become pages of the site.

On a code host the links between the pages are plain relative links, ``../README.md`` among them. On the site
such a page lies under ``repository/``. A link to what is no page there, such as a source file, becomes plain words.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PATTERNS = (
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "data/README.md",
    "benchmarks/*.md",
    "ecgedge/weights/*/README.md",
    "plugins/*/README.md",
)
BESIDE = "repository/"  # where they lie on the site
FENCE = re.compile(r"^( *)(```+).*?^\1\2", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside."""
    for pattern in PATTERNS:
        for path in sorted(ROOT.glob(pattern)):
            name = BESIDE + path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Point links to where the files are on the site."""
    return outside_fences(markdown, lambda text: LINK.sub(lambda link: relink(link, page.file.src_uri, files), text))


def relink(link: re.Match[str], page: str, files: Files) -> str:
    words, target, anchor = link[1], link[2], link[3] or ""
    found = site_path(posixpath.normpath(posixpath.join(posixpath.dirname(repository_path(page)), target)))
    file = files.get_file_from_path(found)
    if file is None or file.inclusion.is_excluded():
        return link[0] if found.endswith(".md") else words  # a page that is missing is MkDocs' to tell
    return f"[{words}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{anchor})"


def repository_path(page: str) -> str:
    """The path of a page of the site in the repository."""
    return page.removeprefix(BESIDE) if page.startswith(BESIDE) else f"docs/{page}"


def site_path(path: str) -> str:
    """The reverse."""
    return path.removeprefix("docs/") if path.startswith("docs/") else BESIDE + path


def outside_fences(markdown: str, change: Any) -> str:
    """The text with what is outside its fenced blocks changed."""
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
