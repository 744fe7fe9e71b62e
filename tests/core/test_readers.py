"""Readers: one set of beats in every format, and what each format refuses."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecgedge import EcgEdgeError
from ecgedge.data import finding
from ecgedge.data.finding import read_path
from ecgedge.data.readers import SUFFIXES, archive, fields, order_labels, read_split

DATA = Path(__file__).parents[2] / "data"
SAMPLES = sorted(path for path in (DATA / "samples").iterdir() if not path.stem.endswith("_labels"))
TS = "@problemName t\n@classLabel true a b\n@data\n"
ARFF = "@relation t\n@attribute t0 numeric\n@attribute t1 numeric\n@attribute target {a,b}\n@data\n"
X = np.arange(8, dtype=np.float32).reshape(4, 2)
Y = np.array(["a", "b", "a", "b"])


def refused(path: Path) -> str:
    with pytest.raises(EcgEdgeError) as caught:
        read_path(path)
    assert len(caught.value.message) < 300
    assert caught.value.hint
    return caught.value.message


def put(path: Path, content: str) -> Path:
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return path


def pack(path: Path, entries: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def test_every_format_has_a_sample() -> None:
    assert {path.suffix for path in SAMPLES} == {*SUFFIXES, ".zip"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.suffix)
def test_all_formats_read_to_one_digest(path: Path) -> None:
    data, warning = read_path(path)
    assert data.digest == read_path(SAMPLES[0])[0].digest
    assert data.labels == ("calm", "steep")
    assert (len(data.train), len(data.test), data.length, data.name) == (6, 6, 12, "waves")
    assert "no test part" in warning and "seed 0" in data.source


def test_the_samples_are_what_their_script_makes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_samples", DATA / "make_samples.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (DATA / "samples").iterdir()}
    for path in SAMPLES:
        if path.suffix not in (".npz", ".parquet", ".zip"):  # these bytes may differ with the library
            assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("a.csv", "label,0,1\nup,1,2\ndown,3,4\n", ["up", "down"]),
        ("a.csv", '"t0","t1","class"\n1,2,"up"\n3,4,"down"\n', ["up", "down"]),
        ("a.csv", "t0,t1,t2\nup,1,2\ndown,3,4\n", ["up", "down"]),
        ("a.csv", "up,1,2\ndown,3,4\n", ["up", "down"]),
        ("a.txt", "up 1 2\ndown 3 4\n", ["up", "down"]),
        ("a.tsv", "all well\t1\t2\nnot well\t3\t4\n", ["all well", "not well"]),
        ("a.tsv", "1 1 2\n2.0 3 4\n", ["1", "2"]),
        ("a.ts", TS + "1,2:a\n3,4:b\n", ["a", "b"]),
        ("a.ts", "@data\n1,2:1.0000e+00\n3,4:5\n", ["1", "5"]),
        ("a.arff", ARFF + "1,2,a\n3,4,b\n", ["a", "b"]),
        ("a.arff", ARFF.replace("{a,b}", "numeric") + "1,2,7\n3,4,-1\n", ["7", "-1"]),
    ],
)
def test_labels_of_any_kind(tmp_path: Path, name: str, content: str, labels: list[str]) -> None:
    found, x = read_split(put(tmp_path / name, content))
    assert found == labels
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[[1, 2]], [[3, 4]]])


def test_labels_are_ordered_by_number_or_alphabet_and_stay_apart() -> None:
    assert order_labels(["10", "9", "-1.5", "9"]) == ("-1.5", "9", "10")
    assert order_labels(["10", "9", "N"]) == ("10", "9", "N")


def test_long_numbers_as_labels_stay_apart(tmp_path: Path) -> None:
    labels, _ = read_split(put(tmp_path / "a.txt", "1000001 1 2\n1000002 1 2\n0.1234567 1 2\n-0 1 2\n"))
    assert labels == ["1000001", "1000002", "0.1234567", "0"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ts", TS + "1,2:a\n3,?:b\n", "line 5, column 2: '?' is not a finite number"),
        ("a.ts", TS + "1,2:a\n3,4,5:b\n", "line 5, column 3: 3 samples where the first beat has 2"),
        ("a.ts", TS + "1,2:c\n", "line 4: 'c' is not in @classLabel"),
        ("a.ts", TS + "1,2\n", "line 4: no label"),
        ("a.ts", TS + "1,2:3:a\n", "line 4: leads of 2 and 1 samples"),
        ("a.ts", TS + "1,2:3,4:a\n1,2:b\n", "line 5: 1 lead where the first beat has 2"),
        ("a.ts", "@univariate true\n" + TS + "1,2:3,4:a\n", "line 5: 2 leads, and @univariate is true"),
        ("a.ts", "@timestamps true\n" + TS, "line 1: its series have time stamps"),
        ("a.ts", "@equalLength false\n" + TS, "line 1: its series differ in length"),
        ("a.ts", "@classLabel false\n@data\n1,2\n", "line 1: its series have no labels"),
        ("a.ts", "1,2:a\n", "line 1: '1,2:a' before @data"),
        ("a.ts", TS, "is empty"),
        ("a.ts", "@problemName x\n", "no @data"),
        ("a.arff", ARFF + "1,?,a\n", "beat 1, attribute 't1': not a finite number"),
        ("a.arff", ARFF + "1,2,c\n", "not an ARFF file that can be read"),
        ("a.arff", ARFF + "1,2\n", "not an ARFF file that can be read"),
        ("a.arff", ARFF, "is empty"),
        ("a.arff", ARFF.replace("{a,b}", "numeric").replace("target", "t2") + "1,2,3\n", "0 attributes"),
        ("a.arff", ARFF.replace("t1 numeric", "t1 {a,b}") + "1,a,a\n", "2 attributes"),
        ("a.arff", "nonsense", "not an ARFF file"),
        ("a.txt", "\udcff 1 2\nb 1 2\n", "line 1, column 1: '\\udcff' is no label"),
        ("a.txt", "x" * 99 + " 1 2\n", "line 1, column 1"),
        ("a.csv", "label,t0\na,1\nb,1,2\n", "line 3, column 3: 3 columns where the first line has 2"),
        ("a.csv", "t0,t1,label\n1,2,a\n,3,b\n", "line 3, column 1: nothing"),
        ("a.txt", "a 1 2\n", "too few to split"),
        ("a.txt", "a 1 2\nb 1 2\n", "too few to split"),
        ("a.npz", "no zip", "is not an npz file"),
        ("a.npy", "no array", "has no labels beside it"),
        ("a.zip", "no zip", "is not a zip"),
        ("a.xyz", "1 2 3", "no reader for .xyz files"),
    ],
)  # fmt: skip
def test_refuses_with_the_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    told = refused(put(tmp_path / name, content))
    assert message in told
    assert name in told


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "holds 'x'"),
        ({"x": X, "y": Y[:3]}, "x of shape '(4, 2)', y of shape '(3,)'"),
        ({"x": X[0], "y": Y}, "x of shape '(2,)'"),
        ({"x": X.astype(complex), "y": Y}, "x is of type 'complex128'"),
        ({"x": X.astype(str), "y": Y}, "x is of type"),
        ({"x": np.where(X == 3, np.nan, X), "y": Y}, "x, beat 2, column 2: nan"),
        ({"x": X[:0], "y": Y[:0]}, "is empty"),
        ({"x": X, "y": np.array(["a", "", "b", "b"])}, "y, beat 2: nothing"),
        ({"x": X, "y": np.array([97, 98, 0x01000061, 97], "<u4").view("<U1")}, "y, beat 3: no text"),
        ({"x": X, "y": np.array([97, 98, 0x01000061, 97], ">u4").view(">U1")}, "y, beat 3: no text"),
        ({"x": X, "y": np.array([object()] * 4)}, "is not an npz file that can be read"),
    ],
)  # fmt: skip
def test_refuses_arrays_that_are_no_beats(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in refused(tmp_path / "a.npz")


def test_an_npz_can_hold_both_parts(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", X_train=X[:, None], y_train=[1, 0, 1, 0], X_test=X[:2] + 1, y_test=[0, 0])
    data, warning = read_path(tmp_path / "both.npz")
    assert warning == ""
    assert (len(data.train), len(data.test), data.labels) == (4, 2, ("0", "1"))
    assert data.train.y.tolist() == [1, 0, 1, 0]
    assert data.test.x[0, 0].tolist() == [1, 2]


def test_parts_are_found_whatever_their_suffix(tmp_path: Path) -> None:
    put(tmp_path / "T_TRAIN.ts", TS + "1,2:a\n3,4:b\n")
    put(tmp_path / "T_TEST.ts", TS + "1,2:a\n")
    put(tmp_path / "T_TRAIN.csv", "a,9,9\nb,9,9\n")
    put(tmp_path / "notes.md", "no beats")
    for path in (tmp_path, tmp_path / "T_TRAIN.ts"):
        data, warning = read_path(path)
        assert (warning, data.name, len(data.test), data.train.x.max()) == ("", "t", 1, 4)
    put(tmp_path / "T_TEST.csv", "a,9,9\n")
    put(tmp_path / "T_TRAIN.txt", "a 8 8\nb 8 8\n")
    assert read_path(tmp_path)[0].train.x.max() == 4, "the first suffix that both parts have"
    put(tmp_path / "T_TEST.txt", "a 8 8\n")
    assert read_path(tmp_path)[0].train.x.max() == 8, "txt before ts"
    assert read_path(tmp_path / "T_TRAIN.csv")[0].train.x.max() == 9
    put(tmp_path / "Other_TRAIN.npz", "")
    assert "several data sets: 'Other', 'T'" in refused(tmp_path)


def test_without_a_test_part_the_split_is_seeded_and_stratified(tmp_path: Path) -> None:
    rows = [f"{'common' if i % 10 else 'rare'} {i} {i} {i}\n" for i in range(100)]
    path = put(tmp_path / "all.txt", "".join(rows))
    data, warning = read_path(path)
    assert "has no test part; split here: half for training, stratified, seed 0" in warning
    assert "split here" in data.source
    for split in (data.train, data.test):
        assert np.bincount(split.y).tolist() == [45, 5]
    together = np.sort(np.concatenate([data.train.x[:, 0, 0], data.test.x[:, 0, 0]]))
    np.testing.assert_array_equal(together, np.arange(100))
    assert read_path(path)[0].digest == data.digest
    assert read_path(tmp_path)[0].digest == data.digest, "the only file of a folder"
    path.rename(tmp_path / "all_TRAIN.txt")
    assert "no test part" in read_path(tmp_path)[1]
    (tmp_path / "all_TRAIN.txt").rename(tmp_path / "ECG5000.txt")
    assert "not the official ECG5000 split" in refused(tmp_path / "ECG5000.txt")


def test_a_zip_is_read_as_a_folder_is(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "t.zip",
        {"T/T_TRAIN.txt": "a 1 2\nb 1 2\n", "T/T_TEST.txt": "a 1 2\n", "__MACOSX/._T_TRAIN.txt": ""},
    )
    data, warning = read_path(path)
    assert (data.name, data.source, warning) == ("t", str(path), "")
    told = refused(pack(tmp_path / "bad.zip", {"T_TRAIN.txt": "a 1 2\nb x 2\n", "T_TEST.txt": "a 1 2\n"}))
    assert told.startswith(f"{tmp_path / 'bad.zip'}/T_TRAIN.txt, line 2, column 2")
    assert "no NAME_TRAIN.txt" in refused(pack(tmp_path / "empty.zip", {"readme.md": "nothing"}))


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_a_zip_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("T_TRAIN.txt", "a 1 2\nb 1 2\n")
        file.writestr(name, "a 1 2\n")
    assert "would leave the folder" in refused(tmp_path / "a.zip")
    assert not list(tmp_path.rglob("evil*"))


def test_links_and_bombs_in_a_zip_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = zipfile.ZipInfo("T_TRAIN.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(link, "/etc/hostname")
    assert "which is a link" in refused(tmp_path / "link.zip")
    monkeypatch.setattr(archive, "BIGGEST", 10)
    assert "unpacks to 12 bytes" in refused(pack(tmp_path / "big.zip", {"T_TRAIN.txt": "a 1 2\nb 1 2\n"}))


@pytest.mark.parametrize("suffix", [".txt", ".ts", ".arff", ".npz", ".zip"])
def test_a_file_that_is_too_big_is_refused_before_it_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"big{suffix}"
    with path.open("wb") as file:
        file.truncate(1_000_000_001)  # holds nothing, and takes no room
    assert "has 1,000,000,001 bytes or more" in refused(path)


def test_a_text_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is told when it is too long, and so is a file that grows while it is read."""
    monkeypatch.setattr(fields, "LONGEST_LINE", 1000)
    assert "a line of more than 1,000 characters" in refused(put(tmp_path / "line.txt", "1 " * 501 + "\n"))
    lines = fields.lines_of(io.StringIO("a\n" * 600), "grown.txt", most=1000)
    with pytest.raises(EcgEdgeError, match=r"grown\.txt has 1,002 bytes or more"):
        list(lines)


def test_without_scipy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(EcgEdgeError, match="SciPy is not installed") as caught:
        finding.load(str(put(tmp_path / "a.arff", ARFF)))
    assert "ecgedge[readers]" in caught.value.hint
