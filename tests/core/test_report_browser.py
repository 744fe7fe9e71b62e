"""The HTML report in a browser: headless Chromium, where there is one (CHROME, or on the path) and Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.report import Report, render
from ecgedge.report.html import diverge
from tests.conftest import run_command
from tests.core.synthetic_run import FORMS, HOSTILE, write_run
from tests.core.test_diverge import diverged, fine_steps, net

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    found = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("needs Chromium: apt install chromium, or name one in CHROME")
    with playwright.sync_playwright() as tool:
        running = tool.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def file(told: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(told, "html"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def comparison(told: Report, few_beats: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs; in the second TFLite takes twice as long."""
    folder = tmp_path_factory.mktemp("compared")
    slower = tuple((*form[:3], form[3] * (2 if form[0] == "tflite" else 1), *form[4:]) for form in FORMS)
    write_run(folder / "b", few_beats, forms=slower)
    page = folder / "compare.html"
    done = run_command("compare", told.folder, folder / "b", "-o", page, folder=folder)
    assert done.code == 1 and "6 regressions" in done.out, done.out + done.err
    return page


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two forms, of which one has a fault that changes decisions."""
    path = tmp_path_factory.mktemp("parted") / "diverge.html"
    found = diverged(net(fine_steps(), m=lambda s: -s.mean(axis=1)), HOSTILE)
    path.write_text(diverge.render(found), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Open]:
    """Open a page from the disk; afterwards nothing was complained of, and nothing else was asked for."""
    told: list[str] = []
    contexts = []

    def start(shown: Path = file, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        address = shown.as_uri()
        page.on("request", lambda request: told.append(request.url) if request.url != address else None)
        page.goto(address)
        return page

    yield start
    for context in contexts:
        context.close()
    assert [each for each in told if not each.startswith("data:")] == []


def keys(page: Any, column: str) -> list[float | None]:
    """Of the first table's rows, in the order in which they are seen."""
    return page.evaluate(
        """(name) => {
            const table = document.querySelector("table.rows");
            const at = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent.startsWith(name));
            return [...table.tBodies[0].rows].map((row) => row.cells[at].dataset.key ?? null)
                .map((key) => key === null ? null : Number(key));
        }""",
        column,
    )


def seen(page: Any) -> list[str]:
    return page.locator("table.rows tbody tr:visible").all_inner_texts()


def test_sorting_by_mouse_and_keyboard(opened: Open) -> None:
    page = opened()
    before = keys(page, "p50")
    known = sorted(key for key in before if key is not None)
    lost = [None] * before.count(None)
    assert before != known + lost
    head = page.locator("table.rows").first.locator("th", has=page.get_by_role("button", name="p50"))
    head.get_by_role("button").click()
    assert keys(page, "p50") == known + lost
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert keys(page, "p50") == known[::-1] + lost
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert keys(page, "p95") == sorted(key for key in keys(page, "p95") if key is not None) + lost
    assert page.locator("[aria-sort]").count() == 1


def test_words_are_sorted_as_words(opened: Open) -> None:
    page = opened()
    page.locator("table.rows").first.get_by_role("button", name="precision").click()
    cells = page.locator("table.rows").first.locator("tbody tr td:nth-child(3)").all_inner_texts()
    words = [cell for cell in cells if cell != "–"]
    assert words == sorted(words) and len(set(words)) == 3
    assert cells[len(words) :] == ["–"] * (len(cells) - len(words))


def test_each_row_has_an_address(opened: Open, told: Report) -> None:
    """That a colleague can be sent: the row is seen, and marked."""
    page = opened(viewport={"width": 1400, "height": 500})
    row = told.rows[-3]
    link = page.locator("table.rows tbody a.address").nth([each.id for each in told.rows].index(row.id))
    link.click()
    assert page.evaluate("decodeURIComponent(location.hash)") == f"#row-{row.id}"
    marked = page.locator("tr:target")
    assert marked.count() == 1 and marked.is_visible()
    top = marked.bounding_box()["y"]
    assert 0 <= top < 500 and marked.evaluate("(row) => getComputedStyle(row).outlineStyle") == "solid"


def test_a_table_that_is_cut_says_that_it_scrolls_and_breaks_no_short_name(opened: Open, told: Report) -> None:
    """At any width: the cue stands there where a part is out of sight, and a name of 9 letters is in one line."""
    for width in (1400, 1100, 390):
        page = opened(viewport={"width": width, "height": 800})
        box = page.locator("#rows .scroll").first
        cut = box.evaluate("(box) => box.scrollWidth > box.clientWidth + 1")
        assert page.locator("#rows .cue").first.is_visible() == cut, width
        assert cut == (width < 1400)
        name = page.locator("#rows a.address").first
        name.evaluate("(link) => { link.textContent = 'mine.onnx' }")
        assert name.evaluate("(link) => link.getClientRects().length == 1 && link.offsetHeight < 30"), width


def test_reasons_stack_on_a_phone(opened: Open) -> None:
    page = opened(viewport={"width": 420, "height": 800})
    table = page.locator("table.reasons")
    assert table.evaluate("(table) => table.scrollWidth <= document.documentElement.clientWidth")
    label, reason = (table.locator(f"td[data-name={name}]").first.bounding_box() for name in ("form", "reason"))
    assert reason["y"] > label["y"] and reason["width"] > 300


def test_the_page_of_two_runs(opened: Open, comparison: Path) -> None:
    """What is worse comes first and leads to its row; it is sorted by changes, and no name in it is taken for HTML."""
    page = opened(comparison, viewport={"width": 1400, "height": 900})
    assert (
        page.title().startswith("ecgedge compare") and page.locator(".decision .name").inner_text() == "6 regressions"
    )
    first = page.locator("table.rows").first
    assert first.locator("tbody tr").first.locator("td").last.inner_text() == "worse"
    page.locator("#verdict li a").first.click()
    assert page.locator("tr:target td.worse").count() >= 1
    first.get_by_role("button", name="latency").click()
    changes = first.locator("tbody tr").evaluate_all(
        "(rows) => rows.map((row) => row.cells[7].dataset.key).filter((key) => key !== undefined).map(Number)"
    )
    assert changes == sorted(changes) and changes[-1] > 80
    for width in (420, 1400):
        assert opened(comparison, viewport={"width": width, "height": 800}).evaluate(
            "document.documentElement.scrollWidth"
        ) == width  # fmt: skip


@pytest.mark.parametrize("name", ["file", "comparison", "parted"])
def test_axe_finds_nothing(name: str, opened: Open, request: pytest.FixtureRequest) -> None:
    """The rules of axe-core, in light and dark, on a phone and on a desk, with all details open."""
    core = pytest.importorskip("axe_core_python", reason="needs axe: pip install axe-core-python")
    axe = Path(core.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    for colours, width in (("light", 420), ("dark", 1400)):
        page = opened(request.getfixturevalue(name), color_scheme=colours, viewport={"width": width, "height": 900})
        page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        assert len(found["passes"]) > 30
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []


def test_filters(opened: Open) -> None:
    page = opened()
    total = len(seen(page))
    page.get_by_label("Rows with all these words").fill("int8 TFLITE")
    assert len(seen(page)) == 2 and all("tflite" in row and "full-int8" in row for row in seen(page))
    assert page.locator("output").inner_text() == f"2 of {total} rows"
    page.get_by_label("model").select_option("pca-ae")
    assert len(seen(page)) == 1
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function(f"document.querySelector('output').textContent === '{total} rows'")
    assert len(seen(page)) == total
    page.get_by_label("status").select_option("failed")
    assert len(seen(page)) == 2


def test_without_script_the_page_is_whole(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert not page.locator("form").is_visible()
    assert len(seen(page)) == page.locator("table.rows tbody tr").count() > 0


def test_labels_of_the_pareto_plots_do_not_meet(opened: Open) -> None:
    page = opened()
    for plot in page.locator("svg.pareto").all():
        boxes = [label.bounding_box() for label in plot.locator(".label").all()]
        assert len(boxes) >= 3
        for one, other in combinations(boxes, 2):
            apart = (
                one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
            )
            assert apart, (one, other)


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_no_page_scrolls_sideways(opened: Open, width: int) -> None:
    page = opened(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark(opened: Open) -> None:
    def colours(scheme: str) -> tuple[str, str]:
        body = opened(color_scheme=scheme).locator("body")
        return tuple(body.evaluate("(e) => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"))

    (light_ink, light_paper), (dark_ink, dark_paper) = colours("light"), colours("dark")
    assert light_paper == "rgb(255, 255, 255)"
    assert len({light_ink, light_paper, dark_ink, dark_paper}) == 4


def test_the_skip_link_is_first_and_seen(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert link.inner_text() == "Skip to the report"
    assert link.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("id") == "main"


def test_print(opened: Open) -> None:
    page = opened(color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and not page.locator("form").is_visible()
    assert page.locator("body").evaluate("(e) => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    heads = page.locator("table.rows thead")
    assert heads.locator(".head:visible").count() == heads.locator("th").count() > 0
    assert heads.locator("button:visible").count() == 0
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
