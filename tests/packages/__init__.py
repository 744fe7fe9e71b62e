"""Packages that tests install, and how: as pip would leave them, with no index and no build."""

from __future__ import annotations

import shutil
import tomllib
import zipfile
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


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Write a wheel of plain Python, which pip installs without an index."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, content in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(file, content)
