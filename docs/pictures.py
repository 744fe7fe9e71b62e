"""Make the pictures of the README and of the guided tour, from synthetic beats, so that nobody's data is in them.

``python docs/pictures.py [RUN]``: the top of a report, in light and in dark, as the README shows it. Without a run it
is made first, in some minutes: ``ecgedge matrix --model base-cnn --model tcn --dataset synthetic --profile quick``.

``python docs/pictures.py --tour [FOLDER]``: those of ``tutorials/guided-tour.md``, of the folder where a reader carried
out the page's blocks. Without one they are carried out first, in some minutes.

Needs playwright, and a Chromium that ``CHROMIUM`` names where playwright has none of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from ecgedge import MatrixRequest, Run, open_run, run_matrix

DOCS = Path(__file__).resolve().parent
ASSETS = DOCS / "assets"
TOUR = DOCS / "tutorials" / "guided-tour.md"
WIDTH = 1100
MARGIN = 16
LARGEST, LARGEST_OF_TOUR = 300_000, 150_000  # bytes of a picture
SYNTHETIC = "synthetic"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="a run; with --tour a folder")
    parser.add_argument("--tour", action="store_true", help="make those of the guided tour")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if asked.tour:
            take_tour(Path(asked.path) if asked.path else carry_out_tour(Path(scratch)), Path(scratch))
        else:
            take_readme(open_run(asked.path) if asked.path else demonstrate(scratch), Path(scratch))


def demonstrate(scratch: str) -> Run:
    """Run two models in a folder that becomes the current one: the page names files as the run's folder is named."""
    os.chdir(scratch)
    return run_matrix(MatrixRequest(data=SYNTHETIC, models=("base-cnn", "tcn"), preset="quick"), "runs/demo")


def carry_out_tour(folder: Path) -> Path:
    """The folder, with what the blocks of the tour leave there."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.pages import blocks

    for block in blocks(TOUR):
        command = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}.get(block.language)
        if command and block.runs:
            subprocess.run([*command, block.text], cwd=folder, check=True)
    return folder


def take_readme(run: Run, scratch: Path) -> None:
    page = written(run, scratch)
    for scheme in ("light", "dark"):
        with shown(page, scheme) as top:
            shoot(top, f"report-{scheme}", None, "#trade-off figure svg.pareto", LARGEST)


def take_tour(folder: Path, scratch: Path) -> None:
    """Each from the first of two places of a page to the second, in light."""
    os.chdir(folder)
    report, parted = written(open_run("runs/mine"), scratch), Path("mixed-up.html").resolve()
    for name, page, begin, end in (
        ("choice", report, None, "#trade-off figure svg.pareto"),
        ("model", report, "#model-0", "#model-0 figure"),
        ("diverge", parted, None, "#operations figure"),
    ):
        with shown(page, "light") as top:
            shoot(top, f"tour-{name}", begin, end, LARGEST_OF_TOUR)


def written(run: Run, scratch: Path) -> Path:
    """The page of a run, which has to be one on synthetic beats."""
    if not run.about["data"].startswith(SYNTHETIC):
        sys.exit(f"{run.folder} has {run.about['data']}: a picture for everybody shows synthetic beats alone")
    page = scratch / "report.html"
    page.write_text(run.report("html"), encoding="utf-8")
    return page


@contextmanager
def shown(page: Path, scheme: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox"])
        top = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
        top.goto(page.as_uri())
        yield top
        browser.close()


def shoot(page: Page, name: str, begin: str | None, end: str, largest: int) -> None:
    """A picture of a page from the top of one place, or of the page, to the bottom of another."""
    first = page.locator(begin).first.bounding_box() if begin else {"y": MARGIN}
    last = page.locator(end).first.bounding_box()
    assert first and last, f"the page shows no {begin or 'top'} or no {end}"
    upper = first["y"] - MARGIN
    area = {"x": 0, "y": upper, "width": WIDTH, "height": last["y"] + last["height"] + MARGIN - upper}
    file = ASSETS / f"{name}.png"
    page.screenshot(path=file, full_page=True, clip=area)
    size = file.stat().st_size
    print(f"{file}: {size:,} bytes, {WIDTH} x {area['height']:.0f}")
    assert size < largest, f"{file} is too large for a page"


if __name__ == "__main__":
    main()
