"""Data sets of several leads: which axis holds them, what they are called, and which are wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgedge import EcgEdgeError, MatrixRequest
from ecgedge.commands.loading import data_of
from ecgedge.data.finding import load, read_path
from ecgedge.data.normalizing import not_normalized
from ecgedge.data.readers import ANY_COLUMNS, Columns
from tests.conftest import Command, error_of

BEATS, LEADS, LENGTH = 6, 3, 40
NAMES = ("I", "II", "V1")
X = np.random.default_rng(0).standard_normal((BEATS, LEADS, LENGTH)).astype(np.float32)
Y = np.array(["a", "b", "a", "b", "a", "b"])
HALVES = {"x_train": X[:4], "y_train": Y[:4], "x_test": X[4:], "y_test": Y[4:]}


def turned(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 1)


def plane(x: np.ndarray) -> np.ndarray:
    return x[:, :, None]


def write_npz(folder: Path, shape: Callable[[np.ndarray], np.ndarray], **more: np.ndarray) -> Path:
    """Both parts in one file, the beats in some shape."""
    arrays = {name: shape(array) if name.startswith("x") else array for name, array in HALVES.items()}
    np.savez(folder / "three.npz", **arrays, **more)
    return folder / "three.npz"


def write_npy(folder: Path, shape: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A folder with an array a file."""
    (folder / "three").mkdir()
    for name, array in HALVES.items():
        np.save(folder / "three" / f"{name}.npy", shape(array) if name.startswith("x") else array)
    return folder / "three"


def refused(path: Path, columns: Columns = ANY_COLUMNS) -> str:
    with pytest.raises(EcgEdgeError) as caught:
        load(str(path), columns=columns)
    assert caught.value.hint and len(caught.value.message) < 300
    return caught.value.message


@pytest.mark.parametrize("write", [write_npz, write_npy])
@pytest.mark.parametrize("shape", [np.asarray, turned, plane, lambda x: turned(x)[:, None]])
def test_leads_are_told_from_the_shape(tmp_path: Path, write: Callable, shape: Callable) -> None:
    data, warning = read_path(write(tmp_path, shape))
    np.testing.assert_array_equal(data.train.x, X[:4])
    np.testing.assert_array_equal(data.test.x, X[4:])
    assert (data.leads, data.length, data.lead_names, data.name, warning) == (LEADS, LENGTH, (), "three", "")
    assert data.told.endswith(f"of shape {shape(X[:4]).shape}: 3 leads of 40 samples")
    assert "test beats of 3 leads and 40 samples" in data.describe()


@pytest.mark.parametrize("shape", [np.asarray, turned, plane])
def test_one_lead_is_one_lead_in_any_shape(tmp_path: Path, shape: Callable) -> None:
    one = X[:, :1]
    np.savez(tmp_path / "flat.npz", x=one[:, 0], y=Y)
    np.savez(tmp_path / "deep.npz", x=shape(one), y=Y)
    flat, deep = (read_path(tmp_path / f"{name}.npz")[0] for name in ("flat", "deep"))
    assert flat.leads == 1 and flat.digest == deep.digest and flat.told == deep.told == ""
    assert "leads" not in flat.describe()


def test_formats_agree(tmp_path: Path) -> None:
    digest = read_path(write_npz(tmp_path, np.asarray))[0].digest
    assert read_path(write_npy(tmp_path, turned))[0].digest == digest
    for part, x, y in (("TRAIN", X[:4], Y[:4]), ("TEST", X[4:], Y[4:])):
        lines = [":".join([*(",".join(f"{v:.9g}" for v in lead) for lead in beat), label]) for beat, label in zip(x, y)]
        (tmp_path / f"T_{part}.ts").write_text("\n".join(["@univariate false", "@data", *lines]) + "\n")
        np.save(tmp_path / f"N_{part}.npy", x)
        (tmp_path / f"N_{part}_labels.txt").write_text("\n".join(y) + "\n")
    assert read_path(tmp_path / "T_TRAIN.ts")[0].digest == digest
    assert read_path(tmp_path / "N_TRAIN.npy")[0].digest == digest
    one = read_path(tmp_path / "T_TRAIN.ts")[0]
    assert one.train.x.shape == (4, LEADS, LENGTH)


def test_two_leads_are_not_one_that_is_twice_as_long(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x=X[:, :2], y=Y)
    np.savez(tmp_path / "one.npz", x=X[:, :2].reshape(BEATS, -1), y=Y)
    assert read_path(tmp_path / "two.npz")[0].digest != read_path(tmp_path / "one.npz")[0].digest


def test_what_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    draw = np.random.default_rng(1).standard_normal
    for sizes in ((6, 8), (20, 30)):
        np.savez(tmp_path / "odd.npz", x=draw((BEATS, *sizes)), y=Y)
        assert refused(tmp_path / "odd.npz").endswith(
            f"odd.npz: x: {sizes[0]} leads of {sizes[1]} samples, or {sizes[1]} leads of {sizes[0]}?"
        )
        for layout, leads in (("NCL", sizes[0]), ("NLC", sizes[1])):
            assert load(str(tmp_path / "odd.npz"), columns=Columns(layout=layout))[0].leads == leads
        np.savez(tmp_path / "named.npz", x=draw((BEATS, *sizes)), y=Y, leads=[f"L{i}" for i in range(sizes[1])])
        assert read_path(tmp_path / "named.npz")[0].leads == sizes[1], "names tell it"
    np.savez(tmp_path / "flat.npz", x=X[:, 0], y=Y)
    assert "--layout NCL" in refused(tmp_path / "flat.npz", Columns(layout="NCL"))
    (tmp_path / "table.csv").write_text("a,1,2\nb,1,2\na,1,2\nb,1,2\n")
    assert "holds no array: --layout has no place" in refused(tmp_path / "table.csv", Columns(layout="NCL"))
    assert "--layout has no place" in refused(Path("synthetic"), Columns(layout="NCL"))


@pytest.mark.parametrize("names", [np.array(NAMES), np.array([name.encode() for name in NAMES])])
def test_names_are_kept(tmp_path: Path, names: np.ndarray) -> None:
    data, _ = read_path(write_npz(tmp_path, turned, leads=names))
    assert data.lead_names == NAMES
    assert data.told.endswith("3 leads (I, II, V1) of 40 samples")
    folder = write_npy(tmp_path, np.asarray)
    (folder / "leads.txt").write_text("I, II\nV1\n")
    assert read_path(folder)[0].lead_names == NAMES


@pytest.mark.parametrize(
    ("wanted", "picked"), [(("II", "V1"), [1, 2]), (("V1", "I"), [2, 0]), (("v1",), [2]), (("3", ":1"), [2, 0])]
)
def test_leads_are_picked_and_ordered(tmp_path: Path, wanted: tuple[str, ...], picked: list[int]) -> None:
    path = write_npz(tmp_path, np.asarray, leads=np.array(NAMES))
    data, _ = load(str(path), columns=Columns(leads=wanted))
    np.testing.assert_array_equal(data.train.x, X[:4, picked])
    assert data.lead_names == tuple(NAMES[i] for i in picked)
    assert data.source.endswith("leads " + ", ".join(data.lead_names))
    assert data.digest != read_path(path)[0].digest
    again = data_of(MatrixRequest.from_record(MatrixRequest(data=str(path), leads=wanted).record()))
    assert again.digest == data.digest, "so a run that goes on takes the same leads"


def test_leads_that_are_not_there_are_told(tmp_path: Path) -> None:
    named = write_npz(tmp_path, np.asarray, leads=np.array(NAMES))
    assert refused(named, Columns(leads=("V9",))) == "three has no lead 'V9': it has I, II, V1"
    assert refused(named, Columns(leads=("II", "2"))) == "--leads names lead 2 twice"
    nameless = write_npz(tmp_path, np.asarray)
    assert refused(nameless, Columns(leads=("II",))) == "three has no lead 'II': it has 1 to 3, without names"
    assert refused(Path("synthetic"), Columns(leads=("2",))) == "synthetic has no lead '2': it has 1, its only one"
    assert load("synthetic", columns=Columns(leads=("1",)))[0].digest == load("synthetic")[0].digest


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["I", "II"], "2 names of leads, and 3 by 40 values a beat"),
        (["I", "i", "V1"], "two leads are called 'i'"),
        (["I", "", "V1"], "nothing is no name of a lead"),
        (["I", "a\nb", "V1"], "is no name of a lead"),
        (["I", "x" * 41, "V1"], "is no name of a lead"),
    ],
)
def test_names_that_are_none_are_told(tmp_path: Path, names: list[str], message: str) -> None:
    assert message in refused(write_npz(tmp_path, np.asarray, leads=np.array(names)))


def test_parts_that_differ_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "T_TRAIN.npz", x=X, y=Y, leads=NAMES)
    np.savez(tmp_path / "T_TEST.npz", x=X[:, :2], y=Y)
    assert refused(tmp_path) == "beats of 3 leads in T_TRAIN.npz, of 2 in T_TEST.npz"
    np.savez(tmp_path / "T_TEST.npz", x=X, y=Y, leads=NAMES[::-1])
    assert refused(tmp_path) == "leads I, II, V1 in T_TRAIN.npz, V1, II, I in T_TEST.npz"
    np.savez(tmp_path / "T_TEST.npz", x=np.where(X[2, 1, 7] == X, np.nan, X), y=Y)
    assert "x, beat 3, lead 2, column 8: nan is not a finite number" in refused(tmp_path)


def test_labels_of_an_array_lie_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "alone.npy", X)
    assert refused(tmp_path / "alone.npy").endswith("alone.npy has no labels beside it")
    for name, labels in (("alone_labels.npy", Y), ("alone_labels.npy", Y[:, None])):
        np.save(tmp_path / name, labels)
        assert read_path(tmp_path)[0].labels == ("a", "b"), "labels are no data set of their own"
        assert read_path(tmp_path / "alone.npy")[0].name == "alone"
    np.save(tmp_path / "alone_labels.npy", Y[:4])
    assert "x of shape '(6, 3, 40)', y of shape '(4,)'" in refused(tmp_path / "alone.npy")
    (tmp_path / "alone_labels.npy").write_bytes(b"nothing")
    assert "alone_labels.npy is not an npy file that can be read" in refused(tmp_path / "alone.npy")
    np.save(tmp_path / "alone_labels.npy", np.array([{}] * 6), allow_pickle=True)
    assert "Object arrays cannot be loaded" in refused(tmp_path / "alone.npy")


def test_each_lead_is_normalised(tmp_path: Path) -> None:
    scaled = X * np.array([1, 10, 100], np.float32)[:, None] + 5
    scaled[2, 1] = 7
    np.savez(tmp_path / "raw.npz", x=scaled, y=Y)
    assert not_normalized(scaled).all()
    data, _ = load(str(tmp_path / "raw.npz"), normalize=True)
    x = np.concatenate([data.train.x, data.test.x])
    std = x.std(axis=2, ddof=1)
    np.testing.assert_allclose(x.mean(axis=2), 0, atol=1e-5)
    assert ((abs(std - 1) < 1e-4) | (std == 0)).all() and (std == 0).sum() == 1
    one = X - X.mean(axis=2, keepdims=True)
    one /= one.std(axis=2, keepdims=True)
    assert not not_normalized(one).any()
    one[0, 2] *= 2
    assert not_normalized(one).tolist() == [True, *[False] * 5]


def test_data_show_tells_leads(ecgedge: Command, tmp_path: Path) -> None:
    write_npz(tmp_path, turned, leads=np.array(NAMES))
    shown = ecgedge("data", "show", "three.npz", "--leads", "V1,I")
    assert shown.code == 0 and "\nleads    2 (V1, I)\nlength   40 samples\n" in shown.out, shown.err
    assert "Note: three.npz: x_train of shape (4, 40, 3): 3 leads (I, II, V1) of 40 samples" in shown.err
    assert "leads" not in ecgedge("data", "--dataset", "synthetic").out
    assert error_of(ecgedge("data", "show", "three.npz", "--leads", "V1,")).startswith("Error: --leads V1,: a name is")
    assert "three has no lead 'V7'" in error_of(ecgedge("evaluate", "tcn", "--dataset", "three.npz", "--leads", "V7"))
