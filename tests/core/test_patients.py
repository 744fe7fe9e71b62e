"""No patient is on both sides of a split or fold, calibration included; where one is, it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge import EcgEdgeError
from ecgedge.data.dataset import Dataset, Split
from ecgedge.data.drawing import calibration_beats, judging_beats
from ecgedge.data.finding import read_path
from ecgedge.data.patients import deal_groups, halves, warnings
from ecgedge.data.readers import Columns
from ecgedge.training.crossval import folds_of
from tests.conftest import Command


def beats_of(groups: np.ndarray, classes: int = 3, seed: int = 0) -> Split:
    """Beats ``(N, 1, 8)`` that all differ, of these patients."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, len(groups))
    y[: classes * 2] = np.arange(classes * 2) % classes
    return Split(rng.standard_normal((len(groups), 1, 8)).astype(np.float32), y, groups)


def data_of(train: Split, test: Split) -> Dataset:
    return Dataset("made", train, test, ("a", "b", "c"), "made")


def people(count: int, each: int, start: int = 0) -> np.ndarray:
    return np.repeat([f"p{number}" for number in range(start, start + count)], each)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=25), st.integers(2, 6), st.integers(0, 1000))
def test_a_patient_is_in_one_fold_and_no_fold_is_empty(sizes: list[int], count: int, seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes).astype(str)
    y = np.random.default_rng(seed).integers(0, 3, len(groups))
    if len(sizes) < count:
        with pytest.raises(EcgEdgeError, match="patients cannot make"):
            deal_groups(y, groups, count, seed)
        return
    folds = deal_groups(y, groups, count, seed)
    assert set(folds) == set(range(count))
    assert all(len(set(folds[groups == one])) == 1 for one in set(groups))
    assert (deal_groups(y, groups, count, seed) == folds).all()


def test_folds_are_alike_as_far_as_patients_allow() -> None:
    groups = people(40, 25)
    train = beats_of(groups)
    folds = folds_of(train, 5, 0)
    assert all(len(set(folds[groups == one])) == 1 for one in set(groups))
    for label in range(3):
        counts = np.bincount(folds[train.y == label], minlength=5)
        assert counts.max() <= 1.4 * counts.min()


def test_training_has_every_class_though_one_patient_alone_has_it() -> None:
    groups = people(6, 20)
    y = np.zeros(120, np.int64)
    y[40:45] = 1  # of p2 alone
    for seed in range(10):
        train = halves(y, groups, seed)
        assert (train & (y == 1)).any() and not train.all()
        assert not {*groups[train]} & {*groups[~train]}


def test_calibration_has_no_beat_of_a_patient_of_the_test_part_nor_of_those_it_is_judged_on() -> None:
    train, test = beats_of(people(40, 100)), beats_of(people(10, 20, start=35), seed=1)
    data = data_of(train, test)
    both = {*train.groups} & {*test.groups}
    assert len(both) == 5
    whose = {beat.tobytes(): who for beat, who in zip(train.x, train.groups, strict=True)}
    calibration = {whose[beat.tobytes()] for beat in calibration_beats(data, 300, 0)}
    judging = {whose[beat.tobytes()] for beat in judging_beats(data, 300, 0).x}
    assert not calibration & both and not judging & both
    assert calibration and judging and not calibration & judging


def test_one_patient_is_split_by_beats_and_said(tmp_path: Path) -> None:
    one = beats_of(people(1, 60))
    np.savez(tmp_path / "one.npz", x=one.x, y=one.y, groups=one.groups)
    data, _ = read_path(tmp_path / "one.npz")
    assert len(data.train) == len(data.test) == 30
    assert "1 patient is in both parts (p0)" in " ".join(warnings(data))
    assert len(calibration_beats(data, 10, 0)) == 10


def test_the_same_beat_in_both_parts_is_said() -> None:
    train, test = beats_of(people(3, 10)), beats_of(people(3, 10, start=3), seed=1)
    assert warnings(data_of(train, test)) == []
    x = test.x.copy()
    x[:2] = train.x[4:6]
    assert warnings(data_of(train, replace(test, x=x))) == ["2 test beats are training beats, too"]


def table(folder: Path, name: str, groups: np.ndarray, seed: int) -> None:
    made = beats_of(groups, seed=seed)
    lines = [
        ",".join([*(f"{value:.5f}" for value in beat[0]), str(label), who])
        for beat, label, who in zip(made.x, made.y, made.groups, strict=True)
    ]
    head = ",".join([*(f"s{i}" for i in range(8)), "label", "patient"])
    (folder / name).write_text("\n".join([head, *lines]) + "\n")


def test_the_column_of_the_patients_splits_a_table(ecgedge: Command, tmp_path: Path) -> None:
    table(tmp_path, "t.csv", people(10, 12), 0)
    data, warning = read_path(tmp_path / "t.csv", Columns(group="patient"))
    assert "whole patients" in warning
    assert not {*data.train.groups} & {*data.test.groups}
    assert data.train.groups.shape == data.train.y.shape and data.length == 8
    told = ecgedge("data", "show", "t.csv", "--group", "patient")
    assert told.code == 0 and "patients in column 10 (patient)" in told.err
    assert "patients 5 for training, 5 for testing" in told.out
    asked = ecgedge("data", "show", "t.csv")
    assert asked.code == 2 and "--group patient keeps the beats of each patient on one side" in asked.err


def test_a_patient_in_both_files_is_a_warning(ecgedge: Command, tmp_path: Path) -> None:
    table(tmp_path, "t_TRAIN.csv", people(6, 12), 0)
    table(tmp_path, "t_TEST.csv", people(6, 12, start=4), 1)
    told = ecgedge("data", "show", "t_TRAIN.csv", "--group", "patient")
    assert told.code == 0, told.err
    assert "Warning: 2 patients are in both parts (p4, p5)" in told.err


def test_leads_and_normalising_keep_the_patients(tmp_path: Path) -> None:
    from ecgedge.data.finding import load

    rng = np.random.default_rng(0)
    x, y, groups = rng.standard_normal((60, 2, 9)), np.arange(60) % 3, people(6, 10)
    np.savez(tmp_path / "two.npz", x=x, y=y, groups=groups, leads=np.array(["II", "V1"]))
    data, _ = load(str(tmp_path / "two.npz"), normalize=True, columns=Columns(leads=("V1",)))
    assert data.leads == 1 and data.train.groups is not None
    assert not {*data.train.groups} & {*data.test.groups}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(59), "names no patients"),
        (np.ones(60), "names no patients"),
        (np.array(["a"] * 59 + [""]), "groups, beat 60: nothing names no patient"),
    ],
)
def test_arrays_that_name_no_patients(tmp_path: Path, groups: np.ndarray, message: str) -> None:
    np.savez(
        tmp_path / "a.npz", x=np.random.default_rng(0).standard_normal((60, 9)), y=np.arange(60) % 3, groups=groups
    )
    with pytest.raises(EcgEdgeError, match=message):
        read_path(tmp_path / "a.npz")


def test_an_array_of_patients_by_name(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 9))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(60) % 3, who=people(6, 10))
    data, _ = read_path(tmp_path / "a.npz", Columns(group="who"))
    assert not {*data.train.groups} & {*data.test.groups}
    with pytest.raises(EcgEdgeError, match="no array whom"):
        read_path(tmp_path / "a.npz", Columns(group="whom"))


def test_the_report_tells_how_each_patient_is_told(
    ecgedge: Command, fakes: Path, beats: Dataset, tmp_path: Path
) -> None:
    test = beats.test.take(np.arange(600))
    train_of, test_of = people(5, 100), np.array([f"p{number}" for number in np.arange(600) % 7 + 10])
    test_of[:3] = "seldom"
    labels = np.array(beats.labels)
    np.savez(
        tmp_path / "d.npz", x_train=beats.train.x, y_train=labels[beats.train.y], groups_train=train_of,
        x_test=test.x, y_test=labels[test.y], groups_test=test_of,
    )  # fmt: skip
    asked = ("matrix", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime", "--dataset", "d.npz")
    ran = ecgedge("--plugins-dir", fakes, *asked, "--out", "run")
    assert ran.code == 0, ran.err
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    with np.load(tmp_path / "run" / "beats.npz") as kept:
        whose, y = np.array(about["patients"])[kept["patient"]], kept["y"]
        assert (whose == test_of[kept["index"]]).all()
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    page = (tmp_path / "run" / "report.html").read_text()
    section = page[page.index('id="patients"') : page.index('id="troubles"')]
    assert section.count("<tr>") == 1 + sum(row["status"] == "ok" for row in rows)
    for row in (row for row in rows if row["status"] == "ok"):
        decided = np.load(tmp_path / "run" / "cells" / f"{row['id']}.outputs.npy").argmax(axis=1)
        enough = [who for who in np.unique(whose) if (whose == who).sum() >= 5]
        shares = {who: float((decided == y)[whose == who].mean()) for who in enough}
        worst = min(shares, key=shares.get)
        assert "seldom" not in shares and f"<td>{worst} ({(whose == worst).sum()} beats)</td>" in section
        for figure in (np.median(list(shares.values())), min(shares.values()), max(shares.values())):
            assert f"{figure:.4f}" in section
    assert ecgedge("check", "run").code == 0
    assert ecgedge("report", "run", "--output", "html").out.count('id="patients"') == 1


def test_a_run_that_knows_no_patients_has_no_section(made: Path) -> None:
    assert 'id="patients"' not in (made / "report.html").read_text()
