"""Make the picture of a report that the README shows, in light and in dark, from synthetic beats.

``python docs/pictures.py [RUN]``: a run on synthetic beats, so that nobody's data is in it. Without one it is made
first, in some minutes: ``ecgedge matrix --model base-cnn --model tcn --dataset synthetic --profile quick``. Needs
playwright, and a Chromium that ``CHROMIUM`` names where playwright has none of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from ecgedge import MatrixRequest, open_run, run_matrix

ASSETS = Path(__file__).resolve().with_name("assets")
WIDTH = 1100
LARGEST = 300_000  # bytes of a picture
SYNTHETIC = "synthetic"


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        if arguments:
            run = open_run(arguments[0])
        else:
            os.chdir(scratch)  # the page names files as the folder of the run is named
            asked = MatrixRequest(data=SYNTHETIC, models=("base-cnn", "tcn"), preset="quick")
            run = run_matrix(asked, "runs/demo")
        if not run.about["data"].startswith(SYNTHETIC):
            sys.exit(f"{run.folder} has {run.about['data']}: a picture for everybody shows synthetic beats alone")
        page = Path(scratch) / "report.html"
        page.write_text(run.report("html"), encoding="utf-8")
        take(page)


def take(page: Path) -> None:
    """The top of a page as PNG files, ``report-light.png`` and ``report-dark.png``."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            shown = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
            shown.goto(page.as_uri())
            first = shown.locator("#trade-off figure svg.pareto").first.bounding_box()
            assert first, "the page shows no trade-off"
            area = {"x": 0, "y": 0, "width": WIDTH, "height": first["y"] + first["height"] + 16}
            file = ASSETS / f"report-{scheme}.png"
            shown.screenshot(path=file, full_page=True, clip=area)
            size = file.stat().st_size
            print(f"{file}: {size:,} bytes")
            assert size < LARGEST, f"{file} is too large for a README"
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
