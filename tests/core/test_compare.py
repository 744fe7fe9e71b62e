"""``ecgedge compare``: the same run is the same, what was made worse is found, and the exit code says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

from ecgedge.api.artifact import Anomaly
from ecgedge.cli import main
from ecgedge.compare import METRICS, compare_runs, read_run, read_tolerances
from ecgedge.compare.figures import Verdict
from ecgedge.compare.pairs import Comparison
from ecgedge.data.dataset import Dataset
from ecgedge.errors import EcgEdgeError
from ecgedge.evaluate.intervals import apart, wilson
from ecgedge.files.escape import style
from ecgedge.report.comparison import coloured
from ecgedge.testing import write_fake_checkpoint
from tests.conftest import FAKES, Result, error_of, run_command
from tests.core.test_resume import SPINNING

TORCH, WHOLE, INT8 = "fake.none.spin", "fake.fake-exporter.none.spin", "fake.fake-exporter.fake-int8.spin"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Path:
    """Two runs of the same cells on fakes, ``one`` and ``two``, measured one after the other."""
    folder = tmp_path_factory.mktemp("two")
    checkpoint = write_fake_checkpoint(folder / "checkpoint", beats)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    (folder / "plugins" / "spin.py").write_text(SPINNING)
    asked = ("--model", "fake", "--dataset", "synthetic", "--profile", "quick", "--runtime", "spin", "--out")
    for name in ("one", "two"):
        done = run_command("--plugins-dir", "plugins", "matrix", *asked, name, folder=folder)
        assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def one(two: Path) -> Path:
    """The first, as on a quiet machine: a call takes 200 us, give or take 1%, the reference kernel 33, none waits."""
    folder, rng = Path(shutil.copytree(two / "one", two / "quiet")), np.random.default_rng(0)
    for file in folder.glob("samples/*.i64"):
        rng.normal(200_000, 2_000, np.fromfile(file, dtype="<i8").shape).astype("<i8").tofile(file)
    journal = folder / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    for record in records:
        if record["event"] == "block":
            record["reference_ns"] = [33_000, 33_000]
            record |= {key: 0 for key in ("steal", "waited") if key in record}
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture
def run(one: Path, tmp_path: Path) -> Path:
    """A copy of it to be made worse."""
    return Path(shutil.copytree(one, tmp_path / "run"))


def compare(*arguments: str | Path) -> Result:
    """The command, in this process: it starts none."""
    done = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Result(done.exit_code, done.stdout, done.stderr)


def compared(a: Path, b: Path, *tolerances: str, **more: bool) -> Comparison:
    return compare_runs(read_run(a), read_run(b), read_tolerances(tolerances), **more)


def on(comparison: Comparison, cell: str, metric: str) -> Verdict:
    [pair] = [pair for pair in comparison.pairs if pair.id == cell]
    [verdict] = [verdict for verdict in pair.verdicts if verdict.metric == metric]
    return verdict


def regressed(comparison: Comparison) -> list[tuple[str, str]]:
    return [(pair.id, verdict.metric) for pair, verdict in comparison.regressions]


# -- what can be made worse in a run's folder


def edit_rows(run: Path, change: Callable[[dict[str, Any]], bool]) -> None:
    """Change rows; those for which ``change`` says no are left out."""
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows if change(row)))


def edit_row(run: Path, cell: str, **fields: Any) -> None:
    edit_rows(run, lambda row: row["id"] != cell or not row.update(fields))


def edit_run(run: Path, **fields: Any) -> None:
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | fields))


def slow_down(run: Path, cell: str, times: float) -> None:
    for file in run.glob(f"samples/{cell}.*"):  # where it was timed twice, both
        (np.fromfile(file, dtype="<i8") * times).astype("<i8").tofile(file)


def answer_wrongly(run: Path, cell: str, count: int) -> None:
    """Have a cell decide the first so many beats that it got right otherwise."""
    file = run / "cells" / f"{cell}.outputs.npy"
    outputs, y = np.load(file), np.load(run / "beats.npz")["y"]
    for i in np.flatnonzero(outputs.argmax(axis=1) == y)[:count]:
        outputs[i] = np.roll(outputs[i], 1)
    np.save(file, outputs)


# -- the same


def test_a_run_is_the_same_as_itself(one: Path) -> None:
    result = compare(one, one)
    assert (result.code, result.err) == (0, "")
    assert "differs" not in result.out
    assert "3 cells: 3 same\nno regressions beyond tolerance" in result.out
    assert "paired, on the 500 beats" in result.out
    assert max(map(len, result.out.splitlines()[4:])) <= 120


def test_two_runs_of_the_same_cells_are_the_same(two: Path) -> None:
    result = compare(two / "one", two / "two", "--tolerance", "latency=100%")  # a test machine may be busy
    assert result.code == 0, result.out
    assert "differs: command: ecgedge --plugins-dir plugins matrix" in result.out
    found = compared(two / "one", two / "two")
    assert {v.result for pair in found.pairs for v in pair.verdicts if v.metric != "latency"} == {"same"}
    assert {pair.changed_decisions for pair in found.pairs} == {0}


# -- worse


def test_a_slower_cell_is_found_beyond_the_tolerance(one: Path, run: Path) -> None:
    slow_down(run, INT8, 1.2)
    result = compare(one, run)
    assert result.code == 1
    assert f"regression: {INT8}: 20.0% slower" in result.out
    assert "tolerance 5%" in result.out
    assert regressed(compared(one, run)) == [(INT8, "latency")]
    for allowed in ("latency=25%", "latency=25", "Latency-p50 = 25%"):
        found = compared(one, run, allowed)
        assert not found.regressions
        assert on(found, INT8, "latency").result == "worse"
    tolerated = compare(one, run, "--tolerance", "accuracy=1,latency=25%")
    assert tolerated.code == 0
    assert f"tolerated: {INT8}: 20.0% slower" in tolerated.out
    assert regressed(compared(one, run, "latency=0.25")) == [(INT8, "latency")], "a quarter of a percent"
    assert on(compared(run, one), INT8, "latency").result == "better"


def test_what_noise_may_do_is_the_same(one: Path, run: Path) -> None:
    slow_down(run, INT8, 1.2)
    [twin] = run.glob("samples/*.twin.i64")
    slow_down(run, twin.stem, 1.5)  # in that run a file timed twice was 50% apart
    found = on(compared(one, run), INT8, "latency")
    assert (found.result, found.regression) == ("same", False)
    assert found.floor == pytest.approx(50, abs=5)
    twin.unlink()
    text = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text("".join(line for line in text if ".twin" not in line))
    found = on(compared(one, run), INT8, "latency")
    assert (found.result, found.regression) == ("cannot tell", False)
    assert "noise floor of B unknown" in found.text


def test_worse_answers_are_found_and_counted(one: Path, run: Path) -> None:
    answer_wrongly(run, WHOLE, 10)
    found = compared(one, run)
    assert (WHOLE, "accuracy") in regressed(found)
    [pair] = [pair for pair in found.pairs if pair.id == WHOLE]
    assert pair.changed_decisions == 10
    assert on(found, WHOLE, "accuracy").change == pytest.approx(-2.0)
    assert {cell for cell, _ in regressed(found)} == {WHOLE}
    assert not regressed(compared(one, run, "accuracy=2.1", "class_recall=100"))
    assert on(compared(run, one), WHOLE, "accuracy").result == "better"
    answer_wrongly(run, TORCH, 3)  # 3 of 500: p = 0.25
    assert on(compared(one, run), TORCH, "accuracy").result == "same"


def test_a_class_that_is_never_decided_any_more(one: Path, run: Path) -> None:
    outputs = np.load(run / "cells" / f"{WHOLE}.outputs.npy")
    outputs[:, 1] = -10
    np.save(run / "cells" / f"{WHOLE}.outputs.npy", outputs)
    found = on(compared(one, run, "class_recall=100", "accuracy=100"), WHOLE, "class_recall")
    assert found.regression, found.text
    assert "is never decided" in found.text


def test_size_is_exact(one: Path, run: Path) -> None:
    size = read_run(run).rows[0].size_bytes
    edit_row(run, TORCH, size_bytes=size + 1)
    found = on(compared(one, run), TORCH, "size")
    assert (found.result, found.regression) == ("worse", False)
    assert on(compared(one, run, "size=0"), TORCH, "size").regression
    edit_row(run, TORCH, size_bytes=2 * size)
    assert regressed(compared(one, run)) == [(TORCH, "size")]
    assert on(compared(run, one), TORCH, "size").result == "better"


def test_a_cell_that_does_not_work_any_more(one: Path, run: Path) -> None:
    edit_row(run, INT8, status="rejected", reason="class collapse")
    result = compare(one, run)
    assert result.code == 1
    assert f"regression: {INT8}: ok in A, rejected in B: class collapse" in result.out
    assert on(compared(run, one), INT8, "status").result == "better"
    assert not compared(run, run).regressions, "it did not work before"


def test_a_missing_cell(one: Path, run: Path, tmp_path: Path) -> None:
    edit_rows(run, lambda row: row["id"] != INT8)
    result = compare(one, run, "--junit", tmp_path / "out.xml")
    assert result.code == 1
    assert f"regression: {INT8}: not in B: the run is not finished" in result.out
    allowed = compare(one, run, "--allow-missing")
    assert allowed.code == 0
    assert f"cannot tell: {INT8}: not in B" in allowed.out
    other_way = compare(run, one)
    assert other_way.code == 0
    assert f"only in B: {INT8} (ok)" in other_way.out
    skip = {"id": "fake.spin", "model": "fake", "task": "classification", "format": "fake", "precision": None}
    skip |= {"runtime": "spin", "status": "skipped", "reason": "no such device"}
    with (run / "rows.jsonl").open("a") as file:
        file.write(json.dumps(skip) + "\n")
    assert "not in B: skipped: no such device" in compare(one, run).out


# -- not the same circumstances


def test_other_data_is_not_paired(one: Path, run: Path) -> None:
    edit_run(run, data_digest="f" * 64)
    answer_wrongly(run, WHOLE, 10)
    found = compared(one, run)
    assert not found.beats.paired
    assert on(found, WHOLE, "accuracy").result == "same", "10 of 500 is within chance where nothing is paired"
    assert on(found, WHOLE, "class_recall").result == "cannot tell"
    answer_wrongly(run, WHOLE, 100)
    assert (WHOLE, "accuracy") in regressed(compared(one, run))
    result = compare(one, run)
    assert "quality: not paired: the two runs scored other data" in result.out
    assert "differs: data digest: " in result.out


def test_only_common_beats_are_paired(one: Path, run: Path) -> None:
    beats = dict(np.load(run / "beats.npz"))
    kept = np.arange(100, 500)
    beats |= {key: beats[key][kept] for key in ("x", "y", "index")}
    np.savez(run / "beats.npz", **beats)
    for file in run.glob("cells/*.outputs.npy"):
        np.save(file, np.load(file)[kept])
    found = compared(one, run)
    assert "on the 400 beats that both runs scored" in found.beats.why
    assert {pair.changed_decisions for pair in found.pairs} == {0}


def test_machine_libraries_passes_and_models_that_differ_are_told(one: Path, run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    edit_run(run, machine=about["machine"] | {"cpu": "Z80"}, versions=about["versions"] | {"numpy": "0.1"},
             sources={"fake": "0" * 64}, profile="full")  # fmt: skip
    edit_row(run, INT8, passes=["fold_norms"])
    told = compare(one, run).out
    assert "differs: machine: cpu: " in told and ", Z80 in B" in told.replace(" in A", "")
    assert f"differs: library numpy: {np.__version__} in A, 0.1 in B" in told
    assert "differs: model fake: " in told and "000000000000 in B" in told
    assert "differs: profile: quick in A, full in B" in told
    assert f"differs: passes of {INT8}: none in A, fold_norms in B" in told


def test_an_anomaly_detector_by_auroc_and_threshold(one: Path, run: Path, tmp_path: Path) -> None:
    """Reconstructions in the place of class scores: of normal beats good, of others bad."""
    labels = tuple(json.loads((run / "run.json").read_text())["labels"])
    task = Anomaly(0.05, 0.99, labels[0], labels)
    beats, rng = np.load(run / "beats.npz"), np.random.default_rng(0)
    x, y = beats["x"].reshape(500, -1), beats["y"]
    loss = np.where(y == 0, 0.1, 0.4) * rng.uniform(0.5, 1.5, len(y))
    for cell in (TORCH, WHOLE, INT8):
        np.save(run / "cells" / f"{cell}.outputs.npy", (x + loss[:, None]).astype("f4"))
        edit_row(run, cell, task="anomaly", auroc=0.9, auroc_low=0.8, auroc_high=0.95, f1=0.9, threshold=0.05)
    records = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    for record in records:
        if record.get("artifact"):
            record["artifact"]["record"]["task"] = {
                "kind": "anomaly", "threshold": task.threshold, "quantile": task.quantile, "normal": task.normal,
                "labels": list(labels),
            }  # fmt: skip
    (run / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert {pair.result for pair in compared(run, run).pairs} == {"same"}
    worse = Path(shutil.copytree(run, tmp_path / "worse"))
    np.save(worse / "cells" / f"{WHOLE}.outputs.npy", (x + rng.permutation(loss)[:, None]).astype("f4"))
    np.save(worse / "cells" / f"{INT8}.outputs.npy", (x + 3 * loss[:, None]).astype("f4"))
    found = regressed(compared(run, worse))
    assert (WHOLE, "auroc") in found
    assert (INT8, "auroc") not in found and (INT8, "accuracy") in found, "same order, but the threshold is off"


# -- output and input


def test_json_and_markdown(one: Path, run: Path) -> None:
    slow_down(run, INT8, 1.2)
    result = compare(one, run, "--output", "json")
    assert result.code == 1
    data = json.loads(result.out)
    assert data["regressions"] == 1
    [cell] = [cell for cell in data["cells"] if cell["id"] == INT8]
    [latency] = [verdict for verdict in cell["verdicts"] if verdict["metric"] == "latency"]
    assert latency["change"] == pytest.approx(20, abs=1) and latency["regression"] is True
    page = compare(one, run, "--output", "md").out
    assert page.startswith("# ecgedge compare\n") and "\n| fake " in page


def test_junit(one: Path, run: Path, tmp_path: Path) -> None:
    slow_down(run, INT8, 1.2)
    edit_row(run, WHOLE, status="failed", reason="a \x00 bad <byte>\nand more")
    edit_run(run, data_digest="f" * 64)
    assert compare(one, run, "--junit", tmp_path / "out.xml").code == 1
    root = ET.parse(tmp_path / "out.xml").getroot()
    [suite] = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    assert [child.tag for child in suite if child.tag != "testcase"] == ["properties", "system-out", "system-err"]
    cases = suite.findall("testcase")
    counts = {"tests": cases, "failures": suite.findall(".//failure"), "skipped": suite.findall(".//skipped")}
    assert {name: int(suite.attrib[name]) for name in counts} == {name: len(found) for name, found in counts.items()}
    assert {"name", "timestamp", "hostname", "errors", "time", "package", "id"} <= suite.attrib.keys()
    assert all({"name", "classname", "time"} == case.attrib.keys() and len(case) <= 1 for case in cases)
    failed = {(case.get("classname"), case.get("name")): case[0] for case in cases if case.find("failure") is not None}
    assert set(failed) == {(INT8, "latency"), (WHOLE, "status")}
    assert failed[INT8, "latency"].get("message", "").startswith("20.0% slower")
    assert failed[WHOLE, "status"].get("message") == "ok in A, failed in B: a \\u0000 bad <byte>"
    assert {case.get("name") for case in cases if case.find("skipped") is not None} == {"class_recall"}


def test_the_users_mistakes(one: Path, run: Path, tmp_path: Path) -> None:
    assert "nowhere holds no run" in error_of(compare(one, "nowhere"))
    told = error_of(compare(one, one, "--tolerance", "speed=1"))
    assert "no metric 'speed'" in told and ", ".join(METRICS) in told
    for bad in ("latency=fast", "latency=-1", "latency", "latency=nan", "auroc=1%"):
        assert "not a tolerance of" in error_of(compare(one, one, "--tolerance", bad))
    assert "is a folder, and no file can be written" in error_of(compare(one, one, "--junit", tmp_path))
    other = Path(shutil.copytree(run, tmp_path / "other"))
    for cell in (TORCH, WHOLE, INT8):
        edit_row(other, cell, threads=2)
    edit_run(other, threads=2)
    told = error_of(compare(run, other))
    assert "have no cell in common" in told and "threads: 1 in A, 2 in B" in told
    (run / "cells" / f"{INT8}.outputs.npy").unlink()
    told = error_of(compare(one, run))
    assert "run cannot be read: " in told and "ecgedge check" in told
    about = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({"rounds": about["rounds"]}))
    assert "run.json cannot be used: the number of its format (schema) is not told" in error_of(compare(one, other))
    del about["profile"]
    (other / "run.json").write_text(json.dumps(about))
    assert "run.json cannot be used: profile is missing" in error_of(compare(one, other))
    (run / "beats.npz").write_bytes(b"?")
    assert "cannot be read" in error_of(compare(one, run))
    (run / "rows.jsonl").unlink()
    assert "--resume" in error_of(compare(one, run))


def test_tolerances_have_the_units_of_their_metrics() -> None:
    assert read_tolerances([]) == {name: metric.tolerance for name, metric in METRICS.items()}
    found = read_tolerances(["latency=10%,accuracy=0.2", "auroc=0.002", "size=3"])
    of_labels = {"macro_auroc": 0.0, "exact_match": 0.0}
    assert found == {"accuracy": 0.2, "class_recall": 0.0, "auroc": 0.002, "latency": 10.0, "size": 3.0, **of_labels}
    with pytest.raises(EcgEdgeError, match="no metric"):
        read_tolerances(["5%"])


def test_the_difference_of_two_shares_is_newcombes() -> None:
    """Example (a) of his table II, method 10: 56/70 less 48/80."""
    difference, low, high = apart(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    assert (round(difference, 4), round(low, 4), round(high, 4)) == (0.2, 0.0524, 0.3339)


def test_a_time_that_is_unsteady_has_no_verdict(run: Path, one: Path) -> None:
    """Ten times as slow, and the reference kernel says that the machine was another in half of the rounds."""
    for file in run.glob("samples/*.i64"):
        (np.fromfile(file, dtype="<i8") * 10).tofile(file)
    journal = run / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    rounds = 1 + max(record["round"] for record in records if record["event"] == "block")
    for record in records:
        if record["event"] == "block":
            record |= {"reference_ns": [60_000, 60_000]} if record["round"] >= 3 else {}
            record |= {"steal": 0.0, "waited": 0.0}  # whatever else ran beside this test
    assert on(compared(one, run), INT8, "latency").result == "worse", "the file is not written yet"
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    for a, b, where in ((one, run, "B"), (run, one, "A")):
        found = on(compared(a, b), INT8, "latency")
        assert (found.result, found.regression) == ("cannot tell", False)
        assert f"unsteady in {where} (3 of {rounds} blocks in the machine's usual quick state)" in found.text
    assert f"cannot tell: {INT8}: " in compare(one, run).out
    assert coloured("regression: a: slower") == f"{style('regression', 'red')}: a: slower"
    assert coloured("better: \x1b[2J: b") == "better: \\u001b[2J: b"


def test_a_machine_that_was_another_one_all_the_time_is_told(run: Path, one: Path) -> None:
    """Each run is steady on its own; the kernel took 33 us in the one and 50 in the other."""
    journal = run / "journal.jsonl"
    journal.write_text(journal.read_text().replace("[33000, 33000]", "[50000, 50000]"))
    [line] = [line for line in compared(one, run).differences if "reference kernel" in line]
    assert line.startswith("machine: the reference kernel took 33 us in A, 50 us in B (+52%)")
    assert f"differs: {line}" in compare(one, run).out
    assert not [line for line in compared(run, run).differences if "reference kernel" in line]


# -- figures that runtimes declare

SPENT = {"name": "joules", "unit": "mJ", "better": "lower", "help": "of one beat, by its own meter", "exact": False}
ARENA = {"name": "arena", "unit": "B", "better": "lower", "help": "", "exact": True}
FILL = {"name": "fill", "unit": "%", "better": "higher", "help": "of its cores", "exact": False}


def tell(run: Path, declared: list[dict[str, Any]] | None = None, **figures: Any) -> Path:
    """Have each cell of a run tell figures, of which some are declared."""
    more = {"figures": figures, "figures_declared": [SPENT, ARENA, FILL] if declared is None else declared}
    more |= {"noise_floor": 0.01}
    edit_rows(run, lambda row: not row.update(more))
    return run


@pytest.fixture
def told(one: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs that differ in nothing but what will be told of their figures."""
    return Path(shutil.copytree(one, tmp_path / "a")), Path(shutil.copytree(one, tmp_path / "b"))


@pytest.mark.parametrize(
    ("name", "was", "now", "result", "change", "regression"),
    [
        ("joules", 12.0, 12.0, "same", 0, False),
        ("joules", 12.0, 15.0, "worse", 25, True),
        ("joules", 12.0, 9.0, "better", -25, False),
        ("joules", 12.0, 12.1, "same", 100 / 120, False),  # within the noise
        ("arena", 1000, 1001, "worse", 0.1, True),  # exact: it has none
        ("arena", 1000, 999, "better", -0.1, False),
        ("arena", 0, 5, "worse", None, True),
        ("fill", 70.0, 80.0, "better", 10, False),
        ("fill", 70.0, 69.5, "worse", -0.5, False),  # tolerated
        ("fill", 70.0, 60, "worse", -10, True),
    ],
)
def test_a_declared_figure_is_better_or_worse_by_its_direction(
    told: tuple[Path, Path], name: str, was: float, now: float, result: str, change: float | None, regression: bool
) -> None:
    a, b = tell(told[0], **{name: was}), tell(told[1], **{name: now})
    found = on(compared(a, b), INT8, name)
    assert (found.result, found.regression) == (result, regression)
    assert found.change == (None if change is None else pytest.approx(change))
    assert compare(a, b).code == int(regression)


def test_a_declared_figure_has_a_column_and_a_tolerance(told: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = tell(told[0], joules=10.0, note="as told"), tell(told[1], joules=12.0, note="otherwise")
    line = f"regression: {INT8}: joules 10 -> 12 mJ (+20%): by the figures alone: no interval is known"
    shown = compare(a, b, "--junit", tmp_path / "junit.xml")
    words = [text.split() for text in shown.out.splitlines()]
    [head] = [each for each in words if "joules" in each and "floor" in each]
    [row] = [each for each in words if each[:3] == ["fake", "fake", "full-int8"]]
    assert shown.code == 1 and row[-3:] == ["+20", "worse", "worse"] and head[-2:] == ["joules", "verdict"]
    assert "joules: in %, lower is better: of one beat, by its own meter" in shown.out
    assert f"{line}; tolerance 5%" in shown.out.splitlines()
    assert "joules 5%" in shown.out.splitlines()[-1] and "arena" not in shown.out.partition("verdict")[0]
    page = [[cell.strip() for cell in text.split("|")] for text in compare(a, b, "--output", "md").out.splitlines()]
    assert any("joules" in cells and "verdict" in cells for cells in page)
    assert any(cells[-3:] == ["+20 worse", "worse", ""] for cells in page)
    record = json.loads(compare(a, b, "--output", "json").out)
    assert record["tolerances"]["joules"] == 5 and record["regressions"] == 3
    verdicts = [each for cell in record["cells"] for each in cell["verdicts"] if each["metric"] == "joules"]
    assert [(each["result"], round(each["change"], 6)) for each in verdicts] == [("worse", 20)] * 3
    cases = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    assert [case.find("failure") is not None for case in cases if case.get("name") == "joules"] == [True] * 3
    allowed = compare(a, b, "--tolerance", "joules=25%")
    assert allowed.code == 0 and f"tolerated: {INT8}: joules 10 -> 12 mJ" in allowed.out
    assert "--tolerance volts=1: no metric 'volts'" in error_of(compare(a, b, "--tolerance", "volts=1"))


@pytest.mark.parametrize(
    ("changed", "meant"),
    [
        ({"unit": "J"}, "in mJ, lower is better in A, in J, lower is better in B"),
        ({"better": "higher"}, "in mJ, lower is better in A, in mJ, higher is better in B"),
    ],
)
def test_a_figure_that_is_declared_otherwise_is_not_compared(
    told: tuple[Path, Path], changed: dict[str, str], meant: str
) -> None:
    a, b = tell(told[0], joules=10.0), tell(told[1], [SPENT | changed], joules=1000.0)
    found = on(compared(a, b), INT8, "joules")
    assert (found.result, found.change, found.regression) == ("cannot tell", None, False)
    assert found.text == f"joules is declared otherwise, so not compared: {meant}"
    done = compare(a, b)
    assert done.code == 0 and f"cannot tell: {INT8}: {found.text}" in done.out
    words = on(compared(a, tell(b, [SPENT | {"help": "in other words"}], joules=10.0)), INT8, "joules")
    assert words.result == "same"


def test_a_figure_of_one_run_alone_is_told_and_decides_nothing(told: tuple[Path, Path]) -> None:
    a, b = tell(told[0], joules=10.0, arena=5), tell(told[1], [ARENA], arena="unknown")
    done = compare(a, b)
    assert done.code == 0 and done.out.count("differs: figure joules of spin: told in A alone") == 1
    assert on(compared(a, b), INT8, "arena").text == "arena is not told as a number in B"


def test_a_figure_that_is_called_as_one_of_ours_leaves_ours_alone(told: tuple[Path, Path]) -> None:
    for name in ("latency", "size", "accuracy", "status"):
        mine = [SPENT | {"name": name}]
        a, b = tell(told[0], mine, **{name: 1.0}), tell(told[1], mine, **{name: 9.0})
        assert compare(a, b).code == 0


# -- several devices


def on_a_board_too(run: Path, board: str) -> None:
    """Have each cell of a run a second time, with the same figures, on a board."""

    def there(name: str) -> str:
        cell, twin, _ = name.partition(".twin")
        return f"{cell}@{board}{twin}"

    def moved(record: dict[str, Any]) -> dict[str, Any]:
        found = record | {key: there(record[key]) for key in ("cell", "name") if key in record}
        return found | ({"row": on_board(record["row"])} if record["event"] == "scored" else {})

    def on_board(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"id": there(row["id"]), "board": board}

    for file, change in (("journal.jsonl", moved), ("rows.jsonl", on_board)):
        told = [json.loads(line) for line in (run / file).read_text().splitlines()]
        told += [change(each) for each in told if each.get("event") != "start"]
        (run / file).write_text("".join(json.dumps(each) + "\n" for each in told))
    for file in [*run.glob("samples/*.i64")]:
        shutil.copy(file, file.with_name(f"{there(file.stem)}.i64"))
    for file in [*run.glob("cells/*.outputs.npy")]:
        shutil.copy(file, file.with_name(file.name.replace(".outputs", f"@{board}.outputs")))


def test_a_cell_is_compared_with_the_one_on_the_same_device(one: Path, run: Path, tmp_path: Path) -> None:
    on_a_board_too(run, "pi4")
    later = Path(shutil.copytree(run, tmp_path / "later"))
    slow_down(later, f"{INT8}@pi4", 1.2)
    found = compared(run, later)
    assert [(pair.id, pair.b.id if pair.b else None) for pair in found.pairs] == [
        (cell, cell) for device in ("", "@pi4") for cell in (TORCH + device, WHOLE + device, INT8 + device)
    ]
    assert regressed(found) == [(f"{INT8}@pi4", "latency")]
    assert on(found, INT8, "latency").result == "same"

    told = compare(run, later)
    assert told.code == 1 and "device" in told.out and " pi4 " in told.out
    devices = [cell["device"] for cell in json.loads(compare(run, later, "--output", "json").out)["cells"]]
    assert devices == ["host"] * 3 + ["pi4"] * 3

    gone = compared(run, one)
    assert regressed(gone) == [(cell + "@pi4", "status") for cell in (TORCH, WHOLE, INT8)]
    there = [line for line in (later / "rows.jsonl").read_text().splitlines() if json.loads(line).get("board")]
    (later / "rows.jsonl").write_text("\n".join(there) + "\n")
    told = error_of(compare(one, later))
    assert "have no cell in common" in told and "A was measured on host, B on pi4: one run of both devices" in told
