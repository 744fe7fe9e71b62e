"""The skeleton of a plugin package: files that work as they are, with the name ``acme`` in them for the plugin's."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ecgedge.errors import EcgEdgeError

KINDS = ("runtime", "exporter", "quantizer", "model")
HERE = Path(__file__).parent
TAKEN = ("fake",)  # a format of the tiny parts that skeletons are tested with
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
DEPENDENCIES = {"model": "ecgedge[torch]>=0.1.0"}  # of a skeleton, where it is more than ecgedge alone


def write(name: str, kind: str, folder: Path) -> None:
    """Write a package with one part of a kind, whole or not at all.

    Args:
        name: of the plugin and its part; the distribution is ``ecgedge-NAME``.
        folder: that does not exist yet.

    Raises:
        EcgEdgeError: it is no name, or the folder exists or cannot be written.
    """
    if not NAME.fullmatch(name):
        raise EcgEdgeError(f"{name!r} is no name for a plugin", "small letters and digits, words joined by -")
    if name in TAKEN:
        raise EcgEdgeError(f"the name {name!r} is taken", "choose another")
    if folder.exists():
        raise EcgEdgeError(f"{folder} exists", "name another with --out")
    try:
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as scratch:
            whole = Path(scratch) / "whole"
            for template in (HERE / "common").rglob("*"):
                if template.is_file() and template.suffix != ".pyc":  # pip compiles what it installs
                    fill(template, whole / template.relative_to(HERE / "common"), name, kind)
            for template in (HERE / kind).glob("*.py"):
                fill(template, whole / module_of(name) / template.name, name, kind)
            whole.rename(folder)
    except OSError as error:
        raise EcgEdgeError(f"{folder} cannot be written: {error.strerror}", "name another with --out") from error


def module_of(name: str) -> str:
    """The package of a plugin's distribution."""
    return f"ecgedge_{name.replace('-', '_')}"


def fill(template: Path, out: Path, name: str, kind: str) -> None:
    """Write a file of the skeleton with the plugin's name for ``acme``."""
    camel = "".join(word.capitalize() for word in name.split("-"))
    text = template.read_text(encoding="utf-8")
    for word, instead in (
        ("ecgedge_acme", module_of(name)),
        ("Acme", camel),
        ("acme", name),
        ("KIND", kind),
        ("DEPENDENCY", DEPENDENCIES.get(kind, "ecgedge>=0.1.0")),
    ):
        text = text.replace(word, instead)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
