"""The HTML report as a document: whole, accessible, escaped, and true to the rows."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from html import unescape
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.api.artifact import Binary
from ecgedge.choose import decide, find_metric, parse_requirement
from ecgedge.data.dataset import Dataset, Split
from ecgedge.report import Report, render
from ecgedge.report.html import models
from ecgedge.report.html import page as page_module
from ecgedge.report.html import pareto as pareto_module
from ecgedge.report.html.figures import Looks, form
from ecgedge.report.html.run_files import RunFiles
from ecgedge.report.remarks import remarks
from ecgedge.report.table import wide_lines
from ecgedge.run.journal import read, samples
from tests.conftest import Command, error_of
from tests.core.synthetic_run import CALLS, FORMS, HOSTILE, ROUNDS, write_run

VOID = {"meta", "link", "input", "br", "hr", "img"}
LIMIT = 3_000_000  # bytes of a page


@dataclass
class Element:
    """A tag with its attributes, its text, and what is in it."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None
    children: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def all(self, tag: str, **wanted: str) -> list[Element]:
        """Everything below with that tag and attributes, in the order of the page."""
        wanted = {key.rstrip("_"): value for key, value in wanted.items()}
        found = []
        for child in self.children:
            fits = all(value in child.attributes.get(key, "").split() for key, value in wanted.items())
            found += [child] * (child.tag == tag and fits) + child.all(tag, **wanted)
        return found

    def one(self, tag: str, **wanted: str) -> Element:
        [found] = self.all(tag, **wanted)
        return found

    def inside(self, tag: str) -> bool:
        return self.parent is not None and (self.parent.tag == tag or self.parent.inside(tag))


class Page(HTMLParser):
    """Reads a page into elements; every tag that is opened has to be closed in its turn."""

    def __init__(self, text: str):
        super().__init__()
        self.root = self.here = Element("", {}, None)
        self.feed(text)
        self.close()
        assert self.here is self.root, f"<{self.here.tag}> is not closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {key: value or "" for key, value in attributes}, self.here)
        self.here.children.append(made)
        if tag not in VOID:
            self.here = made

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.here.tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        above: Element | None = self.here
        while above:
            above.words.append(data)
            above = above.parent


@pytest.fixture(scope="module")
def text(told: Report) -> str:
    return render(told, "html")


def flat(told: Report) -> list[dict[str, Any]]:
    """The rows as JSON has them."""
    return [row.flat for row in told.rows]


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return Page(text).root


def test_the_page_is_one_file_of_modest_size(text: str, page: Element) -> None:
    assert text.startswith("<!DOCTYPE html>")
    assert len(text.encode()) < LIMIT
    elements = [*page.all("link"), *page.all("script"), *page.all("img"), *page.all("a")]
    addresses = [each.attributes.get("src", "") + each.attributes.get("href", "") for each in elements]
    assert all(re.match(r"#|data:,|$", address) for address in addresses), addresses
    assert not re.search(r"@import|url\(|https?:|fetch\(|XMLHttpRequest", text)


def test_what_comes_from_outside_stays_text(page: Element) -> None:
    [script] = page.all("script")
    assert "taken" not in script.text
    reasons = page.one("table", class_="reasons")
    assert any(HOSTILE in cell.text for cell in reasons.all("td"))
    assert page.all("h2")[3].text == HOSTILE  # a model of that name


def test_landmarks_headings_and_links(page: Element) -> None:
    assert page.one("html").attributes["lang"] == "en"
    for tag in ("header", "nav", "main", "footer", "h1"):
        page.one(tag)
    ids = [each.attributes["id"] for tag in ("section", "main", "h2", "input", "select") for each in page.all(tag)]
    ids += [each.attributes["id"] for each in page.all("tr") if "id" in each.attributes]
    assert max(Counter(ids).values()) == 1
    links = [each.attributes["href"].removeprefix("#") for each in page.all("a")]
    assert links[0] == "main" and set(links) <= set(ids)
    for section in page.one("main").all("section"):
        assert section.attributes["aria-labelledby"] in ids


def test_each_row_has_its_name_and_file_and_an_address(page: Element, told: Report) -> None:
    table = page.one("table", class_="of-files")
    named = {row.one("a").attributes["href"]: [cell.text for cell in row.all("td")] for row in table.all("tr")[1:]}
    rows = [row for row in told.rows if row.status == "ok"]
    assert named == {f"#row-{row.id}": [form(row), row.id, row.file.path] for row in rows}
    lines = [line for table in page.all("table", class_="rows") for line in table.all("tr")[1:]]
    assert {line.attributes["id"] for line in lines} == {f"row-{row.id}" for row in told.rows}
    assert all(line.one("a").attributes["href"] == f"#{line.attributes['id']}" for line in lines)


def test_a_users_file_that_never_decides_a_class_has_a_remark(told: Report) -> None:
    """Its outputs may be in another order than the data's classes; of a model of ecgedge's own nothing is said."""
    row = next(row for row in told.rows if row.quality is not None and row.quality.confusion is not None)
    assert row.quality is not None and row.quality.confusion is not None
    counts = [[sum(line), *[0] * (len(line) - 1)] for line in row.quality.confusion]
    odd = replace(
        row, identity=replace(row.identity, model="mine.onnx"), quality=replace(row.quality, confusion=counts)
    )
    request = told.run["request"] | {"files": ["theirs/mine.onnx"]}
    report = replace(told, rows=[odd, row], run={**told.run, "request": request})
    lost = sum(map(sum, counts)) - sum(counts[0])
    [line] = remarks(report)
    assert "mine.onnx never decides class 2, 3" in line and f"({lost:,} of" in line
    assert line in " ".join(render(report, "table").split())  # a long line is folded
    assert line.removeprefix("remark: ") in unescape(render(report, "html"))
    assert remarks(replace(report, rows=[row])) == []


def test_the_form_that_is_explained_is_one_that_the_choice_names(page: Element, told: Report) -> None:
    [section] = [each for each in page.all("section") if each.attributes["id"] == "model-0"]
    front = page.one("section", id="choice").all("tr")
    [suggested, *_] = [row for row in front if "suggested" in row.text]
    assert "tflite full-int8" in suggested.text
    assert "and tflite full-int8, which the choice above names." in section.text
    rows = [row for row in told.rows if row.model == HOSTILE and row.status == "ok"]
    [dynamic] = [row for row in rows if row.precision == "dynamic"]
    assert models.pair(rows, {dynamic.id})[1] is dynamic is not models.pair(rows)[1]  # which is quicker


def test_of_two_classes_by_one_output_the_positive_one_is_named(told: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in told.rows if row.model == HOSTILE]
    files = RunFiles(told.compared_by().run)
    assert not models.section(0, "net", rows, files, "c1").meaning
    beats = files.beats
    assert beats is not None
    y = np.minimum(beats.y, 1)
    monkeypatch.setattr(RunFiles, "beats", replace(beats, y=y))
    monkeypatch.setattr(RunFiles, "task", lambda self, cell: Binary(("AF", "no", "", "", ""), "logits"))  # rows of 5
    monkeypatch.setattr(RunFiles, "outputs", lambda self, cell: 2.0 * y[:, None] - 1)  # all are right
    found = models.section(0, "net", rows, files, "c1")
    assert found.meaning == "The one output of this model is the probability of class no."
    assert [(recall.label, recall.recall) for recall in found.recalls] == [("AF", 1), ("no", 1)]


def test_a_marker_means_the_same_in_every_report() -> None:
    shapes = [Looks(formats=formats).shape("tflite") for formats in (["tflite"], ["torch", "onnx", "tflite"])]
    assert len(set(shapes)) == 1
    looks = Looks(formats=["theirs", "torch", "onnx", "tflite", "saved_model", "ours"])
    assert len({looks.shape(name) for name in looks.formats}) == 6


def test_an_interval_wider_than_the_noise_is_told(told: Report) -> None:
    [first, *_] = [row for row in told.rows if row.latency]
    low, high = first.times.p50_us * 0.8, first.times.p50_us * 1.2
    wide = replace(first, latency=replace(first.times, p50_low_us=low, p50_high_us=high))
    [line] = wide_lines([wide], told.noise)
    assert "p50 of 1 row, +-20% at worst, is less exact there than time x (noise floor" in line
    assert wide_lines([replace(wide, latency=replace(wide.times, p50_low_us=high, p50_high_us=high))], told.noise) == []
    quiet = {model: replace(each, floor=0.001) for model, each in told.noise.items()}
    low, high = first.times.p50_us * 0.996, first.times.p50_us * 1.004
    [line] = wide_lines([replace(first, latency=replace(first.times, p50_low_us=low, p50_high_us=high))], quiet)
    assert "+-0.4% at worst" in line


def test_the_choice_comes_first(page: Element) -> None:
    titles = [each.text for each in page.one("main").all("h2")]
    assert titles[0] == "The choice"
    assert titles[1:3] == ["Quality against latency and size", "All forms"]
    assert titles[-2:] == ["What failed, and why", "How it was measured"]


def test_every_picture_says_what_it_shows(page: Element) -> None:
    pictures = [each for each in page.all("svg") if each.attributes.get("role") == "img"]
    assert len(pictures) == len(page.all("figure"))
    for picture in pictures:
        title, description = picture.children[:2]
        assert (title.tag, description.tag) == ("title", "desc")
        assert len(title.text) > 2 and len(description.text) > 20
        assert picture.attributes["aria-label"]
        assert picture.inside("figure") and picture.inside("section")
    for other in page.all("svg"):
        assert other in pictures or other.attributes["aria-hidden"] == "true"


def test_tables_are_real_tables(page: Element) -> None:
    tables = page.all("table")
    assert len(tables) >= 6
    for table in tables:
        assert table.one("caption").text
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
        for row in table.one("tbody").all("tr"):
            assert len(row.children) == len(table.one("thead").all("th"))
            assert row.children[0].attributes["scope"] == "row"
    for control in [*page.all("input"), *page.all("select")]:
        assert any(label.attributes["for"] == control.attributes["id"] for label in page.all("label"))


def test_the_table_has_every_row_with_intervals_and_keys(page: Element, told: Report) -> None:
    tables = page.all("table", class_="rows")
    rows = [row for table in tables for row in table.one("tbody").all("tr")]
    assert len(rows) == len(told.rows) == 2 * (len(FORMS) + 2)
    names = [[head.text for head in table.all("th", scope="col")] for table in tables]
    assert "p50 µs" in names[0] and "size kB" in names[0] and "accuracy" in names[0] and "AUROC" in names[1]
    for table, head, task in zip(tables, names, ("classification", "anomaly")):
        of_task = [row for row in flat(told) if row["task"] == task]
        for shown, row in zip(table.one("tbody").all("tr"), of_task, strict=True):
            cells = dict(zip(head, shown.children))
            for key in ("model", "format", "precision", "runtime"):
                assert cells[key].text == (row[key] or "–")
            assert cells["status"].text.startswith(row["status"])
            if row["status"] == "ok":
                p50 = cells["p50 µs"]
                assert float(p50.attributes["data-key"]) == row["latency_p50_us"]
                assert p50.one("small").text == f"{row['latency_p50_low_us']:.1f}–{row['latency_p50_high_us']:.1f}"
                quality = "accuracy" if row["task"] == "classification" else "auroc"
                cell = cells["accuracy" if row["task"] == "classification" else "AUROC"]
                assert cell.text.startswith(f"{row[quality]:.4f}")
                ends = [f"{row[f'{quality}_{end}']:.4f}" for end in ("low", "high")]
                assert cell.one("small").text == (ends[0] if ends[0] == ends[1] else "–".join(ends))
            else:
                assert "data-key" not in cells["p50 µs"].attributes


def test_confusion_fp32_against_int8(page: Element, told: Report) -> None:
    whole, eight = page.all("table", class_="confusion")
    assert (whole.one("caption").text, eight.one("caption").text) == ("tflite fp32", "tflite full-int8")
    rows = {(row["format"], row["precision"]): row for row in flat(told) if row["task"] == "classification"}
    before, after = (np.array(rows["tflite", precision]["confusion"]) for precision in ("fp32", "full-int8"))
    for table, counts in ((whole, before), (eight, after)):
        cells = [[cell.text.split()[0] for cell in row.all("td")] for row in table.one("tbody").all("tr")]
        assert cells == [[f"{count:,}" for count in row] for row in counts]
    changes = [[cell.text.split()[1:] for cell in row.all("td")] for row in eight.one("tbody").all("tr")]
    assert changes == [[[f"{change:+}"] if change else [] for change in row] for row in after - before]
    assert np.any(before != after)


def test_recall_of_each_class(page: Element, told: Report) -> None:
    table = page.one("details", class_="of-recalls").one("table")
    [row] = [
        row
        for row in flat(told)
        if row["task"] == "classification" and row["format"] == "onnx" and row["precision"] == "full-int8"
    ]
    column = [head.text for head in table.all("th", scope="col")].index("onnx full-int8 on cpu")
    for shown in table.one("tbody").all("tr"):
        change = row["recall_change"][shown.children[0].text]
        assert shown.children[column].text.startswith(f"{100 * change:+.2f}")


def test_figures_of_a_detector(page: Element, told: Report) -> None:
    section = page.one("section", id="model-1")
    titles = [each.children[0].text for each in section.all("svg", role="img")]
    assert titles[:2] == ["Anomaly scores", "ROC"] and titles[-1] == "Latency of each form"
    assert 3 <= sum(title.startswith("Beat ") for title in titles) <= 5
    thresholds = section.all("path", class_="threshold") + section.all("line", class_="threshold")
    assert len(thresholds) == 2 + 1  # fp32, int8, and the legend
    rows = {(row["format"], row["precision"]): row for row in flat(told) if row["task"] == "anomaly"}
    for precision in ("fp32", "full-int8"):
        assert f"AUROC {rows['tflite', precision]['auroc']:.4f}" in section.text


def test_latency_is_drawn_from_all_raw_samples(page: Element, told: Report) -> None:
    section = page.one("section", id="model-0")
    [figure] = [each for each in section.all("figure") if "timed calls" in each.text]
    assert figure.text.count(f"{len(FORMS) * ROUNDS * CALLS:,} timed calls") == 1
    medians = [row["latency_p50_us"] for row in flat(told) if row["task"] == "classification" and row["status"] == "ok"]
    assert all(
        f"median {median:,.1f} µs" in figure.one("svg", role="img").attributes["aria-label"] for median in medians
    )
    names = {record["cell"] for record in read(told.folder) if record["event"] == "block"}
    assert all(len(samples(told.folder, r)) == CALLS for r in read(told.folder) if r["event"] == "block") and names


def test_the_pareto_plot(page: Element, told: Report) -> None:
    plots = page.all("svg", class_="pareto")
    assert len(plots) == 2
    for plot, task in zip(plots, ("classification", "anomaly")):
        shown = [row for row in flat(told) if row["task"] == task and row["status"] == "ok"]
        marks = plot.all("path", class_="mark") + plot.all("circle", class_="mark")
        assert len(marks) == len(shown)
        assert {mark.one("title").text.split(":")[-1].split()[0] for mark in marks} == {
            f"{row['latency_p50_us']:,.1f}" for row in shown
        }
        [choice] = [each for each in decide(told.rows) if each.task == task]
        bold = {label.text for label in plot.all("text", class_="must")}
        assert len(bold) == len(choice.front)


def test_what_runtimes_tell_besides_is_shown(page: Element, told: Report) -> None:
    table = page.one("table", class_="besides")
    telling = [row for row in flat(told) if row.get("figures")]
    assert 0 < len(telling) < len(told.rows)
    names = [head.text for head in table.one("thead").all("th")]
    assert names == ["model", "form", "route", "arena bytes", "fits"]
    assert [[cell.text for cell in row.children] for row in table.one("tbody").all("tr")] == [
        [row["model"], f"tflite {row['precision']}", " → ".join(row["route"]), "15,248", HOSTILE] for row in telling
    ]


def test_how_it_was_measured(page: Element, told: Report) -> None:
    made = page.one("section", id="made").text
    for fact in (told.run["command"], told.run["data_digest"], "a processor", "ecgedge 0.1.0", "noise floor"):
        assert fact in made


def test_a_winner_is_named_with_its_runner_up(told: Report) -> None:
    [choice] = decide(told.rows, [parse_requirement("accuracy>=0.5")], find_metric("latency_p50"))
    page = Page(render(replace(told, choices=[choice]), "html")).root
    [card] = page.one("section", id="choice").all("div", class_="decision")
    assert card.one("p", class_="name").text == f"{HOSTILE} tflite full-int8"
    assert "tflite dynamic" in card.text and "Ship" in card.text and "accuracy>=0.5" in card.text
    assert len(page.all("path", class_="chosen")) == 1
    assert len(page.all("path", class_="front")) == 2  # they are drawn all the same


def test_nothing_qualifies_names_the_nearest(told: Report) -> None:
    [choice] = decide(
        told.rows, [parse_requirement("size<=1KB"), parse_requirement("task==anomaly")], find_metric("auroc")
    )
    page = Page(render(replace(told, choices=[choice]), "html")).root
    card = page.one("section", id="choice")
    assert "No form qualifies" in card.text and "size<=1KB" in card.text and "19.0 kB" in card.text


def test_a_run_in_which_nothing_works(few_beats: Dataset, tmp_path: Path) -> None:
    page = Page(render(write_run(tmp_path / "run", few_beats, works=False), "html")).root
    assert "No form works" in page.one("section", id="choice").text
    assert len(page.all("table", class_="rows")) == 2
    assert "No form of this model was measured" in page.one("section", id="model-0").text


def test_a_run_without_quantized_forms(few_beats: Dataset, tmp_path: Path) -> None:
    page = Page(render(write_run(tmp_path / "run", few_beats, forms=FORMS[:1]), "html")).root
    assert len(page.all("table", class_="confusion")) == 1
    assert not page.all("details", class_="of-recalls")


def test_of_very_many_rows_the_page_shows_the_models_that_matter(
    few_beats: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models of eight rows: with room for ten, the one with the winner is there, and it is said."""
    told = write_run(tmp_path / "run", few_beats)
    asked = [parse_requirement("task==anomaly")]
    told = replace(told, choices=decide(told.rows, asked, find_metric("latency_p50")))
    monkeypatch.setattr(page_module, "MOST_ROWS", 10)
    monkeypatch.setattr(pareto_module, "MOST_LABELLED", 2)
    page = Page(render(told, "html")).root
    models = {row.attributes["data-model"] for row in page.all("tr") if "data-model" in row.attributes}
    assert models == {"pca-ae"}
    assert "16 rows make too large a page: it shows the 8 of 1 model," in page.text
    words = [each.text for each in page.one("svg", class_="pareto").all("text", class_="label")]
    assert words
    assert all(word.startswith("pca-ae") for word in words), "no mark is labelled but those of the front"


def test_hundreds_of_classes_are_bounded_with_a_reason(tmp_path: Path) -> None:
    """A table of 250 classes squared would be most of the page, twice for each model."""
    chance = np.random.default_rng(0)
    count, shapes = 250, chance.normal(size=(250, 1, 60))

    def draw(of_each: int) -> Split:
        y = np.repeat(np.arange(count), of_each)
        return Split((shapes[y] + chance.normal(size=(len(y), 1, 60))).astype(np.float32), y)

    data = Dataset("many", draw(3), draw(2), tuple(f"kind {i:03}" for i in range(count)), "")
    told = write_run(tmp_path / "run", data)
    text = render(told, "html")
    assert len(text.encode()) < LIMIT
    section = Page(text).root.one("section", id="model-0")
    assert "250 classes make too large a table: these 30 take part" in section.text
    assert "Of 250 classes, the 30 that lose most" in section.text
    assert "the first 200 of 250 classes" in section.text
    whole, eight = section.all("table", class_="confusion")
    rows = {(row["format"], row["precision"]): row for row in flat(told) if row["task"] == "classification"}
    for table, precision in ((whole, "fp32"), (eight, "full-int8")):
        heads = [head.text for head in table.one("tbody").all("th")]
        index = [data.labels.index(label) for label in heads]
        cells = [[int(cell.text.split()[0]) for cell in row.all("td")] for row in table.one("tbody").all("tr")]
        counts = np.array(rows["tflite", precision]["confusion"])
        assert cells == counts[np.ix_(index, index)].tolist()
        assert len(index) == 30 and [cell.text for cell in table.one("thead").all("th")][1:] == heads
    plot = next(each for each in section.all("svg", role="img") if each.children[0].text == "Change of recall by class")
    assert len(plot.all("text", class_="label")) == 30


def test_beats_that_are_gone_are_told(told: Report, tmp_path: Path) -> None:
    shutil.copytree(told.folder, tmp_path / "run")
    (tmp_path / "run" / "beats.npz").unlink()
    page = Page(render(replace(told, folder=tmp_path / "run"), "html")).root
    for name in ("model-0", "model-1"):
        section = page.one("section", id=name)
        assert "no longer in the folder" in section.text
        assert [each.children[0].text for each in section.all("svg", role="img")] == ["Latency of each form"]


def test_the_command_writes_the_page(ecgedge: Command, told: Report, tmp_path: Path) -> None:
    result = ecgedge("report", told.folder, "--output", "html", "-o", "page.html", "--require", "task==anomaly")
    assert (result.code, result.out) == (0, ""), result.err
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8")).root
    assert "task==anomaly" in page.one("section", id="choice").text
    assert "no run" in error_of(ecgedge("report", tmp_path, "--output", "html"))


def contrast(first: str, second: str) -> float:
    """WCAG 2's ratio of two colours, 1 ... 21."""
    light, dark = sorted((luminance(each) for each in (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def mixed(over: str, under: str, share: float) -> str:
    pairs = [(int(over[i : i + 2], 16), int(under[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def test_contrast_in_light_and_dark() -> None:
    style = resources.files("ecgedge.report.html").joinpath("templates/style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )
    assert set(light) == set(dark)
    for scheme in (light, dark):
        for ink in ("ink", "soft", "accent", "good", "bad"):
            assert min(contrast(scheme[ink], scheme[paper]) for paper in ("paper", "raised")) >= 4.5, ink
        for number in range(8):  # what is drawn
            assert contrast(scheme[f"c{number}"], scheme["paper"]) >= 3, number
        assert contrast(scheme["ink"], mixed(scheme["heat"], scheme["paper"], 0.55)) >= 4.5
