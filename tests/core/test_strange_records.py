"""Records of strangers: cut, lying, mutated. Each is read, or refused in one line; nothing hangs or asks for much."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ecgedge import EcgEdgeError
from ecgedge.data.records import Left, Recipe, open_record, pieces, records_in, way_of
from ecgedge.data.records.annotations import read_annotations
from tests.records_made import write_edf, write_wfdb

wfdb = pytest.importorskip("wfdb")
pytest.importorskip("pyedflib")
EXAMPLES = 60  # of each kind of file


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    write_wfdb(folder, "r", seconds=12)
    write_edf(folder, "e", seconds=12)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "f")
    return tmp_path / "f"


def use(path: Path, annotation: str) -> int:
    """How many beats a record gives: all that a command does with it."""
    record = open_record(path)
    found = pieces(record, way_of(record, Recipe(annotation=annotation, rate=200)), Left())
    return sum(len(piece.x) for piece in found)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(name: str, *edits: tuple[str, str]) -> Callable[[Path], None]:
    def done(folder: Path) -> None:
        for old, new in edits:
            edit(folder / name, old, new)

    return done


WRONG: dict[str, tuple[Callable[[Path], None], str, str]] = {  # what is done to the record, which, what is said
    "a signal file that is cut": (lambda f: halve(f / "r.dat"), "r", "r.dat has 6,480 bytes, and 12,960 by the header"),
    "a header that says more": (spoil("r.hea", ("360 4320", "360 9999999")), "r", "bytes by the header|by the header"),
    "a signal file that is missing": (lambda f: (f / "r.dat").unlink(), "r", "r.dat does not exist"),
    "no annotations": (lambda f: (f / "r.atr").unlink(), "r", "r.atr does not exist"),
    "no header": (lambda f: (f / "r.hea").unlink(), "r", "r.hea does not exist"),
    "an empty header": (lambda f: (f / "r.hea").write_text(""), "r", "cannot be read"),
    "a rate of none": (spoil("r.hea", ("r 2 360", "r 2 0")), "r", "0 samples a second"),
    "a rate of light": (spoil("r.hea", ("r 2 360", "r 2 30000")), "r", "30000 samples a second"),
    "a gain of one": (spoil("r.hea", ("200.0(0)/mV", "0.001(0)/mV")), "r", "reaches .* mV"),
    "a negative gain": (spoil("r.hea", ("200.0(0)/mV", "-200.0(0)/mV")), "r", "has the gain -200|cannot be read"),
    "a unit of pressure": (spoil("r.hea", ("/mV", "/mmHg")), "r", "has no lead in volts"),
    "a file elsewhere": (spoil("r.hea", ("r.dat", "../f/r.dat")), "r", "does not lie beside it|cannot be read"),
    "a file of the system": (spoil("r.hea", ("r.dat", "/etc/passwd")), "r", "does not lie beside it|cannot be read"),
    "a file on the network": (spoil("r.hea", ("r.dat", "s3://a/r.dat")), "r", "does not lie beside it|cannot be read"),
    "a format that is none": (spoil("r.hea", ("212", "999")), "r", "cannot be read"),
    "no length": (spoil("r.hea", ("r 2 360 4320", "r 2 360")), "r", "by its files there are 4,320"),
    "billions of signals": (spoil("r.hea", ("r 2 360", "r 2000000000 360")), "r", "cannot be read"),
    "no samples": (spoil("r.hea", ("360 4320", "360 0"), ("r.dat", "~")), "r", "has no samples|cannot be read"),
    "an empty annotation file": (lambda f: (f / "r.atr").write_bytes(b""), "r", "atr is a WFDB annotation"),
    "an EDF file that is cut": (lambda f: halve(f / "e.edf"), "e.edf", "bytes, and .* by its header"),
    "an EDF header alone": (lambda f: (f / "e.edf").write_bytes((f / "e.edf").read_bytes()[:200]), "e.edf", "e.edf"),
    "an EDF file of text": (lambda f: (f / "e.edf").write_text("beat,1,2\n" * 99), "e.edf", "e.edf is an EDF file"),
    "a folder": (lambda f: (f / "d.edf").mkdir(), "d.edf", "does not exist"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_record_is_one_line(folder: Path, what: str) -> None:
    change, name, message = WRONG[what]
    change(folder)
    with pytest.raises(EcgEdgeError, match=message) as caught:
        use(folder / name, "edf" if name.endswith("edf") else "atr")
    assert "\n" not in caught.value.message and len(caught.value.message) < 400 and caught.value.hint


def test_a_gain_that_is_not_told_is_that_of_the_standard_and_said(folder: Path) -> None:
    edit(folder / "r.hea", "200.0(0)/mV", "0(0)/mV")
    assert "200 units a millivolt are assumed" in " ".join(open_record(folder / "r").told)


def test_microvolts_and_volts_are_millivolts(folder: Path) -> None:
    known = open_record(folder / "r").read([0, 1], 0, 400)
    edit(folder / "r.hea", "200.0(0)/mV", "0.2(0)/uV")
    assert np.abs(open_record(folder / "r").read([0, 1], 0, 400) - known).max() < 1e-9


def test_a_record_without_any_beat(folder: Path) -> None:
    wfdb.wrann("r", "atr", np.array([100]), symbol=["+"], aux_note=["(N"], write_dir=str(folder))
    assert use(folder / "r", "atr") == 0


def test_annotations_are_read_as_wfdb_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = np.cumsum(rng.integers(1, 90_000, 300))  # some further apart than one word can say
    symbols = rng.choice([*"NLRaVFJASEj/Q~|sT*D=pB^tu?![]en@xf()r"], 300).tolist()
    notes = [f"(N{number}" if number % 7 == 0 else "" for number in range(300)]
    symbols = ["+" if note else symbol for symbol, note in zip(symbols, notes, strict=True)]
    wfdb.wrann("a", "atr", samples, symbol=symbols, aux_note=notes, subtype=rng.integers(0, 9, 300), fs=360,
               chan=rng.integers(0, 3, 300), num=rng.integers(0, 3, 300), write_dir=str(tmp_path))  # fmt: skip
    found, known = read_annotations(tmp_path / "a.atr"), wfdb.rdann(str(tmp_path / "a"), "atr")
    assert [each[0] for each in found] == known.sample.tolist() == samples.tolist()
    assert [each[1] for each in found] == known.symbol == symbols
    assert [each[2] for each in found] == [note.rstrip("\0") for note in known.aux_note] == notes


def test_annotations_that_keep_wfdb_in_a_loop_without_end(folder: Path) -> None:
    wfdb.wrann("r", "atr", np.array([0, 700]), symbol=['"', "N"], aux_note=["## no definition", ""],
               write_dir=str(folder))  # fmt: skip
    assert use(folder / "r", "atr") == 1


def test_annotations_of_another_record(folder: Path) -> None:
    wfdb.wrann("r", "atr", np.array([10**6, 10**6 + 9]), symbol=["N", "N"], write_dir=str(folder))
    with pytest.raises(EcgEdgeError, match="begin at sample 1,000,000 of 4,320"):
        use(folder / "r", "atr")


def test_which_records_a_folder_has(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in records_in([folder])] == ["r.hea", "e.edf"]
    (folder / "RECORDS").write_text("r\n")
    assert [path.name for path in records_in([folder])] == ["r"]
    (folder / "RECORDS").write_text("../../r\n")
    with pytest.raises(EcgEdgeError, match="not in the folder"):
        records_in([folder])
    (tmp_path / "empty").mkdir()
    with pytest.raises(EcgEdgeError, match="holds no records"):
        records_in([tmp_path / "empty"])
    with pytest.raises(EcgEdgeError, match="two records are called r"):
        records_in([folder / "r.hea", tmp_path / "r"])


def test_a_record_of_several_segments(tmp_path: Path) -> None:
    for number in (1, 2):
        write_wfdb(tmp_path, f"s{number}", seconds=12, seed=number)
    (tmp_path / "m.hea").write_text("m/2 2 360 8640\ns1 4320\ns2 4320\n")
    record = open_record(tmp_path / "m")
    assert (record.length, record.leads) == (8640, ("MLII", "V1"))
    parts = [open_record(tmp_path / f"s{number}").read([0, 1], 0, 4320) for number in (1, 2)]
    assert np.array_equal(record.read([0, 1], 0, 8640), np.concatenate(parts, axis=1))
    assert [path.name for path in records_in([tmp_path])] == ["m.hea"]


FILES = {"r.hea": ("r", "atr"), "r.atr": ("r", "atr"), "r.dat": ("r", "atr"), "e.edf": ("e.edf", "edf")}
WORDS = (
    b"0",
    b"-1",
    b"9999999999",
    b"nan",
    b"1e308",
    b"/",
    b"(",
    b"~",
    b"\x00",
    b"\xff",
    b" ",
    b"\n",
    b"212",
    b"mV",
    b"+",
)


@pytest.mark.parametrize("name", FILES)
def test_a_mutated_file_is_read_or_refused(sound: Path, folder: Path, name: str) -> None:
    whole, counts = (sound / name).read_bytes(), [0, 0]

    @seed(0)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def tries(draw: st.DataObject) -> None:
        content = bytearray(whole)
        for _ in range(draw.draw(st.integers(1, 4))):
            at = draw.draw(st.integers(0, min(len(content), 2000)))
            if draw.draw(st.booleans()):
                content[at : at + draw.draw(st.integers(0, 3))] = draw.draw(st.sampled_from(WORDS))
            elif draw.draw(st.booleans()):
                del content[at : at + draw.draw(st.integers(1, 400))]
            elif at < len(content):
                content[at] ^= draw.draw(st.integers(1, 255))
        (folder / name).write_bytes(content)
        record, annotation = FILES[name]
        try:
            use(folder / record, annotation)
            counts[0] += 1
        except EcgEdgeError as error:
            assert error.message and "\n" not in error.message and len(error.message) < 400
            counts[1] += 1

    tries()
    assert counts[0] + counts[1] >= EXAMPLES * 0.9 and min(counts) + (name == "r.dat") > 0
