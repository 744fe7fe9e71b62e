"""One list of nasty strings over every place that names are put in: each escapes for itself, and loses nothing.

Who reads what was written is never ours: the csv and html modules, ElementTree, a CommonMark library, a C compiler.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ecgedge import Artifact, Classification, MatrixRequest, Run, TensorSpec, bundle
from ecgedge.bundle import Facts, Vectors
from ecgedge.cli import main
from ecgedge.data.dataset import Dataset
from ecgedge.data.synthetic import synthetic_beats
from ecgedge.files import escape
from ecgedge.report import Report, render
from ecgedge.run.row import Row
from ecgedge.testing import write_fake_checkpoint
from tests.conftest import Command, Result, on_a_terminal
from tests.nasty import NASTY, meant, unseen

FORMULAS = "=+-@\t\r\uff1d"  # a cell that begins so may be computed
OURS = re.compile(r"\x1b\[(?:3[123](?:;1)?|1|0)m")  # the colours that reach a terminal


def named() -> list[str]:
    """The nasty strings with their numbers behind them, so that no two are alike."""
    return [f"{text}#{number}" for number, text in enumerate(NASTY)]


@pytest.fixture(scope="module")
def harmed(told: Report) -> Report:
    """A report in which every name is nasty."""
    rows = [row for row in told.rows if row.status == "ok"]
    lost = [
        {**rows[0].flat, "status": "failed", "id": text, "model": text, "reason": text, "stage": text, "format": text,
         "precision": text, "runtime": text, "route": [text], "quantizer": text, "verdict": None, "passes": [text],
         "notes": {"text": text}, "figures": {text: text}}
        for text in named()
    ]  # fmt: skip
    everything = " ".join(NASTY)
    run = told.run | {"data": everything, "command": everything, "labels": NASTY, "started": everything}
    run |= {"versions": {text: text for text in NASTY}, "environments": {text: {text: text} for text in NASTY}}
    run |= {"machine": told.run["machine"] | {"cpu": everything, "system": everything}}
    return replace(told, run=run, rows=[*rows, *map(Row.from_record, lost)], best=frozenset())


def printed(text: str) -> str:
    """What reaches a pipe."""
    below = io.StringIO()
    escape.Shown(below).write(text)
    return below.getvalue()


# -- terminals and pipes


@pytest.mark.parametrize("form", ["table", "md", "csv", "json", "html"])
def test_no_format_moves_hides_or_reorders_anything(harmed: Report, form: str) -> None:
    assert unseen(printed(render(harmed, form)), {"csv": "\r\n", "html": "\n\t"}.get(form, "\n")) == []


def test_each_row_of_the_table_is_a_line_as_wide_as_the_others(harmed: Report) -> None:
    lines = printed(render(harmed, "table")).splitlines()
    rules = [i for i, line in enumerate(lines) if set(line) == {"-", " "}]
    assert rules
    for start in rules:
        rows = lines[start + 1 : lines.index("", start)]
        ends = [match.end() for match in re.finditer("-+", lines[start])]
        assert all(row[end : end + 1] in ("", " ") for row in rows for end in ends if row.isascii())
    failed = [line for line in lines if line.startswith("failed: ")]
    assert len({meant(line).rsplit("): ")[-1] for line in failed} & set(named())) == len(NASTY)


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_what_is_shown_tells_what_it_was_and_a_second_time_changes_nothing(text: str) -> None:
    for shown in (escape.line(text), escape.terminal(text)):
        assert meant(shown) == text
        assert escape.terminal(shown) == shown


def test_json_stays_json_where_it_is_shown() -> None:
    told = {"name": "a\x7fb\x9bc\u202e"}
    assert json.loads(printed(json.dumps(told, ensure_ascii=False))) == told


class Ascii(io.TextIOWrapper):
    """A terminal that knows ASCII alone."""

    def __init__(self, terminal: bool):
        super().__init__(io.BytesIO(), encoding="ascii")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_what_an_encoding_lacks_is_shown_too() -> None:
    below = Ascii(False)
    escape.Shown(below).write("\u00e9 \u2713 ok\n")
    below.flush()
    assert below.buffer.getvalue() == b"\\xe9 \\u2713 ok\n"


@pytest.mark.parametrize(
    ("terminal", "no_color", "kind", "coloured"),
    [(True, "", "xterm", True), (True, "1", "xterm", False), (True, "", "dumb", False), (False, "", "xterm", False)],
)
def test_only_our_own_colours_reach_a_terminal(
    terminal: bool, no_color: str, kind: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", kind)
    below = Ascii(terminal)
    escape.Shown(below).write(escape.style("\x1b[31mtheirs\x1b[0m", "green", bold=True))
    below.flush()
    told = below.buffer.getvalue().decode()
    inner = "\\u001b[31mtheirs\\u001b[0m"
    assert told == (f"\x1b[32;1m{inner}\x1b[0m" if coloured else inner)


def can_name(text: str) -> bool:
    """Whether a file can bear the name."""
    if not text.strip() or set(text) & {"/", "\0"}:
        return False
    try:
        return len(os.fsencode(text)) < 200
    except UnicodeEncodeError:
        return False


FILES = [text for text in NASTY if can_name(text)]


def test_names_of_files_in_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in FILES:
        done = command("report", "--", text)
        assert done.code == 2, (text, done.err)
        assert unseen(done.out + done.err) == [], text
        assert len(done.err.splitlines()) == 2 and done.err.startswith("Error: "), done.err
        assert text in meant(done.err)


def command(*arguments: str | Path) -> Result:
    """The command in this process."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def test_names_of_files_and_labels_of_data(ecgedge: Command, beats: Dataset, tmp_path: Path) -> None:
    labels = [text for text in FILES if text.isprintable() and not set(text) & set(",;\"' \t\\")][:20]
    folder = tmp_path / "\x1b[2J\u202edata\n"
    folder.mkdir()
    x, names = beats.train.x[:, 0], [f"{labels[i % len(labels)]}\x1b[31m" for i in range(len(beats.train))]
    for part in ("TRAIN", "TEST"):
        lines = [",".join([name, *map(str, row)]) for name, row in zip(names, np.round(x, 4))]
        (folder / f"b_{part}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = ecgedge("data", "show", folder)
    assert unseen(done.out + done.err) == [], done
    assert "\\u001b[2J\\u202edata\\u000a" in done.out + done.err


def test_names_of_plugins(ecgedge: Command, fakes: Path) -> None:
    names = [text for text in FILES if not text.startswith((".", "_"))]
    for name in names:
        (fakes / f"{name}.py").write_text("raise RuntimeError('\\x1b[2J\\u202e\\nError: forged')")
    for arguments in (["plugins"], ["doctor", "--dataset", "synthetic"]):
        done = ecgedge("--plugins-dir", fakes, *arguments)
        assert done.code == 0
        assert unseen(done.out + done.err) == []
        assert not re.search("^Error: forged", done.out + done.err, re.MULTILINE)


def test_a_terminal_gets_our_colours_and_nothing_of_others(fakes: Path, tmp_path: Path) -> None:
    """``matrix --dry-run`` on a terminal, with models whose names are nasty."""
    for text in FILES:
        shutil.copytree(tmp_path / "fake-checkpoint", tmp_path / text)
    models = [word for text in FILES for word in ("--model", f"./{text}")]
    arguments = ["--plugins-dir", str(fakes), "matrix", "--dataset", "synthetic", "--dry-run", *models]
    code, told = on_a_terminal([sys.executable, "-P", "-m", "ecgedge", *arguments], tmp_path)
    assert code == 0, told
    assert unseen(OURS.sub("", told), "\r\n") == []
    assert all(f"cell  {text} -> " in meant(told) for text in FILES)


# -- CSV


def test_no_cell_of_a_report_is_a_formula(harmed: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(render(harmed, "csv"), newline="")))
    assert len(rows) == len(harmed.rows)
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(tuple(FORMULAS)) or is_number(cell)
    found = {meant(row["model"]).removeprefix("'").replace(";'", ";") for row in rows if row["status"] == "failed"}
    assert found == {text.removeprefix("'") for text in named()}


def test_numbers_are_numbers_in_csv() -> None:
    assert [escape.csv_cell(value) for value in (-1, -1.5, "-1", "+2.5e-3", "-.5", None)] == [
        -1, -1.5, "-1", "+2.5e-3", "-.5", None,
    ]  # fmt: skip


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_labels_in_the_answers_of_predict(ecgedge: Command, fakes: Path, beats: Dataset, tmp_path: Path) -> None:
    labels = ("=1+1", "@SUM(A1)", "-1", "+cmd|' /C calc'!A0", "a;=1")
    shutil.rmtree(tmp_path / "fake-checkpoint")
    write_fake_checkpoint(tmp_path / "fake-checkpoint", replace(beats, labels=labels))
    np.savetxt(tmp_path / "beats.csv", beats.test.x[:200, 0], fmt="%.6g", delimiter=",")
    done = ecgedge("--plugins-dir", fakes, "predict", "fake", "beats.csv")
    assert done.code == 0, done.err
    answers = {row["class"] for row in csv.DictReader(io.StringIO(done.out))}
    assert answers <= {"'=1+1", "'@SUM(A1)", "-1", "'+cmd|' /C calc'!A0", "a;'=1"}
    assert len(answers) >= 3


# -- Markdown

READER = MarkdownIt("gfm-like", {"linkify": False})
LINKED = re.compile(r"(?:https?://|www\.)\w")  # what GitHub makes a link of, unless it is escaped


def read_markdown(text: str) -> list[Token]:
    """All tokens, those inside of others too. Asserts that there is no HTML, link or picture."""
    found = list(flattened(READER.parse(text)))
    assert not {token.type for token in found} & {"html_inline", "html_block", "link_open", "image", "s_open", "fence"}
    return found


def flattened(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flattened(token.children or [])


def shown_in(token: Token) -> str:
    """The text of an inline token as its reader sees it."""
    return "".join(child.content for child in token.children or [])


def test_markdown_of_a_report_says_what_it_was_told_and_nothing_else(harmed: Report) -> None:
    text = render(harmed, "md")
    tokens = read_markdown(text)
    rows = [i for i, token in enumerate(tokens) if token.type == "tr_open" and tokens[i + 1].type == "td_open"]
    cells = [meant(shown_in(tokens[i + 2])) for i in rows]  # the first of each
    assert [cell for cell in cells if re.search(r"#\d+$", cell)] == [text.strip(" ") for text in named()]
    heads = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert [head for head in heads if not re.fullmatch(r"[\w ,]+", head)] == []


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_a_name_is_read_letter_by_letter(text: str) -> None:
    for before, after in (("", ""), ("", " z"), ("a ", " z"), ("a ", "")):
        for source in (f"- {before}{escape.markdown(text)}{after}", f"# {before}{escape.markdown(text)}{after}"):
            told = "".join(meant(shown_in(token)) for token in READER.parse(source) if token.type == "inline")
            assert told == f"{before}{text}{after}".strip(" ")
        read_markdown(source)
    assert not LINKED.search(escape.markdown(text))
    [code] = [token for token in read_markdown(f"x {escape.markdown_code(text)} x") if token.type == "code_inline"]
    assert meant(code.content).strip(" ") == text.strip(" ")


# -- HTML


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.of: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        self.of.get(self.tags[-1][0] if self.tags else "", self.texts).append(data)


def test_the_page_has_no_tag_of_others_and_says_all_names(harmed: Report, told: Report) -> None:
    page, plain = Page(render(harmed, "html")), Page(render(told, "html"))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert [tag for tag, _ in page.tags].count("script") == 1
    attributes = {name for _, told in page.tags for name in told}
    assert not {name for name in attributes if name.startswith("on") or name in ("style", "src", "srcdoc", "action")}
    links = {told["href"] or "" for _, told in page.tags if "href" in told}
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    texts = {meant(text) for text in page.texts}
    assert set(named()) <= texts


def test_the_table_of_a_notebook_has_no_tag_of_others_and_says_all_names(harmed: Report, tmp_path: Path) -> None:
    run = Run(MatrixRequest(), replace(harmed, folder=tmp_path / "<b onload=alert(1)>"), 0)
    page = Page(run._repr_html_())
    ours = {"p", "br", "table", "thead", "tbody", "tr", "th", "td", "b", "ul", "li"}
    assert {tag for tag, _ in page.tags} <= ours | {f"/{tag}" for tag in ours}
    assert not [told for _, told in page.tags if told], "nothing has an attribute"
    assert set(named()) <= {meant(text) for text in page.texts}
    assert unseen(run._repr_html_(), "\n\t") == []


def test_the_policy_permits_what_the_page_has_and_nothing_else(harmed: Report) -> None:
    page = Page(render(harmed, "html"))
    [policy] = [told["content"] for tag, told in page.tags if told.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    for what in ("script", "style"):
        digest = hashlib.sha256("".join(page.of[what]).encode()).digest()
        assert allowed[f"{what}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == "'none'"
    assert "unsafe" not in policy and "http" not in policy
    tags = [tag for tag, _ in page.tags]
    assert [told for _, told in page.tags[: tags.index("style")] if told.get("http-equiv")]  # before what it rules


# -- JUnit


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_junit_is_xml_that_others_read(text: str) -> None:
    root = ET.Element("testcase", name=escape.xml(text))
    root.text = escape.xml(text)
    back = ET.fromstring(ET.tostring(root, encoding="utf-8"))
    assert meant(back.attrib["name"]) == text
    assert meant(back.text or "") == text


# -- bundles: C, the model card, the README, names


def bundled() -> dict[str, bytes]:
    """A bundle whose labels, names and file are nasty."""
    x = TensorSpec("\n".join(NASTY), (1, 140, 1), "float32", "NLC")
    y = TensorSpec("*/\n#error out\n/*", (1, len(NASTY)), "float32", "NC")
    task = Classification(tuple(NASTY))
    model = Artifact(Path("m"), "tflite", "fp32", task, x, y, " ".join(NASTY), "0" * 64, passes=tuple(NASTY))
    beats = synthetic_beats(20, 140)
    vectors = Vectors.of(model, beats, np.zeros((20, len(NASTY)), np.float32), "beats of " + "".join(NASTY))
    facts = Facts("".join(NASTY), "".join(NASTY), told=NASTY, bundled={"on": "".join(NASTY)})
    return bundle.contents(model, {f"model.{model.format}": b"model"}, vectors, facts)


MAIN = """
#include <stdio.h>
#include <string.h>
#include "model.h"
#include "vectors/vectors.h"
static const char *const labels[] = %(prefix)s_LABELS;
int main(void) {
  for (int i = 0; i < %(prefix)s_CLASSES; i++) fwrite(labels[i], 1, strlen(labels[i]) + 1, stdout);
  return (int)sizeof %(inputs)s * 0 + (int)sizeof %(outputs)s * 0;
}
"""


def test_labels_in_c_are_the_labels(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler here")
    bundle.place(bundled(), "net", tmp_path / "net")
    header = (tmp_path / "net" / "model.h").read_text(encoding="ascii")
    (tmp_path / "net" / "vectors" / "vectors.h").read_text(encoding="ascii")
    prefix = re.findall(r"#define (\w+)_CLASSES", header)[0]
    names = {"prefix": prefix, "inputs": f"{prefix.lower()}_inputs", "outputs": f"{prefix.lower()}_outputs"}
    (tmp_path / "net" / "main.c").write_text(MAIN % names)
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-trigraphs"]
    subprocess.run([compiler, *strict, "main.c", "model.c", "-o", "main"], cwd=tmp_path / "net", check=True)
    told = subprocess.run(["./main"], cwd=tmp_path / "net", check=True, capture_output=True).stdout
    labels = [label.decode() for label in told.split(b"\0")[:-1]]
    assert [meant(label) for label in labels] == list(NASTY)
    for label, text in zip(labels, NASTY):  # what C can hold is as it was
        assert label == text or "\0" in text or re.search("[\ud800-\udfff]", text)


def test_card_and_readme_of_a_bundle_say_what_they_were_told_and_nothing_else() -> None:
    files = bundled()
    for name, content in files.items():
        if name.endswith((".md", ".json", ".h", ".c", ".csv", "SUMS")):
            assert unseen(content.decode()) == [], name
    tokens = read_markdown(files["MODEL_CARD.md"].decode())
    items = [meant(shown_in(token)).strip() for token in tokens if token.type == "inline"]
    assert {text.strip() for text in NASTY} <= {*items, ""}


def test_the_name_of_a_bundle_and_the_names_in_it_are_plain(tmp_path: Path) -> None:
    for text in NASTY:
        name = escape.file_name(text)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name) and not name.endswith("."), (text, name)
        (tmp_path / name).touch()
    bundle.place(bundled(), escape.file_name(NASTY[0]), tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)+", name, re.ASCII) for name in archive.namelist())
