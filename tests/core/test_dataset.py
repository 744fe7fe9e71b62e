"""Data: found where it is named, read exactly, refused with line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge import Context, EcgEdgeError
from ecgedge.data import finding
from ecgedge.data.dataset import Dataset, Split
from ecgedge.data.drawing import stratified
from ecgedge.data.finding import read_folder, synthetic

GOOD = "1 0.5 -1.5 2\n2 1 2 3\n"


def write(folder: Path, train: str | bytes = GOOD, test: str | bytes = GOOD, name: str = "Tiny") -> Path:
    folder.mkdir(exist_ok=True)
    for part, content in (("TRAIN", train), ("TEST", test)):
        raw = content.encode() if isinstance(content, str) else content
        (folder / f"{name}_{part}.txt").write_bytes(raw)
    return folder


def test_reads_labels_and_beats(tmp_path: Path) -> None:
    data = read_folder(write(tmp_path, "7 0.5 -1.5 2\n-1 1 2 3\n", "-1,4,5,6\r\n\r\n7,1e1,0,0\r\n\r\n"))
    assert data.name == "tiny"
    assert data.labels == ("-1", "7")
    np.testing.assert_array_equal(data.train.y, [1, 0])
    np.testing.assert_array_equal(data.test.x, [[[4, 5, 6]], [[10, 0, 0]]])
    assert data.train.x.dtype == np.float32
    assert (data.length, data.classes) == (3, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 0.5 -1.5 2\n2 1 2\n", "line 2, column 4"),
        ("1 0.5 -1.5 2\n2 1 2 3 4\n", "line 2, column 5"),
        ("1 0.5 -1.5 2\n2 1 x 3\n", "line 2, column 3: 'x'"),
        ("1 0.5 nan 2\n", "line 1, column 3: 'nan'"),
        ("1 0.5 2 -inf\n", "line 1, column 4: '-inf'"),
        ("1 0.5 2 1e99\n", "line 1, column 4: '1e99'"),
        ("? 0.5 2 1\n", "line 1, column 1: '?'"),
        ("a b 2 1\n", "line 1, column 2: 'b'"),
        (",0.5,2,1\n", "line 1, column 1: nothing"),
        ("1\n", "line 1, column 2"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        (b"1 0.5 \xff 2\n", "line 1, column 3"),
        ("1,0.5,,2\n", "line 1, column 3: nothing"),
        ("1,0 2.5 3,1\n", "line 1, column 2: '0 2.5 3'"),
        ("1 0.5 1_0 2\n", "line 1, column 3: '1_0'"),
        ("1 0.5 " + "9x" * 5000 + " 2\n", "line 1, column 3"),
    ],
)
def test_refuses_with_line_and_column(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(EcgEdgeError, match=message.replace("(", r"\(")) as caught:
        read_folder(write(tmp_path, test=content))
    assert "Tiny_TEST.txt" in caught.value.message
    assert len(caught.value.message) < 300
    assert caught.value.hint


def test_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(EcgEdgeError, match="beats of 3 samples in Tiny_TRAIN"):
        read_folder(write(tmp_path, test="1 2 3\n"))
    with pytest.raises(EcgEdgeError, match="class 9"):
        read_folder(write(tmp_path, test="9 1 2 3\n"))
    with pytest.raises(EcgEdgeError, match="does not exist"):
        read_folder(tmp_path / "nowhere")
    write(tmp_path)
    write(tmp_path, name="Other")
    with pytest.raises(EcgEdgeError, match="several data sets"):
        read_folder(tmp_path)


def test_ecg5000_must_be_the_official_split(tmp_path: Path) -> None:
    with pytest.raises(EcgEdgeError, match="not the official ECG5000 split"):
        read_folder(write(tmp_path, name="ECG5000"))
    (tmp_path / "ECG5000_TEST.txt").unlink()
    with pytest.raises(EcgEdgeError, match=r"ECG5000_TEST\.txt is missing"):
        read_folder(tmp_path)


def test_a_named_location_is_used_or_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "tiny")
    monkeypatch.setenv("ECGEDGE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(EcgEdgeError, match="nowhere does not exist"):
        finding.load()
    assert finding.load(str(folder))[0].name == "tiny"
    assert finding.load("synthetic")[0].name == "synthetic"
    monkeypatch.setenv("ECGEDGE_DATA", str(folder))
    assert finding.load()[0].name == "tiny"
    with pytest.raises(EcgEdgeError, match="not ecg5000"):
        finding.load("ecg5000")


def test_without_data_and_network_a_warning_and_synthetic_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    monkeypatch.setenv("ECGEDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finding, "ECG5000_URL", "http://127.0.0.1:9/ECG5000.zip")  # nobody listens there
    monkeypatch.chdir(tmp_path)
    data, warning = finding.load()
    assert data.name == "synthetic"
    assert "could not be downloaded" in warning
    assert "synthetic" in warning
    with pytest.raises(EcgEdgeError, match="could not be downloaded"):
        finding.load("ecg5000")
    assert not (tmp_path / "cache" / "ECG5000").exists()


def test_the_digest_sees_beats_and_labels_and_ignores_rounding() -> None:
    x, y = np.ones((4, 1, 3), np.float32), np.array([0, 1, 0, 1])

    def digest(x: np.ndarray, y: np.ndarray) -> str:
        return Dataset("d", Split(x, y), Split(x, y), ("a", "b"), "").digest

    assert digest(x, y) == digest(x + 1e-6, y)
    assert digest(x, y) != digest(x + 1e-3, y)
    assert digest(x, y) != digest(x, y[::-1].copy())
    assert digest(x * 0, y) == digest(-x * 0, y)


def test_stratified_keeps_shares_and_every_class() -> None:
    y = np.sort(np.random.default_rng(0).choice(5, 500, p=[0.58, 0.35, 0.02, 0.04, 0.01]))
    index = stratified(y, 100, seed=1)
    assert len(index) == len(set(index)) == 100
    shares = np.bincount(y[index], minlength=5)
    np.testing.assert_allclose(shares, np.bincount(y) / 5, atol=1.5)
    assert shares.min() >= 1
    np.testing.assert_array_equal(index, stratified(y, 100, seed=1))
    assert not np.array_equal(index, stratified(y, 100, seed=2))
    assert sorted(stratified(y, 9999, seed=0)) == list(range(500))
    for count in range(5, 60):
        assert set(y[stratified(y, count, seed=count)]) == {0, 1, 2, 3, 4}
        assert len(stratified(y, count, seed=count)) == count
    with pytest.raises(EcgEdgeError, match="3 beats cannot hold 5 classes"):
        stratified(y, 3, seed=0)


def test_synthetic_beats_have_the_shares_of_the_test_split(beats: Dataset) -> None:
    counts = np.bincount(beats.test.y)
    assert len(beats.train) == 500
    assert counts.sum() == 4500
    np.testing.assert_allclose(counts, [2627, 1590, 86, 175, 22], atol=4)
    np.testing.assert_allclose(beats.test.x.mean(axis=2), 0, atol=1e-5)
    np.testing.assert_allclose(beats.test.x.std(axis=2, ddof=1), 1, atol=1e-5)
    assert synthetic().digest == beats.digest
    assert synthetic(seed=1).digest != beats.digest


@pytest.mark.parametrize("count", [1, 5, 63, 64, 65, 100, 127, 128, 400, 501])
def test_a_conversion_is_proved_on_beats_from_first_to_last(count: int) -> None:
    beats = np.arange(count, dtype=np.float32).reshape(-1, 1, 1)
    chosen = Context(beats).parity_beats[:, 0, 0]
    assert len(chosen) == len(set(chosen)) == min(count, 64)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    gaps = np.diff(chosen)
    assert gaps.size == 0 or np.ptp(gaps) <= 1
