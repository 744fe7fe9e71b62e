"""From rows to a decision: requirements, the winner, ties, misses, the front; on rows made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.choose import (
    METRICS,
    Choice,
    Difference,
    Evidence,
    Metric,
    best_values,
    by_figures,
    decide,
    find_metric,
    parse_optimize,
    parse_requirement,
)
from ecgedge.data.dataset import Dataset, Split
from ecgedge.errors import EcgEdgeError
from ecgedge.files.escape import unstyle
from ecgedge.report import Report, decision
from ecgedge.report.decision import miss_notes
from ecgedge.report.lines import Note
from ecgedge.run import RunFolder
from ecgedge.run.row import Row
from tests.core.synthetic_run import about


def test_one_suggestion_is_made_for_whoever_tells_of_it() -> None:
    """A steady form that nothing speaks against, even where an unsteady one holds its place on the front."""
    steady, odd = row("steady", size=51_000, p50=100.0), row("odd", size=50_000, p50=90.0, unsteady=True)
    [choice] = decide([steady, odd])
    assert [each.id for each in choice.front] == ["odd"]
    assert choice.suggestion and (choice.suggestion.row, choice.suggestion.doubt) == (steady, "")
    [choice] = decide([odd])
    assert choice.suggestion and "unsteady" in choice.suggestion.doubt and "look twice" in choice.suggestion.advice
    [choice] = decide([odd], optimize=find_metric("size"))  # in which its times decide nothing
    assert choice.suggestion and (choice.suggestion.row, choice.suggestion.doubt) == (odd, "")
    [choice] = decide([odd], optimize=find_metric("latency_p50"))
    assert choice.suggestion and choice.suggestion.row is odd and choice.suggestion.doubt
    told = choice.as_data()["suggested"]
    assert told == {"id": "odd", "why": "the choice", "doubt": choice.suggestion.doubt}


def test_a_small_form_that_looks_slow_leaves_the_quick_one_on_the_front() -> None:
    """Its unsteady time is no tie: nothing is known, and what looks slower dominates nothing."""
    quick, slow = row("quick", size=51_000, p50=96.0), row("slow", size=50_000, p50=195.0, unsteady=True)
    [choice] = decide([quick, slow])
    assert [each.id for each in choice.front] == ["quick", "slow"]
    assert choice.suggestion and choice.suggestion.row is quick


def row(name: str, accuracy: float = 0.95, p50: float = 100.0, size: int = 100_000, **more: Any) -> Row:
    return Row.from_record(record(name, accuracy, p50, size, **more))


def record(name: str, accuracy: float = 0.95, p50: float = 100.0, size: int = 100_000, **more: Any) -> dict[str, Any]:
    """A row of a classifier with narrow intervals, as JSON has it."""
    return {
        "id": name,
        "model": "tcn",
        "task": "classification",
        "format": "onnx",
        "precision": "fp32",
        "runtime": "cpu",
        "device": "cpu",
        "route": ["onnx"],
        "quantizer": "none",
        "threads": 1,
        "batch": 1,
        "status": "ok",
        "artifact": f"artifacts/{name}.onnx",
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.002,
        "accuracy_high": accuracy + 0.002,
        "latency_p50_us": p50,
        "latency_p50_low_us": 0.99 * p50,
        "latency_p50_high_us": 1.01 * p50,
        "latency_p95_us": 1.2 * p50,
        "size_bytes": size,
        **more,
    }


WORSE = {"result": "worse", "difference": -0.1, "low": -0.2, "high": -0.01, "p": 0.001, "text": "worse by 10 points"}


def detector(name: str, auroc: float = 0.98, **more: Any) -> Row:
    figures = {"auroc": auroc, "auroc_low": auroc - 0.001, "auroc_high": auroc + 0.001, "f1": 0.9, "threshold": 0.1}
    plain = record(name, **more)
    for key in ("accuracy", "accuracy_low", "accuracy_high"):
        del plain[key]
    return Row.from_record(plain | {"task": "anomaly", "model": "cnn-ae"} | figures)


def chosen(rows: list[Row], *required: str, optimize: str | None = None, **more: Any) -> Choice:
    asked = [parse_requirement(text) for text in required]
    (choice,) = decide(rows, asked, find_metric(optimize) if optimize else None, **more)
    return choice


def ids(rows: list[Row]) -> list[str]:
    return [each.id for each in rows]


# -- requirements


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("size<=200KB", "size_bytes", 200_000),
        ("size <= 200 kb", "size_bytes", 200_000),
        ("size<=200KiB", "size_bytes", 204_800),
        ("size<=1.5MB", "size_bytes", 1_500_000),
        ("size<=1MiB", "size_bytes", 2**20),
        ("memory<=1MiB", "memory_kib", 1024),
        ("latency_p50<=250us", "latency_p50_us", 250),
        ("latency_p50<=250µs", "latency_p50_us", 250),
        ("latency-p50<=0.25ms", "latency_p50_us", 250),
        ("latency_p90<=2.5e-4s", "latency_p90_us", 250),
        ("load_time<=0.25s", "load_ms", 250),
        ("accuracy<=0.25", "accuracy", 0.25),
        ("Accuracy<=25%", "accuracy", 0.25),
        ("macro-F1<=.25", "macro_f1", 0.25),
        ("throughput_64<=250", "throughput_64_per_s", 250),
        ("throughput<=250/s", "throughput_64_per_s", 250),
        ("energy<=0.25mJ", "energy_uj_per_beat", 250),
    ],
)
def test_units(text: str, key: str, value: float) -> None:
    limit = parse_requirement(text)
    assert limit.met(row("a", **{key: value * 0.999})) and not limit.met(row("a", **{key: value * 1.001}))


@pytest.mark.parametrize(
    ("sign", "met"), [(">=", "011"), ("<=", "110"), (">", "001"), ("<", "100"), ("==", "010"), ("=", "010")]
)
def test_operators(sign: str, met: str) -> None:
    limit = parse_requirement(f"size{sign}2KB")
    assert "".join(str(int(limit.met(row("a", size=size)))) for size in (1000, 2000, 3000)) == met


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("accuracy", "'accuracy' is no requirement", "accuracy>=0.94"),
        ("speed>=2", "unknown metric 'speed'", "accuracy, macro_f1"),
        ("size<=200", "'size<=200': 200 of what?", "B, KB, KiB, MB, MiB"),
        ("latency_p50<=2KB", "unknown unit 'KB'", "ns, us, µs, ms, s"),
        ("accuracy>=94", "accuracy is between 0 and 1", "%"),
        ("accuracy>=high", "'high' is no number", "accuracy>=0.94"),
        ("accuracy!=0.9", "!= is for words only", ">="),
        ("format>=onnx", "format is a word", "format==WORD"),
    ],
)
def test_what_is_not_understood_says_what_is(text: str, message: str, hint: str) -> None:
    with pytest.raises(EcgEdgeError) as error:
        parse_requirement(text)
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_figure_that_a_row_lacks_meets_nothing() -> None:
    assert not parse_requirement("energy<=1J").met(row("a", energy_uj_per_beat="not measured"))
    assert not parse_requirement("latency_p99<=1s").met(row("a", latency_p99_us=None))


# -- the winner


def test_the_winner_meets_all_requirements() -> None:
    rows = [
        row("coarse", accuracy=0.90, p50=10),
        row("large", p50=20, size=300_000),
        row("fit", p50=30),
        row("slow", p50=40),
    ]
    choice = chosen(rows, "accuracy>=0.94", "size<=200KB", optimize="latency_p50")
    assert ids(choice.qualified) == ["fit", "slow"]
    assert choice.winner == rows[2] and choice.runner_up == rows[3]
    assert choice.against and choice.against.result == "better"
    assert choice.ties == [] and choice.misses == []


def test_higher_is_better_for_some() -> None:
    rows = [row("a", accuracy=0.91), row("b", accuracy=0.97)]
    assert chosen(rows, optimize="accuracy").winner == rows[1]


@pytest.mark.parametrize("status", ["rejected", "failed", "timeout", "skipped"])
def test_what_does_not_work_never_wins(status: str) -> None:
    choice = chosen([row("bad", p50=1, status=status), row("good")], optimize="latency_p50")
    assert choice.winner and choice.winner.id == "good"
    assert choice.left_out == {status: 1}


def test_a_run_in_which_nothing_works() -> None:
    with pytest.raises(EcgEdgeError, match="no row of this run works"):
        chosen([row("bad", status="failed")], optimize="size")


def test_within_noise_is_a_tie_and_says_what_may_break_it() -> None:
    rows = [row("first", p50=100), row("smaller", p50=101, size=50_000), row("far", p50=150)]
    choice = chosen(rows, optimize="latency_p50")
    assert choice.winner == rows[0]
    assert choice.against and choice.against.text.startswith("a tie: within noise")
    (tie,) = choice.ties
    assert (tie.row, tie.breaks) == (rows[1], True)
    assert ([each.name for each in tie.ahead], tie.behind) == (["size"], [])


def test_a_smaller_form_that_looks_slow_in_unsteady_times_is_not_rather_taken(tmp_path: Path) -> None:
    """It is named, since it is ahead in size, with what speaks against it."""
    rows = [row("first", p50=10), row("smaller", p50=15, size=50_000, quantizer="q", precision="fp16", unsteady=True)]
    choice = chosen(rows, optimize="latency_p50")
    [tie] = choice.ties
    assert tie.breaks and [each.name for each in tie.doubtful] == ["latency_p50"]
    for each in rows:
        (file := tmp_path / str(each.file and each.file.path)).parent.mkdir(exist_ok=True)
        file.touch()
    [said] = [note.text for note in decision.notes(choice, Report(tmp_path, {}, rows)) if "ties with" in note.text]
    assert said.endswith("ahead of it in size, perhaps behind in latency_p50") and "rather" not in said


def test_a_tie_that_another_dominates_breaks_nothing() -> None:
    rows = [row("first", p50=100), row("small", p50=101, size=50_000), row("smaller", p50=101, size=40_000)]
    assert [(tie.row.id, tie.breaks) for tie in chosen(rows, optimize="latency_p50").ties] == [
        ("smaller", True),
        ("small", False),
    ]


def test_the_noise_floor_of_a_model_makes_a_tie() -> None:
    rows = [row("a", p50=100), row("b", p50=110)]
    assert chosen(rows, optimize="latency_p50").ties == []
    noisy = [row("a", p50=100, noise_floor=0.12), row("b", p50=110, noise_floor=0.12)]
    assert len(chosen(noisy, optimize="latency_p50").ties) == 1


def test_equal_figures_are_ranked_by_latency_then_size() -> None:
    rows = [row("slow", p50=300), row("large", size=200_000), row("small")]
    choice = chosen(rows, optimize="accuracy")
    assert ids(choice.qualified) == ["small", "large", "slow"]
    assert choice.against and choice.against.result == "same"


def test_a_limit_within_the_interval_is_told() -> None:
    choice = chosen(
        [row("near", accuracy=0.941), row("clear", accuracy=0.96, p50=200)], "accuracy>=0.94", optimize="latency_p50"
    )
    assert choice.winner and choice.winner.id == "near"  # by the figure it is met
    assert [limit.text for limit in choice.crossed(choice.winner)] == ["accuracy>=0.94"]
    assert choice.runner_up and choice.crossed(choice.runner_up) == []


def test_rows_without_the_figure_are_not_ranked() -> None:
    rows = [row("few calls", latency_p99_us=None), row("many", latency_p99_us=200.0)]
    assert ids(chosen(rows, optimize="latency_p99").qualified) == ["many"]
    with pytest.raises(EcgEdgeError, match="no row of this run has energy") as error:
        chosen(rows, optimize="energy")
    assert "latency_p99" in error.value.hint and "energy" not in error.value.hint


# -- words and tasks


def test_words_narrow_the_rows() -> None:
    rows = [row("a"), row("b", format="tflite", verdict=WORSE), row("c", format="tflite", p50=200)]
    assert ids(chosen(rows, "format==tflite", optimize="latency_p50").qualified) == ["b", "c"]
    assert ids(chosen(rows, "runtime!=cuda", optimize="latency_p50").qualified) == ["a", "b", "c"]
    assert ids(chosen(rows, "format=tflite", "verdict!=worse", optimize="latency_p50").qualified) == ["c"]
    with pytest.raises(EcgEdgeError, match="unknown format 'tflight'") as error:
        chosen(rows, "format==tflight", optimize="size")
    assert error.value.hint == "choose from: onnx, tflite"
    with pytest.raises(EcgEdgeError, match="no row is format==onnx and verdict==worse"):
        chosen(rows, "format==onnx", "verdict==worse", optimize="size")


def test_a_metric_of_one_task_settles_the_task() -> None:
    rows = [row("classifier", p50=50), detector("detector", p50=10)]
    assert ids(chosen(rows, "accuracy>=0.9", optimize="latency_p50").qualified) == ["classifier"]
    assert ids(chosen(rows, optimize="auroc").qualified) == ["detector"]


def test_one_winner_for_two_tasks_there_is_not() -> None:
    rows = [row("classifier"), detector("detector")]
    with pytest.raises(EcgEdgeError, match="two tasks") as error:
        chosen(rows, optimize="size")
    assert '"task==classification"' in error.value.hint and '"task==anomaly"' in error.value.hint
    with pytest.raises(EcgEdgeError, match=r"auroc \(anomaly\)"):
        chosen(rows, "accuracy>=0.9", optimize="auroc")
    with pytest.raises(EcgEdgeError, match="no row has auroc"):
        chosen(rows[:1], optimize="auroc")
    assert [choice.task for choice in decide(rows)] == ["classification", "anomaly"]  # a front each


# -- nothing qualifies


def test_the_nearest_miss_of_each_requirement() -> None:
    rows = [
        row("good", accuracy=0.96, size=500_000),
        row("better", accuracy=0.97, size=900_000),
        row("small", accuracy=0.90),
    ]
    choice = chosen(rows, "accuracy>=0.95", "size<=200KB", optimize="latency_p50")
    assert choice.winner is None and choice.qualified == []
    assert [(miss.requirement.text, miss.row.id, miss.others_met) for miss in choice.misses] == [
        ("accuracy>=0.95", "small", True),
        ("size<=200KB", "good", True),
    ]


def test_where_no_row_meets_the_rest_the_nearest_of_all() -> None:
    rows = [row("a", accuracy=0.90, size=300_000), row("b", accuracy=0.92, size=400_000)]
    choice = chosen(rows, "accuracy>=0.95", "size<=200KB")
    assert [(miss.row.id, miss.others_met) for miss in choice.misses] == [("b", False), ("a", False)]


def test_a_requirement_that_all_meet_is_missed_by_none() -> None:
    choice = chosen([row("a"), row("b")], "accuracy>=0.99", "size<=200KB")
    assert [miss.requirement.text for miss in choice.misses] == ["accuracy>=0.99"]


# -- the Pareto front


def test_the_front() -> None:
    rows = [
        row("accurate", accuracy=0.98, p50=300, size=300_000),
        row("fast", accuracy=0.95, p50=50, size=200_000),
        row("small", accuracy=0.95, p50=200, size=50_000),
        row("slower and larger", accuracy=0.95, p50=70, size=210_000),
    ]
    choice = chosen(rows)
    assert ids(choice.front) == ["fast", "small", "accurate"]
    assert {name: by.id for name, by in choice.dominated.items()} == {"slower and larger": "fast"}


def test_noise_neither_dominates_nor_saves_from_it() -> None:
    same = [row("a", accuracy=0.9501, p50=100.2), row("b", accuracy=0.9500, p50=100.0)]
    assert len(chosen(same).front) == 2  # better by noise only
    smaller = [row("a", accuracy=0.9501, p50=99), row("b", accuracy=0.9500, p50=100, size=50_000)]
    assert ids(chosen(smaller).front) == ["b"]  # what a is ahead in is noise


def test_the_front_of_those_that_qualify() -> None:
    rows = [row("a", p50=10, size=900_000), row("b", p50=20), row("c", p50=30)]
    assert ids(chosen(rows, "size<=200KB").front) == ["b"]


def test_a_circle_of_ties_does_not_empty_the_front() -> None:
    beats = {("a", "b"), ("b", "c"), ("c", "a")}

    def circle(metric: Metric, first: Row, second: Row) -> Difference:
        pair = first.id, second.id
        wins = {("a", "b"): "latency_p50", ("b", "c"): "accuracy", ("c", "a"): "size"}
        return Difference("better" if pair in beats and wins[pair] == metric.name else "tie", "")

    assert chosen([row("a"), row("b"), row("c")], compare=circle).front


# -- what is marked


def test_the_best_values_of_each_model_with_their_ties() -> None:
    rows = [row("a", p50=100), row("b", p50=101), row("c", p50=200), row("d", model="vgg", p50=900, size=5)]
    best = best_values(rows, [METRICS["latency_p50"], METRICS["size"], METRICS["accuracy"]])
    assert best == {("a", "latency_p50"), ("b", "latency_p50")}  # where all tie, and of one row, none is best


# -- by the figures alone, and in pairs


@pytest.mark.parametrize(
    ("metric", "here", "there", "result"),
    [
        ("size", {"size_bytes": 10}, {"size_bytes": 11}, "better"),
        ("size", {"size_bytes": 10}, {"size_bytes": 10}, "same"),
        ("memory", {"memory_kib": 1000}, {"memory_kib": 1010}, "tie"),
        ("memory", {"memory_kib": 1000}, {"memory_kib": 1100}, "better"),
        ("throughput_64", {"throughput_64_per_s": 1000}, {"throughput_64_per_s": 1100}, "worse"),
        ("macro_f1", {"macro_f1": 0.61}, {"macro_f1": 0.60}, "better"),
        ("accuracy", {"accuracy": 0.951}, {"accuracy": 0.953}, "tie"),
        ("accuracy", {"accuracy": 0.95}, {"accuracy": 0.97}, "worse"),
    ],
)
def test_two_rows_by_their_figures(metric: str, here: dict[str, Any], there: dict[str, Any], result: str) -> None:
    if metric == "accuracy":
        first, second = row("a", here["accuracy"]), row("b", there["accuracy"])
    else:
        first, second = row("a", **here), row("b", **there)
    assert by_figures(METRICS[metric], first, second).result == result


def run_folder(folder: Path, answers: dict[str, np.ndarray], y: np.ndarray, times: dict[str, np.ndarray]) -> Evidence:
    """A run by hand: ``answers`` of each cell as one-hot outputs, ``times`` of its blocks in microseconds."""
    (folder / "cells").mkdir()
    (folder / "samples").mkdir()
    labels = ("1", "2", "3")
    split = Split(np.zeros((len(y), 1, 4), np.float32), y)
    (folder / "run.json").write_text(json.dumps(about(Dataset("by hand", split, split, labels, "here"), [])))
    np.savez(folder / "beats.npz", x=split.x, y=y, index=np.arange(len(y)))
    records: list[dict[str, Any]] = []
    task = {"kind": "classification", "labels": list(labels)}
    skipped = {"task": "classification", "format": "onnx", "precision": None, "runtime": "cpu", "status": "skipped"}
    for name, decided in answers.items():
        np.save(folder / "cells" / f"{name}.outputs.npy", np.eye(3, dtype=np.float32)[decided])
        told = skipped | {"id": name, "model": name, "reason": "its row is not looked at"}
        packed = {"path": f"artifacts/{name}", "record": {"task": task}}
        records.append({"event": "scored", "cell": name, "row": told, "artifact": packed})
        records.append({"event": "warm", "cell": name, "warm_up_calls": 1, "stable": True, "load": None})
        blocks = [np.full((100, 2), time * 1000, "<i8") for time in times[name]]
        (folder / "samples" / f"{name}.i64").write_bytes(b"".join(block.tobytes() for block in blocks))
        records += [
            {
                "event": "block",
                "cell": name,
                "round": i,
                "offset": i * 1600,
                "calls": 100,
                "sha256": "",
                "cpu_share": 1.0,
            }
            for i in range(len(blocks))
        ]
    (folder / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return Evidence(RunFolder.read(folder))


def test_a_run_compares_its_rows_in_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(3, 1000, p=[0.6, 0.3, 0.1])
    first = np.where(rng.random(1000) < 0.05, (y + 1) % 3, y)
    second = first.copy()
    second[np.flatnonzero(first == y)[:12]] += 1  # twelve more are wrong, none is righted
    second %= 3
    swings = rng.uniform(80, 160, 12)  # of the machine, from round to round
    times = {"a": swings, "b": 1.1 * swings, "of another model": 1.1 * swings}
    compare = run_folder(tmp_path, {"a": first, "b": second, "of another model": second}, y, times)
    wide = {"accuracy_low": 0.9, "accuracy_high": 0.99, "latency_p50_low_us": 80, "latency_p50_high_us": 160}
    a, less = row("a", 0.95, 120, macro_f1=0.9, **wide), record("b", 0.938, 132, macro_f1=0.89, **wide)
    b = Row.from_record(less)
    for metric in ("accuracy", "latency_p50"):
        assert by_figures(METRICS[metric], a, b).tie  # the intervals overlap
        assert compare(METRICS[metric], a, b).result == "better"
        assert compare(METRICS[metric], b, a).result == "worse"
    assert "0.909 times" in compare(METRICS["latency_p50"], a, b).why
    assert compare(METRICS["macro_f1"], a, b).result == "better"
    assert compare(METRICS["accuracy"], a, Row.from_record(less | {"id": "a"})).result == "same"
    other = Row.from_record(less | {"id": "of another model", "model": "vgg"})
    assert compare(METRICS["latency_p50"], a, other).tie  # these were not timed in turns
    assert compare(METRICS["accuracy"], a, other).result == "better"  # but on the same beats


def test_a_run_without_its_outputs_still_compares(tmp_path: Path) -> None:
    y = np.array([0, 1, 2, 0])
    compare = run_folder(tmp_path, {"a": y, "b": y}, y, {"a": np.ones(6), "b": np.ones(6)})
    (tmp_path / "cells" / "b.outputs.npy").unlink()
    assert compare(METRICS["accuracy"], row("a", 0.98), row("b", 0.95)).why == "the 95% intervals are apart"


def test_few_beats_that_differ_are_noise_for_macro_f1(tmp_path: Path) -> None:
    y = np.repeat([0, 1, 2], [600, 300, 100])
    other = y.copy()
    other[-2:] = 0
    compare = run_folder(tmp_path, {"a": y, "b": other}, y, {"a": np.ones(6), "b": np.ones(6)})
    assert compare(METRICS["macro_f1"], row("a", macro_f1=1.0), row("b", macro_f1=0.995)).tie


def test_a_choice_is_data() -> None:
    rows = [row("a"), row("b", p50=101, size=5), row("c", status="failed")]
    told = json.loads(json.dumps(chosen(rows, "accuracy>=0.9", optimize="latency_p50").as_data(), allow_nan=False))
    assert told["winner"]["id"] == "a" and told["winner"]["artifact"] == "artifacts/a.onnx"
    assert told["winner"]["latency_p50_low_us"] == 99
    assert (told["runner_up"]["id"], told["ties"][0]["ahead"], told["not_considered"]) == ("b", ["size"], {"failed": 1})


LONGEST = {"model": "inception", "format": "saved_model", "quantizer": "full-int8", "precision": "full-int8"}


@pytest.mark.parametrize("optimize", ["latency_p50", None])
@pytest.mark.parametrize("odd", [{}, {"unsteady": True}, {"verdict": WORSE}])
def test_what_is_said_of_a_choice_fits_a_terminal(odd: dict[str, Any], optimize: str | None, tmp_path: Path) -> None:
    """With long names, in a folder with a long one: a path that has no room has a line of its own, and is whole."""
    names = [f"inception.{number}.saved-model-full-int8.cuda-tf32-graph" for number in range(4)]
    rows = [
        row(name, p50=100 + number, size=90_000 - 9_000 * number, runtime=f"cuda-tf32-{number}", **LONGEST, **odd)
        for number, name in enumerate(names)
    ]
    folder = tmp_path / "a-run-of-many-models" / ("on-data-with-a-long-name-" + "1" * 40)
    for each in rows:
        (file := folder / str(each.file and each.file.path)).parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    choices = decide(rows, [parse_requirement("accuracy>=0.949")], find_metric(optimize) if optimize else None)
    machine = {"cpu": "Intel(R) Xeon(R) Platinum 8481C CPU", "cores": 2, "system": "", "isa": [], "governor": ""}
    said = unstyle(decision.terminal(Report(folder, {"machine": machine}, rows, choices=choices)))
    for line in said.splitlines():
        assert len(line) <= 120 or line.strip() in {str(folder / f"artifacts/{name}.onnx") for name in names}, line
    wanted = choices[0].suggested
    assert wanted and f"\n  {folder}/artifacts/{wanted.id}.onnx\n" in said + "\n"


def test_a_note_is_folded_between_words_and_a_path_never() -> None:
    path = "/a/folder with a space/" + "x" * 120
    short, long = Note("take it", "a/b"), Note("word " * 40 + "at last", path)
    assert short.lines() == ["take it: a/b"]
    *text, last = long.lines()
    assert last == f"  {path}" and all(len(line) <= 120 for line in text)
    assert " ".join(line.strip() for line in text) == f"{long.text}:"


# Several devices


def on_devices(**times: dict[str, float]) -> list[Row]:
    """A row of each form on each device: its median there; None is an emulated one."""
    return [
        row(
            name + (f"@{board}" if board != "host" else ""),
            size=1000 * int(name[-1]),
            p50=p50,
            quantizer=name,
            **({"board": board} if board != "host" else {}),
        )
        for name, by_device in times.items()
        for board, p50 in by_device.items()
    ]


def without_times(found: Row) -> Row:
    return replace(found, latency=None, setup=replace(found.setup, emulated="cortex-a53"))  # type: ignore[type-var]


def test_each_device_has_a_choice_and_rows_of_two_are_not_held_against_each_other() -> None:
    rows = on_devices(q1={"host": 10, "pi4": 300}, q2={"host": 20, "pi4": 200})
    here, there = decide(rows, optimize=METRICS["latency_p50"])
    assert (here.device, here.winner.id) == ("host", "q1")  # type: ignore[union-attr]
    assert (there.device, there.winner.id) == ("pi4", "q2@pi4")  # type: ignore[union-attr]
    fronts = decide(rows)
    assert [{row.id for row in choice.front} for choice in fronts] == [{"q1"}, {"q1@pi4", "q2@pi4"}]
    assert {name for name, metric in best_values(rows, [METRICS["latency_p50"]])} == {"q1", "q2@pi4"}


def test_a_limit_on_a_device_is_held_to_the_same_form_there() -> None:
    rows = on_devices(q1={"host": 10, "pi4": 300}, q2={"host": 20, "pi4": 200}, q3={"host": 5})
    asked = [parse_requirement(text) for text in ("latency_p50@pi4<=250us", "latency_p50@host<=30us")]
    here, there = decide(rows, asked, METRICS["size"])
    assert [row.id for row in here.qualified] == ["q2"], "q3 was not on pi4, so nobody knows"
    assert [row.id for row in there.qualified] == ["q2@pi4"]
    here, _ = decide(rows, [parse_requirement("latency_p50@pi4<=100us")], METRICS["size"])
    assert not here.qualified and here.misses[0].row.id == "q2" and here.misses[0].requirement.gap(rows[2]) == 100
    with pytest.raises(EcgEdgeError, match="unknown device 'pi'"):
        decide(rows, [parse_requirement("latency_p50@pi<=100us")])
    with pytest.raises(EcgEdgeError, match="format is no figure of a device"):
        parse_requirement("format@pi4==onnx")


def test_a_metric_of_one_device_chooses_there_alone() -> None:
    rows = on_devices(q1={"host": 10, "pi4": 300}, q2={"host": 20, "pi4": 200})
    metric, there = parse_optimize("latency_p50@pi4")
    [choice] = decide(rows, [there] if there else [], metric)
    assert choice.winner is not None and choice.winner.id == "q2@pi4"
    assert [choice.device for choice in decide(rows, [parse_requirement("device==pi4")])] == ["pi4"]
    assert [choice.device for choice in decide(rows, [parse_requirement("device!=pi4")])] == ["host"]


def test_a_device_without_times_is_chosen_on_by_the_rest() -> None:
    rows = on_devices(q1={"host": 10, "a53": 1}, q2={"host": 20, "a53": 1})
    rows = [without_times(each) if each.board else each for each in rows]
    _, there = decide(rows)
    assert [metric.name for metric in there.criteria] == ["accuracy", "size"]
    assert [row.id for row in there.front] == ["q1@a53"]
    assert [choice.device for choice in decide(rows, optimize=METRICS["latency_p50"])] == ["host"]
    with pytest.raises(EcgEdgeError, match="no row of this run has latency_p50"):
        decide(rows, [parse_requirement("device==a53")], METRICS["latency_p50"])


def test_a_form_that_does_not_work_on_a_device_meets_no_limit_there() -> None:
    rows = on_devices(q1={"host": 10, "pi4": 300}, q2={"host": 20, "pi4": 200})
    failed = replace(rows[1], latency=None, outcome=replace(rows[1].outcome, status="failed", stage="load", reason="-"))
    limit = parse_requirement("size@pi4<=100kB")
    here, there = decide([rows[0], failed, *rows[2:]], [limit], METRICS["latency_p50"])
    assert (here.device, [row.id for row in here.qualified]) == ("host", ["q2"]), "q1 has a size there, and fails"
    assert [row.id for row in there.qualified] == ["q2@pi4"]


def test_a_limit_that_a_device_has_no_figure_for_is_told_as_such() -> None:
    rows = on_devices(q1={"host": 10, "a53": 1}, q2={"host": 20, "a53": 1})
    rows = [without_times(each) if each.board else each for each in rows]
    here, there = decide(rows, [parse_requirement("latency_p50<=15us")])
    assert [row.id for row in here.qualified] == ["q1"] and not here.unknown()
    assert not there.qualified and there.unknown() == ["latency_p50<=15us"]
    told = [*miss_notes(there)]
    assert told == [Note("nothing qualifies"), Note("latency_p50<=15us: no row has that figure")]
