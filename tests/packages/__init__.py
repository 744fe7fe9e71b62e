"""Packages that tests install, and how: as pip would leave them, with no index and no build."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

HERE = Path(__file__).parent


def install(project: Path, site: Path) -> None:
    """Put the package of a project into a folder for PYTHONPATH, with the metadata of its ``pyproject.toml``."""
    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    about = told["project"]
    for package in told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(project / package, site / package)
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    points = "".join(f"{name} = {value}\n" for name, value in about["entry-points"]["ecgedge"].items())
    (info / "entry_points.txt").write_text(f"[ecgedge]\n{points}")
