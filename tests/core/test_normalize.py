"""``--normalize``, and the warning of ``ecgedge data show``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge.convert.opening import listed
from ecgedge.data import finding, normalizing
from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import read_path
from ecgedge.data.normalizing import not_normalized
from tests.conftest import Command, error_of

RAW = "".join(f"{'ab'[i % 2]},{i},{i + 1},{i * i},7\n" for i in range(40))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.csv"
    path.write_text(RAW + "a,3,3,3,3\n" + "b,0.1,0.1,0.1,0.1\n")
    return path


def test_normalized_beats(raw: Path, beats: Dataset) -> None:
    data, warning = finding.load(str(raw), normalize=True)
    plain, _ = read_path(raw)
    assert "no test part" in warning
    assert data.source == f"{plain.source}, z-normalised here"
    assert data.digest != plain.digest
    x = np.concatenate([data.train.x, data.test.x])[:, 0]
    assert x.dtype == np.float32
    constant = (x == 0).all(axis=1)
    assert constant.sum() == 2
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(x[~constant].std(axis=1, ddof=1), 1, atol=1e-6)
    np.testing.assert_array_equal(data.train.y, plain.train.y)
    again = normalizing.normalized(beats)
    np.testing.assert_allclose(again.test.x, beats.test.x, atol=1e-5)


def test_either_divisor_is_normalized_enough() -> None:
    x = np.random.default_rng(0).standard_normal((9, 1, 8))
    x = (x - x.mean(axis=2, keepdims=True)) / x.std(axis=2, keepdims=True)
    assert not not_normalized(x).any()
    assert not not_normalized(x * np.sqrt(7 / 8)).any()
    assert not_normalized(x + 0.1).all() and not_normalized(x * 1.2).all() and not_normalized(x * 0).all()
    assert not_normalized(np.ones((2, 1, 1))).all()


def test_official_data_is_checked_before_it_is_normalized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RAW.replace(",", " ")
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"tiny_{part}.txt").write_text(rows)
    tiny = read_path(tmp_path)[0].digest
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"tiny_{part}.txt").rename(tmp_path / f"ECG5000_{part}.txt")
    monkeypatch.setattr(finding, "ECG5000_BEATS", (40, 40))
    monkeypatch.setattr(finding, "ECG5000_DIGEST", tiny)
    data, _ = finding.load(str(tmp_path), normalize=True)
    assert data.name == "ecg5000" and data.digest != tiny


def test_show_warns_and_normalize_mends(ecgedge: Command, raw: Path) -> None:
    told = ecgedge("data", "show", raw)
    assert told.code == 0 and "raw.csv (split here" in told.out and "class a" in told.out
    assert "42 of 42 beats are not z-normalised" in told.err and "--normalize" in told.err
    for arguments in (("data", "show", raw, "--normalize"), ("data", "--normalize", "--dataset", raw, "show")):
        told = ecgedge(*arguments)
        assert told.code == 0 and "z-normalised here" in told.out
    assert "2 of 42 beats" in told.err, "constant beats stay what they are"
    assert ecgedge("data", "--dataset", raw, "--normalize").out == told.out
    told = ecgedge("data", "show", "synthetic")
    assert (told.code, told.err) == (0, "") and "embedded" in told.out
    assert "does not exist" in error_of(ecgedge("data", "show", "nowhere.csv"))


def test_many_classes_are_listed_below_each_other(ecgedge: Command, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("".join(f"word{i % 30} {i} 2 3\n" for i in range(90)))
    told = ecgedge("data", "show", "many.txt").out
    assert all(f"\nclass word{i} " in told for i in range(30))
    assert max(map(len, told.splitlines())) < 100
    labels = tuple(f"word{i}" for i in range(30))
    assert listed(labels).endswith("word7 and 22 more")
    assert listed(labels[:3]) == "word0, word1, word2"


@pytest.mark.parametrize("command", ["matrix", "convert", "evaluate", "train", "data"])
def test_every_command_with_data_can_normalize(ecgedge: Command, command: str) -> None:
    assert "--normalize" in ecgedge(command, "--help").out


def test_a_model_that_was_trained_on_normalised_beats_gets_no_others(
    ecgedge: Command, fakes: Path, tmp_path: Path, beats: Dataset
) -> None:
    """Its record says so, whatever it is asked for: beats are normalised, or refused in one line."""
    loud = np.random.default_rng(0).uniform(0.2, 40, (len(beats.train), 1)).astype(np.float32)
    x = beats.train.x[:, 0] * loud + 7 * loud**2
    arrays = {"x_train": x[::2], "y_train": beats.train.y[::2], "x_test": x[1::2], "y_test": beats.train.y[1::2]}
    np.savez(tmp_path / "raw.npz", **arrays)
    np.savez(tmp_path / "beats.npz", x=x[1::2], y=beats.train.y[1::2])
    asked = ("--plugins-dir", fakes)
    trained = ecgedge(*asked, "train", "fake", "--dataset", "raw.npz", "--normalize", "--out", "net")
    assert trained.code == 0, trained.err
    bare, said = (ecgedge(*asked, "predict", "net", "beats.npz", *more) for more in ((), ("--normalize",)))
    assert bare.code == said.code == 0, bare.err
    assert bare.out == said.out and "trained on z-normalised beats" in bare.err
    assert "trained on" not in said.err
    for command in (("evaluate", "net"), ("matrix", "--model", "net", "--profile", "quick")):
        refused = ecgedge(*asked, *command, "--dataset", "raw.npz")
        assert "net" not in refused.out and "--normalize" in error_of(refused), command
    scored = ecgedge(*asked, "evaluate", "net", "--dataset", "raw.npz", "--normalize")
    assert scored.code == 0, scored.err
    ready = finding.load(str(tmp_path / "raw.npz"), normalize=True)[0]
    parts = {"x_train": ready.train.x, "y_train": ready.train.y, "x_test": ready.test.x, "y_test": ready.test.y}
    np.savez(tmp_path / "ready.npz", **parts)
    same = ecgedge(*asked, "evaluate", "net", "--dataset", "ready.npz")
    assert same.code == 0, same.err
    assert same.out.split("\n\n", 1)[1] == scored.out.split("\n\n", 1)[1]


def test_a_model_that_was_trained_on_raw_beats_gets_none_that_are_normalised(
    ecgedge: Command, fakes: Path, tmp_path: Path, beats: Dataset
) -> None:
    """The other way round: its record says that its beats were not, and --normalize is refused wherever it is said."""
    x = 3 + 2 * beats.train.x[:, 0]
    arrays = {"x_train": x[::2], "y_train": beats.train.y[::2], "x_test": x[1::2], "y_test": beats.train.y[1::2]}
    np.savez(tmp_path / "raw.npz", **arrays)
    np.savez(tmp_path / "beats.npz", x=x[1::2], y=beats.train.y[1::2])
    asked = ("--plugins-dir", fakes)
    assert ecgedge(*asked, "train", "fake", "--dataset", "raw.npz", "--out", "net").code == 0
    for command in (
        ("evaluate", "net", "--dataset", "raw.npz"),
        ("matrix", "--model", "net", "--profile", "quick", "--dataset", "raw.npz"),
        ("predict", "net", "beats.npz"),
    ):
        refused = ecgedge(*asked, *command, "--normalize")
        assert "fake was trained on beats that were not z-normalised" in error_of(refused), command
    assert ecgedge(*asked, "predict", "net", "beats.npz").code == 0
    known = ecgedge(*asked, "train", "fake", "--dataset", "synthetic", "--out", "known")
    assert known.code == 0 and "normalized" not in (tmp_path / "known" / "model.json").read_text()
