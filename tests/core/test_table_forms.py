"""Tables and arrays as frameworks write them: Parquet, one-hot labels, labels and class names in other files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ecgedge import EcgEdgeError
from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import read_path
from ecgedge.data.readers import Columns
from tests.conftest import Command, error_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 6)).round(4)
Y = RNG.permutation(np.arange(40) % 3)
NAMES = np.array(["N", "S", "V"])
SAMPLES = [f"s{index}" for index in range(6)]
WORDS = [str(each) for each in NAMES[Y]]


def held(data: Dataset) -> list[tuple[bytes, str]]:
    """All beats with their labels, in an order of their own."""
    parts = (data.train, data.test)
    return sorted((beat.tobytes(), data.labels[y]) for part in parts for beat, y in zip(part.x[:, 0], part.y))


def expected(labels: list[str]) -> list[tuple[bytes, str]]:
    return sorted((beat.tobytes(), label) for beat, label in zip(X.astype(np.float32), labels, strict=True))


def write_csv(path: Path, columns: dict[str, object], header: bool = True) -> Path:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([",".join(columns)] * header + lines) + "\n")
    return path


def samples() -> dict[str, object]:
    return {name: X[:, index] for index, name in enumerate(SAMPLES)}


def bits() -> dict[str, object]:
    return {str(name): (index == Y).astype(int) for index, name in enumerate(NAMES)}


def patients() -> list[str]:
    return [f"p{index // 4}" for index in range(40)]


PARQUET = {
    "a column a sample": samples() | {"label": WORDS},
    "one column of lists": {"ecg": [list(map(float, beat)) for beat in X], "label": WORDS},
    "lists of float32": {"ecg": pa.array([beat.astype(np.float32) for beat in X]), "label": WORDS},
    "labels in one-hot form": samples() | bits(),
    "the index of pandas": samples() | {"label": WORDS, "__index_level_0__": RNG.permutation(40)},
    "labels of a dictionary": samples() | {"label": pa.array(WORDS).dictionary_encode()},
    "truth values in one-hot form": samples() | {name: np.array(bit, bool) for name, bit in bits().items()},
}


@pytest.mark.parametrize("what", PARQUET)
def test_parquet_holds_the_same_beats(tmp_path: Path, what: str) -> None:
    parquet.write_table(pa.table(PARQUET[what]), tmp_path / "t.parquet")
    data, _ = read_path(tmp_path / "t.parquet")
    assert held(data) == expected(WORDS)
    assert "a Parquet table" in data.told


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ecg": [[1.0, 2.0], [1.0]], "label": ["a", "b"]}, "row 2, column 'ecg': 1 values where the first row has 2"),
        ({"ecg": [[[1.0], [2.0]]] * 2, "label": ["a", "b"]}, "lists within a list"),
        (samples() | {"label": [*WORDS[:-1], None]}, "row 40, column 7: nothing is no label"),
        (samples() | {"s6": [*X[:-1, 0], None], "label": WORDS}, "row 40, column 7: nothing is not a finite number"),
        ({"label": WORDS}, "a label without samples"),
    ],
)
def test_parquet_that_holds_no_beats(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(EcgEdgeError, match=message):
        read_path(tmp_path / "t.parquet")


def test_parquet_that_unpacks_to_more_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet.write_table(pa.table({name: np.zeros(20_000) for name in SAMPLES}), tmp_path / "t.parquet")
    monkeypatch.setattr("ecgedge.data.readers.parquet.BIGGEST", 100_000)
    with pytest.raises(EcgEdgeError, match="unpacks to"):
        read_path(tmp_path / "t.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pa.table(samples() | {"label": WORDS}), tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EcgEdgeError, match="PyArrow is not installed") as caught:
        read_path(tmp_path / "t.parquet")
    assert "ecgedge[readers]" in caught.value.hint


ONE_HOT = {  # what is said, and with a header or not
    "guessed by their names": (None, True),
    "named one by one": ("N,S,V", True),
    "named in another order": ("V,N,S", True),
    "as a range": ("7-9", True),
    "by their numbers": ("7,8,9", False),
    "as a range, without names": ("7-9", False),
}


@pytest.mark.parametrize("what", ONE_HOT)
def test_labels_in_one_hot_form_are_read(tmp_path: Path, what: str) -> None:
    said, header = ONE_HOT[what]
    path = write_csv(tmp_path / "t.csv", samples() | bits(), header)
    data, _ = read_path(path, Columns(label=said))
    assert held(data) == expected(WORDS if header else [str(y) for y in Y])
    assert "(one-hot)" in data.told


@pytest.mark.parametrize(
    ("bit", "message"),
    [(2, "line 4: the columns of the label hold"), (0.5, "line 4")],
)
def test_other_than_0_and_1_is_no_label(tmp_path: Path, bit: float, message: str) -> None:
    columns = bits()
    for name in columns:
        columns[name] = np.array(columns[name], float)
        columns[name][2] = bit
    path = write_csv(tmp_path / "t.csv", samples() | columns)
    with pytest.raises(EcgEdgeError, match=message) as caught:
        read_path(path, Columns(label="N,S,V"))
    assert "0 or 1" in caught.value.hint


def test_one_hot_without_names_is_asked_about_and_never_read_as_samples(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", samples() | bits(), header=False)
    with pytest.raises(EcgEdgeError, match="columns 7 to 9 look like a label in one-hot form") as caught:
        read_path(path)
    assert "--label-column 7-9" in caught.value.hint
    turned = write_csv(tmp_path / "u.csv", bits() | samples(), header=False)
    with pytest.raises(EcgEdgeError, match="columns 1 to 3 look like a label in one-hot form"):
        read_path(turned)


def test_an_array_of_labels_in_one_hot_form(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=np.eye(3)[Y], classes=NAMES)
    assert held(read_path(tmp_path / "a.npz")[0]) == expected(WORDS)
    np.savez(tmp_path / "b.npz", x=X, y=np.eye(3, dtype=bool)[Y])
    assert held(read_path(tmp_path / "b.npz")[0]) == expected([str(y) for y in Y])
    np.savez(tmp_path / "c.npz", x=X, y=np.eye(3)[Y] * 0.9)
    with pytest.raises(EcgEdgeError, match="holds no labels in a column each"):
        read_path(tmp_path / "c.npz")


CLASS_FILES = {
    "a name a line": (
        "n.txt",
        "normal\nsupraventricular\nventricular\n",
        ("normal", "supraventricular", "ventricular"),
    ),
    "pairs": ("n.csv", "0,normal\n2,ventricular\n1,supra\n", ("normal", "supra", "ventricular")),
    "pairs that join classes": ("n.csv", "0,normal\n1,ectopic\n2,ectopic\n", ("normal", "ectopic")),
    "tabs": ("n.tsv", "0\tnormal\n1\tS beat\n2\tV beat\n", ("normal", "S beat", "V beat")),
    "JSON": ("n.json", json.dumps({"0": "normal", "1": "S", "2": "V"}), ("normal", "S", "V")),
    "a list in JSON": ("n.json", json.dumps(["normal", "S", "V"]), ("normal", "S", "V")),
}


@pytest.mark.parametrize("what", CLASS_FILES)
def test_classes_are_called_as_a_file_says(tmp_path: Path, what: str) -> None:
    name, content, labels = CLASS_FILES[what]
    (tmp_path / name).write_text(content)
    path = write_csv(tmp_path / "t.csv", samples() | {"label": Y})
    data, _ = read_path(path, Columns(classes=str(tmp_path / name)))
    assert data.labels == labels
    told = [labels[min(y, len(labels) - 1)] for y in Y]
    assert held(data) == expected(told)


def test_a_list_of_the_labels_themselves_orders_them_and_renames_none(tmp_path: Path) -> None:
    words = ["N", "RonT", "PVC"]  # the alphabet has PVC before RonT
    (tmp_path / "n.txt").write_text("\n".join(words))
    path = write_csv(tmp_path / "t.csv", samples() | {"label": [words[y] for y in Y]})
    assert read_path(path)[0].labels == ("N", "PVC", "RonT")
    data, _ = read_path(path, Columns(classes=str(tmp_path / "n.txt")))
    assert data.labels == tuple(words)
    assert held(data) == expected([words[y] for y in Y])


def test_a_list_of_several_labels_orders_their_columns(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_text("c\na\nb\n")
    bits = np.random.default_rng(0).integers(0, 2, (len(X), 3))
    np.savez(tmp_path / "a.npz", x=X, y=bits, classes=["a", "b", "c"])
    data, _ = read_path(tmp_path / "a.npz", Columns(classes=str(tmp_path / "n.txt")))
    assert data.labels == ("c", "a", "b")
    whole = np.concatenate([data.train.y, data.test.y]).sum(axis=0)
    assert whole.tolist() == bits.sum(axis=0)[[2, 0, 1]].tolist()


def test_several_columns_of_bits_are_offered_as_labels_of_which_several_hold(tmp_path: Path) -> None:
    several = {name: [(row >> at) % 2 for row in range(len(X))] for at, name in enumerate(("AF", "ST", "PVC"))}
    path = write_csv(tmp_path / "t.csv", samples() | several)
    with pytest.raises(EcgEdgeError, match="3 columns could hold the label") as caught:
        read_path(path)
    assert "--label-column AF,ST,PVC takes all" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb\n", "has 2 names, and the beats have 3 classes"),
        ("0,a\n1,b\n", "has no name for class '2'"),
        ("0,a\n0,b\n1,c\n2,d\n", "calls class '0' 'a' and 'b'"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "n.csv").write_text(content)
    path = write_csv(tmp_path / "t.csv", samples() | {"label": Y})
    with pytest.raises(EcgEdgeError, match=message):
        read_path(path, Columns(classes=str(tmp_path / "n.csv")))


@pytest.mark.parametrize("name", ["labels.npy", "labels.txt", "labels.csv"])
def test_an_npy_with_its_labels_in_a_file(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "beats.npy", X)
    if name.endswith(".npy"):
        np.save(tmp_path / name, np.array(WORDS))
    else:
        (tmp_path / name).write_text("\n".join(WORDS) + "\n")
    assert held(read_path(tmp_path / "beats.npy", Columns(labels=str(tmp_path / name)))[0]) == expected(WORDS)
    with pytest.raises(EcgEdgeError, match="no labels beside it") as caught:
        read_path(tmp_path / "beats.npy")
    assert "--label-file" in caught.value.hint
    with pytest.raises(EcgEdgeError, match="--label-file"):
        read_path(write_csv(tmp_path / "t.csv", samples() | {"label": Y}), Columns(labels=str(tmp_path / name)))


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> dict[str, Path]:
    """Ten beats of 140 samples in each form, by what the form is."""
    folder = tmp_path_factory.mktemp("forms")
    x = beats.test.x[:10, 0].round(4)
    np.save(folder / "b.npy", x)
    np.savez(folder / "b.npz", x=x, y=np.zeros(10))
    names = {f"s{index}": x[:, index].astype(float) for index in range(140)}
    parquet.write_table(pa.table({"patient": patients()[:10]} | names | {"label": WORDS[:10]}), folder / "b.parquet")
    one_hot = {name: np.eye(3, dtype=int)[np.arange(10) % 3][:, index] for index, name in enumerate("NSV")}
    write_csv(folder / "hot.csv", names | one_hot)
    np.savetxt(folder / "b.csv", x, delimiter=",", fmt="%.4f")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "options"),
    [("b.npy", ()), ("b.npz", ()), ("b.parquet", ("--group", "patient")), ("hot.csv", ()),
     ("hot.csv", ("--label-column", "N,S,V"))],
)  # fmt: skip
def test_predict_reads_what_data_sets_are_read_from(
    ecgedge: Command, fakes: Path, forms: dict[str, Path], name: str, options: tuple[str, ...]
) -> None:
    asked = ("--plugins-dir", fakes, "predict", "fake", "--runtime", "fake-runtime")
    known = ecgedge(*asked, forms["b.csv"])
    told = ecgedge(*asked, forms[name], *options)
    assert told.code == known.code == 0, told.err + known.err
    assert told.out == known.out and len(told.out.splitlines()) == 11


def test_a_run_keeps_what_was_said_of_labels(ecgedge: Command, fakes: Path, beats: Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "beats.npy", beats.train.x)
    np.save(tmp_path / "said.npy", beats.train.y)
    (tmp_path / "names.csv").write_text("0,1\n1,2\n2,3\n3,4\n4,5\n")
    asked = ("matrix", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime", "--dataset", "beats.npy")
    options = ("--label-file", "said.npy", "--class-names", "names.csv")
    ran = ecgedge("--plugins-dir", fakes, *asked, *options, "--out", "run")
    assert ran.code == 0, ran.err
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    assert (request["label_file"], request["class_names"]) == ("said.npy", "names.csv")
    again = ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run")
    assert again.code == 0, again.err
    assert "has no place" in error_of(ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run", *options))


@pytest.mark.parametrize("command", ["matrix", "convert", "evaluate", "train", "data", "doctor", "predict", "bundle"])
def test_every_command_with_data_takes_the_same_options(ecgedge: Command, command: str) -> None:
    told = ecgedge(command, "--help").out
    assert "--group" in told
    assert command in ("predict", "bundle") or ("--label-file" in told and "--class-names" in told)
