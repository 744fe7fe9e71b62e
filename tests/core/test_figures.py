"""Figures that runtimes declare: required, ranked by, in every table, in CSV; and what is none is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ecgedge import Figure
from ecgedge.plugins import check_part
from ecgedge.run.metrics import metric_of
from ecgedge.testing import FakeRuntime
from tests.conftest import Command, error_of, rows_of

ARENA = Figure("arena_bytes", "B", help="what the interpreter needs beside the file", exact=True)

TOY = """
from ecgedge import Figure, hookimpl
from ecgedge.testing import FakeRuntime


class Toy(FakeRuntime):
    figures = (
        Figure("arena_bytes", "B", help="what the interpreter needs beside the file", exact=True),
        Figure("fill", "%", better="higher"),
        Figure("cycles", "cycles", help="of the board's core"),
    )

    def load(self, artifact, threads):
        session = super().load(artifact, threads)
        whole = artifact.precision == "fp32"
        told = dict(arena_bytes=15936 if whole else 20480, fill=40 if whole else 70.5, cycles=61_000, fits="all boards")
        session.figures = lambda: told
        return session


@hookimpl
def ecgedge_runtimes():
    return [Toy("toy")]
"""


@pytest.fixture
def plugins(fakes: Path) -> Path:
    (fakes / "toy.py").write_text(TOY)
    return fakes


@pytest.fixture
def asked(plugins: Path) -> tuple:
    return ("--plugins-dir", plugins, "matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick",
            "--format", "fake", "--out", "run")  # fmt: skip


def test_they_are_in_rows_tables_and_files(ecgedge: Command, asked: tuple, tmp_path: Path) -> None:
    done = ecgedge(*asked, "--runtime", "toy")
    assert done.code == 0, done.err
    whole, _ = rows_of(tmp_path / "run")
    assert whole["figures"] == {"arena_bytes": 15936, "fill": 40, "cycles": 61000, "fits": "all boards"}
    assert [each["name"] for each in whole["figures_declared"]] == ["arena_bytes", "fill", "cycles"]
    lines = [line.split() for line in done.out.splitlines()]
    head, line = (next(words for words in lines if name in words) for name in ("arena_bytes", "fp32"))
    for name in ("arena_bytes", "fill", "cycles"):
        assert name in head
    assert line[head.index("arena_bytes") - len(head)] == "15936"
    assert "arena_bytes: what the interpreter needs beside the file, in B" in done.out
    [first, _] = csv.DictReader((tmp_path / "run" / "report.csv").read_text().splitlines())
    assert (first["figures.arena_bytes"], first["figures.fits"]) == ("15936", "all boards")
    assert "| arena_bytes |" in (tmp_path / "run" / "report.md").read_text().replace("  ", "")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "what the interpreter needs beside the file" in page and "20,480" in page
    assert ecgedge("check", "run").code == 0


def test_they_are_required_and_ranked_by(ecgedge: Command, asked: tuple, tmp_path: Path) -> None:
    done = ecgedge(*asked, "--runtime", "toy", "--require", "fill>=50%")
    assert done.code == 0, done.err
    whole, small = (row["id"] for row in rows_of(tmp_path / "run"))

    def winner(*wanted: str) -> str | None:
        told = ecgedge("choose", "run", "--output", "json", *wanted).out  # without the plugin
        [choice] = json.loads(told)["choices"]
        return choice["winner"] and choice["winner"]["id"]

    assert winner("--optimize", "arena_bytes") == whole and winner("--optimize", "fill") == small
    assert winner("--optimize", "size", "--require", "arena_bytes<=15.9KiB") == whole
    assert winner("--optimize", "latency_p50", "--require", "fill>0.5") == small
    assert winner("--optimize", "size", "--require", "cycles<=60000cycles") is None
    told = error_of(ecgedge("choose", "run", "--require", "arena_bytes<=2ms"))
    assert "unknown unit 'ms'" in told and "units of arena_bytes: B, KB, KiB" in told
    told = error_of(ecgedge("choose", "run", "--optimize", "arena"))
    assert "unknown metric 'arena'" in told and "arena_bytes" in told


def test_the_command_lists_them(ecgedge: Command, plugins: Path) -> None:
    told = ecgedge("--plugins-dir", plugins, "plugins", "show", "toy").out
    assert "figure arena_bytes in B, lower is better: what the interpreter needs beside the file" in told
    assert "figure fill in %, higher is better" in told


def test_one_that_no_planned_runtime_tells_is_refused_before_anything_is_measured(
    ecgedge: Command, asked: tuple, tmp_path: Path
) -> None:
    told = error_of(ecgedge(*asked, "--runtime", "fake-runtime", "--optimize", "arena_bytes"))
    assert "unknown metric 'arena_bytes'" in told and not (tmp_path / "run").exists()


def test_two_runtimes_that_mean_different_things_are_told(ecgedge: Command, asked: tuple, plugins: Path) -> None:
    (plugins / "other.py").write_text(TOY.replace('"toy"', '"other"').replace('"fill", "%"', '"fill", ""'))
    told = error_of(ecgedge(*asked))
    assert "two plugins declare the figure 'fill' differently" in told


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (ARENA, "must be a tuple of ecgedge.Figure"),
        ((replace(ARENA, name="Arena"),), "'Arena' must be a name of small letters"),
        ((ARENA, ARENA), "arena_bytes is there twice"),
        ((replace(ARENA, unit="a b"),), "has the unit 'a b', which is no word"),
        ((replace(ARENA, better="less"),), "better is 'less' of arena_bytes, and must be lower or higher"),
        ((replace(ARENA, help="\x1b[31m"),), "must be one line"),
    ],
)
def test_a_declaration_that_is_none_is_refused(declared: object, why: str) -> None:
    class Bad(FakeRuntime):
        figures = declared  # type: ignore[assignment]

    with pytest.raises(TypeError, match=why):
        check_part(Bad())


@pytest.mark.parametrize(
    ("figure", "value", "kind", "text"),
    [
        (ARENA, 15936, "bytes", "15.9 kB"),
        (Figure("arena", "KiB"), 2, "bytes", "2.0 kB"),
        (Figure("wait", "ms"), 3, "time", "3.00 ms"),
        (Figure("spent", "mJ"), 2.5, "energy", "2.50 mJ"),
        (Figure("fill", "%"), 70, "share", "0.7000"),
        (Figure("cycles", "cycles"), 61_000, "number", "61,000 cycles"),
        (Figure("depth"), 3, "number", "3.0000"),
    ],
)
def test_units_are_those_of_the_metrics(figure: Figure, value: float, kind: str, text: str) -> None:
    metric = metric_of(figure)
    assert metric.kind == kind
    assert metric.show(value * figure.scale) == text
