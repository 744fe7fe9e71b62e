"""Records are cut where their beats are, in pieces that give what the whole gives, and predicted as they were cut."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import signal as reference

from ecgedge import EcgEdgeError
from ecgedge.cli import main
from ecgedge.data.finding import read_path
from ecgedge.data.normalizing import normalized
from ecgedge.data.records import Left, Piece, Recipe, open_record, pieces, way_of
from ecgedge.data.records import cut as cutting
from ecgedge.data.records.detect import detect
from ecgedge.data.records.named import DS1, DS2, NAMED
from ecgedge.data.records.signal import chain_of
from tests.conftest import Command, error_of
from tests.records_made import RATE, Made, write_edf, write_wfdb

wfdb = pytest.importorskip("wfdb")
pytest.importorskip("pyedflib")
STEP = 1 / 200  # millivolts of the format's smallest step


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_wfdb(tmp_path_factory.mktemp("records"), "100", seconds=150)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three records of different people, and an EDF file."""
    folder = tmp_path_factory.mktemp("several")
    for seed, name in enumerate(("100", "101", "201")):
        write_wfdb(folder, name, seconds=70, seed=seed)
    write_edf(folder, "night", seed=9, respiration=True)
    return folder


def cut(path: Path, recipe: Recipe, labelled: bool = True) -> tuple[Piece, str]:
    """All that is cut from a record as one piece, and what was left out."""
    record, left = open_record(path), Left()
    found = list(pieces(record, way_of(record, recipe), left, labelled=labelled))
    labels = tuple(label for piece in found for label in piece.labels)
    x, at = np.concatenate([piece.x for piece in found]), np.concatenate([piece.at for piece in found])
    return Piece(x, at, labels), left.tell()


def test_beats_are_the_samples_around_their_annotations(made: Made) -> None:
    found, left = cut(made.path, Recipe(annotation="atr", before=0.25, after=0.5))
    assert found.at.tolist() == made.peaks.tolist() and found.labels == made.symbols and not left
    assert found.x.shape == (len(made.peaks), 2, 270) and found.x.dtype == np.float32
    for beat, peak in zip(found.x, made.peaks, strict=True):
        assert np.abs(beat - made.x[:, peak - 90 : peak + 180]).max() <= STEP


def test_leads_are_picked_by_name_in_order(made: Made) -> None:
    both, _ = cut(made.path, Recipe(annotation="atr"))
    turned, _ = cut(made.path, Recipe(annotation="atr", leads=("V1", "mlii")))
    assert np.array_equal(turned.x, both.x[:, ::-1])
    with pytest.raises(EcgEdgeError, match="has no lead 'aVF': it has MLII, V1"):
        cut(made.path, Recipe(annotation="atr", leads=("aVF",)))


WAYS = {
    "as it is": Recipe(annotation="atr"),
    "resampled": Recipe(annotation="atr", rate=200),
    "faster": Recipe(annotation="atr", rate=500),
    "an odd rate": Recipe(annotation="atr", rate=257),
    "filtered": Recipe(annotation="atr", filters=("highpass:0.5", "notch:50")),
    "filtered and resampled": Recipe(annotation="atr", filters=("bandpass:0.5-40",), rate=125, normalize=True),
    "segments": Recipe(window=10, stride=3.7, filters=("lowpass:40",), rate=100),
}


@pytest.mark.parametrize("what", WAYS)
def test_pieces_give_what_the_whole_gives(made: Made, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = WAYS[what].window is None
    whole = {}
    for seconds in (7.3, 60.0, 1000.0):
        monkeypatch.setattr(cutting, "PIECE", seconds)
        whole[seconds], _ = cut(made.path, WAYS[what], labelled)
    one = whole[1000.0]
    assert len(one.x)
    for other in whole.values():
        assert other.at.tolist() == one.at.tolist() and other.labels == one.labels
        assert np.abs(other.x - one.x).max() < 1e-5


def test_filters_and_resampling_are_those_of_scipy_on_the_whole_record(made: Made) -> None:
    found, _ = cut(made.path, Recipe(annotation="atr", filters=("highpass:0.5",), rate=200))
    x = open_record(made.path).read([0, 1], 0, made.x.shape[1])
    taps = chain_of(RATE, ("highpass:0.5",), None, "").taps[0]
    padded = np.pad(x, ((0, 0), (len(taps) // 2, len(taps) // 2)), mode="edge")
    whole = reference.resample_poly(reference.fftconvolve(padded, taps[None], mode="valid", axes=1), 5, 9, axis=1)
    for beat, peak in list(zip(found.x, found.at, strict=True))[5:-5]:
        start = round(peak * 200 / RATE) - 60
        assert np.abs(beat - whole[:, start : start + 160]).max() < 1e-5
    frequencies, gains = reference.freqz(taps, fs=RATE, worN=8000)
    assert abs(gains[0]) < 0.01 and abs(abs(gains[np.searchsorted(frequencies, 2)]) - 1) < 0.01


def test_segments_go_from_begin_to_end(made: Made) -> None:
    found, _ = cut(made.path, Recipe(window=10, stride=5), labelled=False)
    assert (found.at / RATE).tolist() == [5.0 * number for number in range(29)]
    assert found.x.shape == (29, 2, 3600)
    assert np.abs(found.x[3] - made.x[:, 5400:9000]).max() <= STEP


def test_rhythms_are_the_classes_of_segments(tmp_path: Path) -> None:
    made = write_wfdb(tmp_path, "rhythms", seconds=60, rhythms=True)
    found, left = cut(made.path, Recipe(annotation="atr", window=10, stride=4))
    assert set(found.labels) == {"N", "AFIB"}
    assert all((label == "N") == (at < 30 * RATE) for label, at in zip(found.labels, found.at, strict=True))
    assert "2 segments in which the rhythm changes" in left
    none = write_wfdb(tmp_path, "none", seconds=20)
    with pytest.raises(EcgEdgeError, match="tell no rhythm"):
        cut(none.path, Recipe(annotation="atr", window=10))


def test_missing_samples_are_left_out_with_all_that_depends_on_them(tmp_path: Path) -> None:
    made = write_wfdb(tmp_path, "gap", seconds=60)
    x = made.x.T.copy()
    x[7200:7400, 1] = np.nan
    wfdb.wrsamp("gap", fs=RATE, units=["mV"] * 2, sig_name=["II", "V1"], p_signal=x, fmt=["16"] * 2,
                write_dir=str(tmp_path))  # fmt: skip
    for recipe, margin in ((Recipe(annotation="atr"), 0), (Recipe(annotation="atr", filters=("highpass:1",)), 500)):
        found, left = cut(made.path, recipe)
        near = (made.peaks + 180 > 7200 - margin) & (made.peaks - 108 < 7400 + margin)
        assert f"{len(made.peaks) - len(found.at)} beats near missing samples" in left
        assert np.isfinite(found.x).all() and not set(made.peaks[near]) & set(found.at.tolist())
        assert set(found.at.tolist()) >= set(made.peaks[(made.peaks < 5000) | (made.peaks > 9500)].tolist())


def test_peaks_are_found_where_beats_are(made: Made) -> None:
    record = open_record(made.path)
    found = detect(record, 0, 0, record.length)
    near = [np.abs(found - peak).min() <= 3 for peak in made.peaks]
    assert np.mean(near) > 0.97 and abs(len(found) - len(made.peaks)) <= 4
    beats, _ = cut(made.path, Recipe(annotation="atr", detect=True))
    known = dict(zip(made.peaks.tolist(), made.symbols, strict=True))
    right = [known[min(known, key=lambda peak: abs(peak - at))] == label for at, label in zip(beats.at, beats.labels)]
    assert all(right) and len(right) > 0.95 * len(known)


def test_an_edf_file_gives_its_beats_and_leaves_out_what_is_no_voltage(folder: Path) -> None:
    made = write_edf(folder.parent, "alone", seed=9)
    record = open_record(folder / "night.edf")
    assert record.leads == ("II", "V1") and record.rate == 256 and "Resp" in record.told[0]
    found, _ = cut(folder / "night.edf", Recipe(annotation="edf", before=0.25, after=0.5))
    assert found.labels == made.symbols and np.abs(found.at - made.peaks).max() <= 1
    for beat, peak in zip(found.x, found.at, strict=True):
        assert np.abs(beat - made.x[:, peak - 64 : peak + 128]).max() < 1e-3


def test_a_data_set_is_cut_and_keeps_its_recipe(ecgedge: Command, folder: Path, tmp_path: Path) -> None:
    asked = ("data", "cut", folder / "100", folder / "101.hea", folder / "201", "--annotation", "atr")
    told = ecgedge(*asked, "--resample", "200", "--filter", "highpass:0.5", "-o", "a.npz")
    assert told.code == 0, told.err
    assert re.search(r"a.npz: \d+ beats of 160 samples at 200 a second", told.out)
    data, _ = read_path(tmp_path / "a.npz")
    assert data.lead_names == ("MLII", "V1") and data.labels == ("A", "N", "V")
    assert {*data.train.groups, *data.test.groups} == {"100", "101", "201"}
    assert not {*data.train.groups} & {*data.test.groups}
    recipe = Recipe.from_json(data.recipe, "a.npz")
    assert recipe == Recipe(annotation="atr", rate=200, filters=("highpass:0.5",))
    shown = ecgedge("data", "show", "a.npz")
    assert "beats of 0.3 s before and 0.5 s after annotations atr, 200 samples a second, filters highpass" in shown.out
    again = ecgedge(*asked, "--resample", "200", "--filter", "highpass:0.5", "-o", "b.npz")
    assert again.code == 0 and (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_recipe_is_part_of_the_digest(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).standard_normal((40, 9)), np.arange(40) % 2
    digests = set()
    for number, recipe in enumerate(("", Recipe(annotation="atr").as_json(), Recipe(detect=True).as_json())):
        np.savez(tmp_path / f"{number}.npz", x=x, y=y, recipe=np.array(recipe))
        digests.add(read_path(tmp_path / f"{number}.npz")[0].digest)
    assert len(digests) == 3


def test_classes_of_a_list_or_a_file_and_a_test_part(ecgedge: Command, folder: Path, tmp_path: Path) -> None:
    told = ecgedge("data", "cut", folder / "100", folder / "101", "--annotation", "atr", "--classes", "aami",
                   "--test", "101", "-o", "a.npz")  # fmt: skip
    assert told.code == 0, told.err
    data, warning = read_path(tmp_path / "a.npz")
    assert data.labels == ("N", "S", "V") and not warning
    assert {*data.train.groups} == {"100"} and {*data.test.groups} == {"101"}
    (tmp_path / "two.csv").write_text("N,normal\nV,ectopic\n")
    told = ecgedge("data", "cut", folder / "100", "--annotation", "atr", "--classes", "two.csv", "-o", "b.npz")
    assert told.code == 0 and "beats annotated A, which has no class" in told.err
    assert read_path(tmp_path / "b.npz")[0].labels == ("ectopic", "normal")


def test_the_class_of_a_whole_record(ecgedge: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rhythm.csv").write_text("100,sinus\n101,afib\n201,sinus\n")
    asked = ("data", "cut", folder / "100", folder / "101", folder / "201", "--label-file", "rhythm.csv")
    told = ecgedge(*asked, "--window", "10", "--resample", "100", "-o", "a.npz")
    assert told.code == 0, told.err
    data, _ = read_path(tmp_path / "a.npz")
    assert data.labels == ("afib", "sinus") and data.length == 1000
    assert len(data.train) + len(data.test) == 21
    told = ecgedge(*asked, "--detect", "-o", "b.npz")
    assert told.code == 0 and read_path(tmp_path / "b.npz")[0].labels == ("afib", "sinus")


def test_the_recipe_of_mit_bih(ecgedge: Command, tmp_path: Path) -> None:
    assert len(DS1.split()) == len(DS2.split()) == 22 and not {*DS1.split()} & {*DS2.split()}
    assert not {"102", "104", "107", "217"} & {*DS1.split(), *DS2.split()}  # paced
    records = tmp_path / "mitdb"
    records.mkdir()
    for seed, name in enumerate([*DS1.split(), *DS2.split(), "102"]):
        leads = ("V5", "MLII") if name == "114" else ("MLII", "V1") if name != "102" else ("V5", "V2")
        write_wfdb(records, name, seconds=12, seed=seed, leads=leads)
    told = ecgedge("data", "cut", "mitdb", "--recipe", "mitbih-aami", "--resample", "200", "-o", "a.npz")
    assert told.code == 0, told.err
    data, _ = read_path(tmp_path / "a.npz")
    assert {*data.train.groups} == {*DS1.split()}
    assert {*data.test.groups} == {*DS2.split()} - {"202"} | {"201"}  # one man, who is said to be in both parts
    assert data.lead_names == ("MLII",) and {*data.labels} <= {"N", "S", "V", "F", "Q"}
    assert "1 patient is in both parts (201)" in ecgedge("data", "show", "a.npz").err
    (records / "232.hea").unlink()
    gone = ecgedge("data", "cut", "mitdb", "--recipe", "mitbih-aami")
    assert gone.code == 2 and "1 of the 44 records of this recipe are not there: 232" in gone.err
    assert NAMED["mitbih-aami"].recipe.classes["e"] == "N"


@pytest.fixture
def trained(ecgedge: Command, folder: Path, fakes: Path, tmp_path: Path) -> Path:
    """A fake of beats that were cut: its checkpoint."""
    from ecgedge.testing import write_fake_checkpoint

    told = ecgedge("data", "cut", folder / "100", folder / "101", "--annotation", "atr", "--leads", "MLII",
                   "--resample", "175", "--normalize", "-o", "one.npz")  # fmt: skip
    assert told.code == 0, told.err
    return write_fake_checkpoint(tmp_path / "cut-fake", read_path(tmp_path / "one.npz")[0])


def table(text: str) -> list[dict[str, str]]:
    head, *lines = [line.split(",") for line in text.splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_a_record_is_answered_as_the_data_set_that_was_cut_from_it(
    ecgedge: Command, folder: Path, fakes: Path, trained: Path, tmp_path: Path
) -> None:
    asked = ("--plugins-dir", fakes, "predict", trained, "--runtime", "fake-runtime")
    streamed = ecgedge(*asked, folder / "201", "--like", "one.npz", "--annotations-out", "201.net")
    assert streamed.code == 0, streamed.err
    assert re.search(r"\d+ answers; 70 s of 201 in .* times real time", streamed.err)
    cut = ecgedge("data", "cut", folder / "201", "--annotation", "atr", "--leads", "MLII", "--resample", "175",
                  "--normalize", "-o", "other.npz")  # fmt: skip
    assert cut.code == 0
    batch = ecgedge(*asked, "other.npz")
    assert batch.code == 0, batch.err
    rows, known = table(streamed.out), table(batch.out)
    assert [(row["class"], row["probability"]) for row in rows] == [(row["class"], row["probability"]) for row in known]
    with np.load(tmp_path / "other.npz") as other:
        assert [float(row["seconds"]) for row in rows] == pytest.approx(other["seconds"].tolist(), abs=5e-4)
    written = wfdb.rdann(str(tmp_path / "201"), "net")
    assert written.sample.tolist() == [int(row["sample"]) for row in rows]
    assert written.symbol == [row["class"] for row in rows] and written.fs == RATE


def test_the_recipe_travels_with_a_checkpoint(
    ecgedge: Command, folder: Path, fakes: Path, trained: Path, tmp_path: Path
) -> None:
    told = json.loads((trained / "model.json").read_text())
    told["training"]["data"]["recipe"] = read_path(tmp_path / "one.npz")[0].recipe
    (trained / "model.json").write_text(json.dumps(told))
    asked = ("--plugins-dir", fakes, "predict", trained, "--runtime", "fake-runtime", folder / "201")
    kept, like = ecgedge(*asked), ecgedge(*asked, "--like", "one.npz")
    assert kept.code == 0, kept.err
    assert kept.out == like.out
    found = table(ecgedge(*asked, "--detect").out)
    assert abs(len(found) - len(table(kept.out))) <= 2
    segments = table(ecgedge(*asked, "--stride", "2").out)
    assert [float(row["seconds"]) for row in segments[:3]] == [0, 2, 4]


def test_beats_that_are_cut_otherwise_than_for_training_are_told(
    ecgedge: Command, folder: Path, fakes: Path, tmp_path: Path
) -> None:
    """Of the same length, so that nothing else tells: as a data set, and as a record that is cut on the way."""
    cut = ("data", "cut", folder / "100", folder / "101", "--annotation", "atr", "--leads", "MLII")
    other = ("--resample", "125", "--before", "0.64", "--after", "0.64", "--filter", "highpass:0.5")
    assert (
        ecgedge(*cut, "--resample", "200", "-o", "one.npz").code == ecgedge(*cut, *other, "-o", "other.npz").code == 0
    )
    asked = ("--plugins-dir", fakes)
    assert ecgedge(*asked, "train", "fake", "--dataset", "one.npz", "--out", "net").code == 0
    told = "0.64 s before and 0.64 s after instead of 0.3 s before and 0.5 s after, 125 samples a second instead of 200"
    for command in (("evaluate", "net", "--dataset", "other.npz"), ("predict", "net", folder / "201", *other)):
        done = ecgedge(*asked, *command)
        assert done.code == 0 and f"{told} samples a second, filters highpass:0.5 instead of no filters" in done.err
    for command in (("evaluate", "net", "--dataset", "one.npz"), ("predict", "net", folder / "201", "--detect")):
        done = ecgedge(*asked, *command)
        assert done.code == 0 and "are cut differently" not in done.err
    refused = ecgedge(*asked, "predict", "net", folder / "201", "--normalize")
    assert refused.code == 2 and "not z-normalised" in refused.err


def test_a_record_is_normalised_as_the_beats_were_for_training(ecgedge: Command, folder: Path, tmp_path: Path) -> None:
    """Beats cut as they are and normalised by ``train --normalize`` are those of ``data cut --normalize``."""
    asked = ("data", "cut", folder / "100", folder / "101", "--annotation", "atr")
    assert ecgedge(*asked, "-o", "raw.npz").code == ecgedge(*asked, "--normalize", "-o", "z.npz").code == 0
    raw, z = read_path(tmp_path / "raw.npz")[0], read_path(tmp_path / "z.npz")[0]
    here = normalized(raw)
    assert (here.recipe, here.digest) == (z.recipe, z.digest)
    assert here.recipe != raw.recipe


def test_a_record_is_normalised_as_the_model_says_whatever_it_is_cut_like(
    ecgedge: Command, folder: Path, fakes: Path, tmp_path: Path
) -> None:
    cut = ("data", "cut", folder / "100", folder / "101", "--annotation", "atr", "--leads", "MLII", "--resample", "175")
    assert ecgedge(*cut, "-o", "raw.npz").code == 0
    asked = ("--plugins-dir", fakes)
    trained = ecgedge(*asked, "train", "fake", "--dataset", "raw.npz", "--normalize", "--out", "net")
    assert trained.code == 0, trained.err
    kept, like, said = (
        ecgedge(*asked, "predict", "net", folder / "201", *more)
        for more in ((), ("--like", "raw.npz"), ("--like", "raw.npz", "--normalize"))
    )
    assert kept.code == like.code == said.code == 0, kept.err + like.err
    assert kept.out == like.out == said.out


REFUSED = {
    "no place of beats": (("201", "--leads", "MLII"), "where are its beats?", "--detect"),
    "another length": (("201", "--leads", "MLII", "--detect"), "288 samples at 360 a second", "--resample 175"),
    "other leads": (("201", "--detect"), "takes beats of 1 lead, and 201 has MLII, V1", "--leads"),
    "columns": (("201", "--detect", "--label-column", "last"), "is a record: it has no columns", "leave"),
    "no record": (("one.npz", "--detect"), "is no record: --detect has no place", "record"),
    "no such file": (("201", "--like", "nope.npz"), "does not exist", "ecgedge data cut"),
    "a name": (("201", "--detect", "--annotations-out", "a b.c1"), "cannot be a WFDB annotation file", "RECORD"),
    "missing": (("nothing.hea", "--detect"), "nothing.hea does not exist", "name records"),
    "two ways": (("201", "--like", "one.npz", "--annotation", "qrs"), "201.qrs does not exist", "--detect"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_predict_asks_for_what_it_cannot_know(
    ecgedge: Command, folder: Path, fakes: Path, trained: Path, what: str
) -> None:
    options, message, hint = REFUSED[what]
    place = folder / options[0] if options[0] == "201" else options[0]
    told = ecgedge("--plugins-dir", fakes, "predict", trained, place, "--runtime", "fake-runtime", *options[1:])
    assert message in error_of(told) and hint in told.err and told.code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "where are the beats?"),
        (("--detect",), "the beats that are detected have no class"),
        (("--annotation", "qrs"), "100.qrs does not exist: the record has no annotations of that name; beside it: atr"),
        (("--annotation", "../atr"), "is no suffix"),
        (("--annotation", "atr", "--leads", "X"), "has no lead 'X': it has MLII, V1"),
        (("--annotation", "atr", "--filter", "highpass:400"), "frequencies must be below 180 Hz"),
        (("--annotation", "atr", "--filter", "magic"), "--filter 'magic': no such filter"),
        (("--annotation", "atr", "--resample", "0.3"), "cannot be brought to 0.3"),
        (("--annotation", "atr", "--classes", "other"), "--classes other: no such classes"),
        (("--annotation", "atr", "--test", "999"), "--test names 999"),
        (("--annotation", "atr", "--test", "100"), "--test leaves no record to train on"),
        (("--annotation", "atr", "--recipe", "x"), "no such recipe"),
        (("--stride", "5"), "--stride is that of segments"),
        (("--window", "10"), "of which class are its segments?"),
        (("--window", "10", "--detect"), "leave one of them out"),
        (("--annotation", "atr", "--before", "0", "--after", "0"), "0 s cannot be cut"),
        (("--annotation", "atr", "--before", "40", "--after", "60"), "nothing could be cut from 100"),
    ],
)
def test_cut_asks_for_what_it_cannot_know(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path, options: tuple[str, ...], message: str
) -> None:
    asked = ["data", "cut", str(folder / "100"), *options, "-o", str(tmp_path / "x.npz")]
    assert main.main(asked, standalone_mode=False) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith("Error:") and message in told and "Traceback" not in told
    assert not (tmp_path / "x.npz").exists()


def test_records_are_cut_before_they_are_a_data_set(ecgedge: Command, folder: Path) -> None:
    for place, what in (
        (folder, "holds records"),
        (folder / "100", "is a record"),
        (folder / "night.edf", "is a record"),
    ):
        told = ecgedge("data", "show", place)
        assert told.code == 2 and f"{what}, which are no beats yet" in told.err and "ecgedge data cut" in told.err
