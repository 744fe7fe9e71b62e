"""Tables of beats as other people write them: the very same numbers and labels are read back, or one line says why not.

The tables are written by Python's ``csv`` module and by hand as spreadsheets, pandas, R and NumPy write them, from
beats and labels that are known; what is read is held against those.
"""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ecgedge import EcgEdgeError
from ecgedge.data.dataset import Dataset
from ecgedge.data.finding import read_path
from ecgedge.data.readers import Columns, numbers, text
from tests.conftest import Command, error_of

EXAMPLES = 250
SMALLEST = numbers.LARGE
WORDS = ("normal", "pvc", "all well", "a, b", 'the "big" one', "Über")


@dataclass(frozen=True)
class Written:
    """A table, and what is in it.

    Attributes:
        labels: as they must be read.
        x: beats ``(N, L)`` float32.
        plain: every reader has to manage it.
    """

    raw: bytes
    suffix: str
    labels: list[str]
    x: np.ndarray
    plain: bool


@st.composite
def written(draw: st.DrawFn) -> Written:
    """A table in one of many dialects. Its labels come two by two at least; its samples are fractions or whole."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    length, classes = draw(st.integers(2, 14)), draw(st.integers(2, 4))
    count = classes * draw(st.integers(2, 6)) + draw(st.integers(0, 1))
    whole = draw(st.booleans())
    x = [[chance.randint(-500, 500) if whole else round(chance.gauss(0, 2), 4) for _ in range(length)]
         for _ in range(count)]  # fmt: skip
    kind = draw(st.sampled_from(["words", "counted", "floats"]))
    names = {"words": chance.sample(WORDS, 4), "counted": ["0", "1", "2", "3"], "floats": ["1.0", "2.0", "3.0", "4.0"]}[
        kind
    ]
    order = [names[i % classes] for i in range(count)]
    chance.shuffle(order)
    separator = draw(st.sampled_from([",", ";", "\t", "|", " "]))
    comma = separator != "," and draw(st.booleans())
    header = draw(st.sampled_from(["", "named", "unnamed label", "numbers"]))
    at = draw(st.sampled_from([0, length, length, length // 2])) if header == "named" else draw(
        st.sampled_from([0, length])
    )  # fmt: skip
    index = draw(st.sampled_from(["", "", "running", "from 1", "shuffled"])) if header else ""

    number = (lambda value: str(value).replace(".", ",")) if comma else str
    told = {"named": draw(st.sampled_from(["label", "Class", "target", "y", "DIAGNOSIS"])), "numbers": str(at)}
    heads = [f"{draw(st.sampled_from(['s', 't_', 'x']))}{i}" for i in range(length)]
    heads = [f"{heads[0].rstrip('0')}{i}" for i in range(length)]
    if header == "numbers":
        heads = [str(i + (i >= at)) for i in range(length)]
    heads.insert(at, told.get(header, "rhythm"))
    rows = [[*map(number, beat[:at]), number(label), *map(number, beat[at:])] for beat, label in zip(x, order)]
    if index:
        numbers = list(range(1, count + 1)) if index == "from 1" else list(range(count))
        if index == "shuffled":
            chance.shuffle(numbers)
        heads, rows = ["", *heads], [[str(i), *row] for i, row in zip(numbers, rows)]
    text = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n")
    writer.writerows([heads, *rows] if header else rows)
    content = text.getvalue()
    if draw(st.integers(0, 5)) == 0 and separator != " ":  # a separator ends each line
        content = "".join(f"{line}{separator}\n" for line in content.splitlines())
    ends = draw(st.sampled_from(["\n", "\r\n", "\r", "mixed", "none"]))
    if ends == "none":
        content = content.rstrip("\n")
    elif ends == "mixed":
        content = "".join(line + chance.choice(["\n", "\r\n", "\n\n"]) for line in content.splitlines())
    else:
        content = content.replace("\n", ends)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    labels = [name.removesuffix(".0") for name in order]
    suffix = draw(st.sampled_from([".csv", ".txt", ".tsv"]))
    plain = header == "named" and separator != " " and encoding != "cp1252" and count >= 4
    plain &= quoting == csv.QUOTE_MINIMAL and not (comma and whole)
    return Written(content.encode(encoding), suffix, labels, np.array(x, np.float32), plain)


def beats_and_labels(data: Dataset) -> list[tuple[bytes, str]]:
    """All beats with their labels, in an order of their own: the split shuffles them."""
    found = [
        (beat.tobytes(), data.labels[y]) for part in (data.train, data.test) for beat, y in zip(part.x[:, 0], part.y)
    ]
    return sorted(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def test_the_same_numbers_and_labels_or_one_line(folder: Path) -> None:
    read, refused = [], []

    @seed(0)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(written())
    def held(table: Written) -> None:
        path = folder / f"table{table.suffix}"
        path.write_bytes(table.raw)
        try:
            data, _ = read_path(path)
        except EcgEdgeError as error:
            refused.append(error.message)
            assert not table.plain, error.message
            assert error.hint and len(error.message) < 300 and "\n" not in error.message
            return
        read.append(table)
        known = sorted((beat.tobytes(), label) for beat, label in zip(table.x, table.labels))
        assert beats_and_labels(data) == known
        assert "label in column" in data.told

    held()
    assert len(read) > 0.85 * EXAMPLES, sorted(set(refused))


def test_a_large_table_of_numbers_is_read_as_if_it_were_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table counts as large here: those of numbers alone go another way, to the same beats or the same line."""
    quick = []

    def counted(path: Path) -> numbers.Numbers | None:
        found = numbers.read_numbers(path)
        quick.append(found is not None)
        return found

    monkeypatch.setattr(text, "read_numbers", counted)

    @seed(1)
    @settings(max_examples=EXAMPLES // 2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(written(), st.sampled_from([Columns(), Columns("last"), Columns(group="1"), Columns("1", ("2",))]))
    def held(table: Written, asked: Columns) -> None:
        path = folder / f"large{table.suffix}"
        path.write_bytes(table.raw)
        found = []
        for size in (numbers.LARGE, 0):
            monkeypatch.setattr(numbers, "LARGE", size)
            try:
                part = text.read_text(path, asked)
                found.append((part.labels, part.x.tobytes(), part.x.shape, part.layout, part.groups))
            except EcgEdgeError as error:
                found.append((error.message, error.hint))
            finally:
                monkeypatch.setattr(numbers, "LARGE", SMALLEST)
        assert found[0] == found[1]

    held()
    assert sum(quick) > 10


@pytest.mark.parametrize("told", ["nan", "1_0", "1e39", "", "x", "'1'", "1,2"])
def test_what_is_wrong_in_a_large_table_is_told_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    body = ["0.5,-1.25,0.75,1", "1.5,2.25,0.25,2"] * 300
    body[500] = f"0.5,{told},0.25,2"
    (tmp_path / "large.csv").write_text("\n".join(body))
    found = []
    for size in (numbers.LARGE, 0):
        monkeypatch.setattr(numbers, "LARGE", size)
        try:
            part = text.read_text(tmp_path / "large.csv", Columns("last"))
            found.append((part.labels, part.x.tolist()))
        except EcgEdgeError as error:
            found.append((error.message, error.hint))
    assert found[0] == found[1]
    assert told == "'1'" or "line 501, column" in found[0][0]


def test_parts_in_small_letters(tmp_path: Path) -> None:
    """As the files of a well-known data set of heartbeats are called."""
    (tmp_path / "hearts_train.csv").write_text(lines("", "{x},{y}"))
    (tmp_path / "hearts_test.csv").write_text(lines("", "{x},{y}", 6))
    for place in (tmp_path, tmp_path / "hearts_train.csv"):
        data, warning = read_path(place)
        assert (data.name, len(data.train), len(data.test), warning) == ("hearts", 12, 6, "")


BEATS = np.random.default_rng(7).normal(0, 1, (12, 5)).round(3)
SAME = [(beat, f"{i % 3}") for i, beat in enumerate(BEATS.tolist())]


def lines(head: str, row: str, count: int = 12) -> str:
    """A table of the same beats: ``row`` with their samples ``{x}``, label ``{y}``, number ``{i}``."""
    made = [
        row.format(x=row_of(beat, row), y=y, i=i, p=f"p{i // 2}", bit=",".join("01"[int(y) == k] for k in range(3)))
        for i, (beat, y) in enumerate(SAME[:count])
    ]
    return "\n".join([*([head] if head else []), *made, ""])


def row_of(beat: list[float], row: str) -> str:
    return ",".join(f"{value:g}" for value in beat)


S = "s0,s1,s2,s3,s4"
READ = {
    "pandas, an index, the label last": (lines(f",{S},label", "{i},{x},{y}"), Columns()),
    "pandas, an index with the name of its first version": (lines(f"Unnamed: 0,{S},label", "{i},{x},{y}"), Columns()),
    "pandas, columns without names": (lines("0,1,2,3,4,5", "{x},{y}"), Columns()),
    "no header, an index, the label last": (lines("", "{i},{x},{y}"), Columns()),
    "an index from 1, called so": (lines(f"id,{S},label", "{i},{x},{y}").replace("\n0,", "\n12,"),
     Columns(ignore=("id",))),
    "R, row names without a name": (lines('"s0" "s1" "s2" "s3" "s4" "label"', '"r{i}",{x},"{y}"').replace(",", " "),
                                    Columns(ignore=("1",))),
    "NumPy, a header behind #": (lines(f"# label,{S}", "{y},{x}"), Columns()),
    "NumPy, a comment behind #": (lines("# made on a Monday", "{y},{x}"), Columns()),
    "a spreadsheet that says its separator": ("sep=;\n" + lines(f"{S},label", "{x},{y}").replace(",", ";"), Columns()),
    "the label in the middle, by name": (lines("s0,s1,class,s2,s3,s4", "{x},{y}"), Columns("last", ())),
    "codes in a column that is not called as samples are": (lines(f"{S},rhythm", "{x},{y}"), Columns()),
    "names that come twice": (lines("s,s,s,s,s,label", "{x},{y}"), Columns()),
    "words of patients, left out by name": (lines(f"patient,{S},label", "{p},{x},{y}"), Columns(ignore=("patient",))),
    "words of patients, left out by number": (lines("", "{p},{x},{y}"), Columns("last", ("1",))),
    "two columns left out": (lines(f"a,b,{S},label", "{p},{i},{x},{y}"), Columns(ignore=("a", "2"))),
    "one-hot labels, left out": (lines(f"N,S,V,{S},label", "{bit},{x},{y}"), Columns(ignore=("N", "S", "V"))),
    "a number that is a name, too, as a number": (lines("0,1,2,3,4,5", "{y},{x}"), Columns(":1")),
}  # fmt: skip


@pytest.mark.parametrize("what", READ)
def test_tables_of_other_people_are_read(tmp_path: Path, what: str) -> None:
    content, columns = READ[what]
    if what.startswith("the label in the middle"):  # by name, without an option
        made = [f"{','.join(map(str, x[:2]))},{y},{','.join(map(str, x[2:]))}" for x, y in SAME]
        content, columns = "\n".join(["s0,s1,class,s2,s3,s4", *made, ""]), Columns()
    (tmp_path / "t.csv").write_text(content)
    data, _ = read_path(tmp_path / "t.csv", columns)
    known = sorted((np.array(beat, np.float32).tobytes(), label) for beat, label in SAME)
    assert beats_and_labels(data) == known


ASKED = {  # what cannot be guessed is asked for: the table, what is said, a word of the hint
    "several columns of words": (lines("", "{p},{x},a{y}"),
     "2 columns could hold the label: column 1, column 7", "--ignore"),
    "words beside whole numbers": (lines("", "{p},{x},{y}"),
     "2 columns could hold the label: column 1, column 7", "--label"),
    "words beside a label": (lines(f"who,{S},label", "{p},{x},{y}"),
     "column 1 (who) holds words ('p0')", "--ignore-column 1"),
    "numbers of patients": (lines(f"patient_id,{S},label", "{y},{x},{y}"),
     "column 1 (patient_id) is not named as", "--ignore-column patient_id"),
    "an age": (lines(f"{S},hr,label", "{x},7,{y}"), "column 6 (hr) is not named as samples are", "--ignore-column hr"),
    "two labels": (lines(f"label,{S},target", "{y},{x},{y}"),
     "2 columns could hold the label: column 1 (label)", "--label-column"),
    "one-hot labels": (lines(f"{S},N,S,V,y", "{x},{bit},{y}"),
     "columns 6 to 8 look like a label in one-hot form", "--ignore-column"),
    "no label, fractions": (lines(S, "{x}"), "12 classes in column 1 (s0) are too many for 12 beats", "--label"),
    "one class": (lines("", "7,{x}"), "column 1 holds '7' in every line: the label, or a sample?", "--label-column"),
    "a first line that counts, or a beat": (lines("0,1,2", "{y},{i}7,{i}1"),
     "the first line ('0 1 2') may be a beat, or count the columns", "in words"),
    "whole numbers at both ends": (lines("", "{y},1,0,1,0,{y}"), "is the label in column 1 or column 6?", "--label"),
    "thousands or decimals": (lines("label;s0;s1", "{y};1,234;2,345"),
     "may part thousands or decimals", "decimal point"),
    "two separators": ("\n".join(f"{y};{','.join(map(str, x))}" for x, y in SAME),
     "among fields parted by commas", "one separator"),
    "a quote that is left open": (lines(f"label,{S}", '{y},{x}').replace("\n1,", '\n"1,', 1),
     "a quote is not closed", "close it"),
    "header and beats of other widths": (lines(f"{S},label,more,and more", "{x},{y}"),
     "line 2, column 7", "differ in length"),
}  # fmt: skip


@pytest.mark.parametrize("what", ASKED)
def test_what_cannot_be_guessed_is_asked_for(tmp_path: Path, what: str) -> None:
    content, message, hint = ASKED[what]
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(EcgEdgeError) as caught:
        read_path(tmp_path / "t.csv")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns("rythm"), "no column 'rythm' (--label-column); it has the columns 's0', 's1', 's2', ..., 6 in all"),
        (Columns("0"), "no column '0' (--label-column)"),
        (Columns("7"), "no column '7' (--label-column)"),
        (Columns(ignore=("label", "1", "2", "3", "4", "5")), "no column is left for the label"),
        (Columns(ignore=("last",)), "12 classes in column 1 (s0) are too many for 12 beats"),
        (Columns("label", ("label",)), "column 6 (label) is named by --label-column and --ignore-column"),
        (Columns("label", ("s0", "s1", "s2", "s3", "s4")), "no column is left for samples"),
        (Columns("s2"), "column 6 (label) is not named as samples are"),
        (Columns("s2", ("label",)), "12 classes in column 3 (s2) are too many for 12 beats"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, columns: Columns, message: str) -> None:
    (tmp_path / "t.csv").write_text(lines(f"{S},label", "{x},{y}"))
    with pytest.raises(EcgEdgeError) as caught:
        read_path(tmp_path / "t.csv", columns)
    assert message in caught.value.message


def test_a_label_that_is_not_in_utf_8_is_refused_and_any_other_text_is_not(tmp_path: Path) -> None:
    """Which of the old encodings it is in cannot be known; in a header or beside the samples nobody asks."""
    (tmp_path / "t.csv").write_bytes(lines(f"{S},label", "{x},{y}Über").encode("cp1252"))
    with pytest.raises(EcgEdgeError, match="line 2, column 6") as caught:
        read_path(tmp_path / "t.csv")
    assert "CSV UTF-8" in caught.value.hint
    (tmp_path / "t.csv").write_bytes(lines(f"Größe,{S},label", "Ä{y},{x},{y}").encode("cp1252"))
    data, _ = read_path(tmp_path / "t.csv", Columns(ignore=("1",)))
    assert data.labels == ("0", "1", "2") and data.length == 5


def test_a_number_that_is_a_name_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(lines("0,1,2,3,4,5", "{y},{x}"))
    with pytest.raises(EcgEdgeError, match="--label-column 1 means column 1 and column 2") as caught:
        read_path(tmp_path / "t.csv", Columns("1"))
    assert "--label-column :1" in caught.value.hint


def test_as_many_classes_as_beats_can_carry(tmp_path: Path) -> None:
    """Archives hold 60 classes of 10 beats, and 52 of 2 in the training part."""
    chance = np.random.default_rng(0)

    def put(name: str, classes: int, of_each: int) -> Path:
        rows = [f"{label} {' '.join(f'{v:.3f}' for v in chance.normal(size=9))}" for label in range(1, classes + 1)
                for _ in range(of_each)]  # fmt: skip
        (tmp_path / name).write_text("\n".join(rows))
        return tmp_path / name

    assert read_path(put("sixty.txt", 60, 10))[0].classes == 60
    put("Pig_TRAIN.txt", 52, 2), put("Pig_TEST.txt", 52, 4)
    put("Fungi_TRAIN.tsv", 18, 1), put("Fungi_TEST.tsv", 18, 10)
    assert read_path(tmp_path / "Pig_TRAIN.txt")[0].classes == 52
    assert read_path(tmp_path / "Fungi_TRAIN.tsv")[0].classes == 18, "a class a beat, numbered as rows would be"
    with pytest.raises(EcgEdgeError, match=r"60 classes in column 1 are too many for 60 beats: a class needs 2"):
        read_path(put("each.txt", 60, 1))
    np.savez(tmp_path / "each.npz", x=chance.normal(size=(540, 9)), y=np.arange(540) % 500)
    with pytest.raises(EcgEdgeError, match="500 classes are too many for 540 beats"):
        read_path(tmp_path / "each.npz")
    np.savez(tmp_path / "many.npz", x=chance.normal(size=(800, 9)), y=np.arange(800) % 200)
    assert read_path(tmp_path / "many.npz")[0].classes == 200
    np.savez(tmp_path / "more.npz", x=chance.normal(size=(8000, 9)), y=np.arange(8000) % 2000)
    with pytest.raises(EcgEdgeError, match="2,000 classes, and 200 are the most: each two of them are counted"):
        read_path(tmp_path / "more.npz")
    np.savez(tmp_path / "half.npz", x=chance.normal(size=(40, 9)), y=np.arange(40) % 4 / 2)
    with pytest.raises(EcgEdgeError, match=r"the label is '0.5': a class is no fraction"):
        read_path(tmp_path / "half.npz")


def test_fractions_are_classes_where_the_user_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(lines(f"label,{S}", "{y}.5,{x}"))
    with pytest.raises(EcgEdgeError, match=r"the label in column 1 \(label\) is '0.5': a class is no fraction"):
        read_path(tmp_path / "t.csv")
    assert read_path(tmp_path / "t.csv", Columns("label"))[0].labels == ("0.5", "1.5", "2.5")


def test_both_parts_are_read_alike(tmp_path: Path) -> None:
    train, test = tmp_path / "T_TRAIN.csv", tmp_path / "T_TEST.csv"
    train.write_text(lines("", "{x},{y}"))
    test.write_text(lines("", "{x},{y}", 2).replace("\n", ",\n"))  # two classes of one beat: no guess could come of it
    data, _ = read_path(tmp_path)
    np.testing.assert_array_equal(data.test.x[:, 0], BEATS[:2].astype(np.float32))
    assert [data.labels[y] for y in data.test.y] == ["0", "1"]
    train.write_text(lines(f"{S},label", "{x},{y}"))
    test.write_text(lines("s0,s2,s1,s3,s4,label", "{x},{y}"))
    with pytest.raises(EcgEdgeError, match=r"T_TEST.csv: column 2 \(s2\) is called otherwise in its training part"):
        read_path(tmp_path)
    train.write_text(lines(f",{S},label", "{i},{x},{y}"))
    with pytest.raises(EcgEdgeError, match=r"T_TEST\.csv has 6 columns, its training part 7"):
        read_path(tmp_path)


@pytest.mark.parametrize("suffix", [".npz", ".ts"])
def test_files_without_columns_refuse_them(suffix: str) -> None:
    path = next((Path(__file__).parents[2] / "data" / "samples").glob(f"*{suffix}"))
    with pytest.raises(EcgEdgeError, match="is no table: --ignore-column has no place"):
        read_path(path, Columns(ignore=("3",)))


def test_the_attributes_of_an_arff_file_are_columns(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    head = "".join(f"@attribute {name} numeric\n" for name in ("t0", "t1", "age", "kind"))
    (tmp_path / "t.arff").write_text(
        f"@relation t\n{head}@data\n" + "".join(f"{i}.5,{i * i},{70 + i},{i % 2}\n" for i in range(6))
    )
    with pytest.raises(EcgEdgeError, match="0 attributes that could be the label"):
        read_path(tmp_path / "t.arff")
    data, _ = read_path(tmp_path / "t.arff", Columns("kind", ("3",)))
    assert data.labels == ("0", "1") and data.length == 2 and data.train.x.max() < 70


CASES = {
    "label_last": lines("", "{x},{y}"),
    "diagnosis_last": lines(f"{S},diagnosis", "{x},{y}"),
    "pandas_index": lines(f",{S},label", "{i},{x},{y}"),
    "semicolon_decimal_comma": "\ufeff" + lines(f"label;{S}".replace(",", ";"), "{y};{x}"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_guessed_is_said(ecgedge: Command, tmp_path: Path, name: str) -> None:
    content = CASES[name]
    if name.startswith("semicolon"):
        content = content.replace(",", ";").replace(".", ",")
    (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
    (tmp_path / "known.txt").write_text(lines("", "{y} {x}").replace(",", " "))
    told = ecgedge("data", "show", f"{name}.csv")
    known = ecgedge("data", "show", "known.txt")
    assert told.code == known.code == 0, told.err

    def digest(text: str) -> str:
        return next(line for line in text.splitlines() if line.startswith("digest"))

    assert digest(told.out) == digest(known.out)
    [note] = [line for line in told.err.splitlines() if line.startswith("Note:")]
    assert {
        "label_last": "no header; label in column 6, guessed from its values; 5 samples a beat",
        "diagnosis_last": "label in column 6 (diagnosis)",
        "pandas_index": "column 1 holds row numbers and is left out",
        "semicolon_decimal_comma": "fields parted by ';', decimal commas, a header; label in column 1 (label)",
    }[name] in note


def test_the_columns_are_an_option_and_part_of_the_source(ecgedge: Command, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(lines("", "{p},{x},{y}"))
    assert "--ignore-column" in error_of(ecgedge("data", "show", "t.csv"))
    options = ("--label-column", "last", "--ignore-column", "1")
    for arguments in (("data", "show", "t.csv", *options), ("data", *options, "--dataset", "t.csv", "show")):
        told = ecgedge(*arguments)
        assert told.code == 0, told.err
        assert "t.csv (label in column last, without column 1)" in told.out
        assert "class 2" in told.out
    assert "synthetic has no columns to choose" in error_of(ecgedge("data", *options, "--dataset", "synthetic"))


def test_a_run_keeps_its_columns(ecgedge: Command, fakes: Path, beats: Dataset, tmp_path: Path) -> None:
    rows = [
        f"p{i},{','.join(f'{value:.4f}' for value in beats.train.x[i, 0])},{beats.labels[beats.train.y[i]]}"
        for i in range(len(beats.train))
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    options = ("--label-column", "last", "--ignore-column", "1")
    asked = ("matrix", "--model", "fake", "--profile", "quick", "--runtime", "fake-runtime")
    asked += ("--dataset", "t.csv", "--out", "run")
    assert "--ignore-column" in error_of(ecgedge("--plugins-dir", fakes, *asked))
    ran = ecgedge("--plugins-dir", fakes, *asked, *options)
    assert ran.code == 0, ran.err
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["data_source"].startswith("t.csv (label in column last, without column 1)")
    assert (run["request"]["label_column"], run["request"]["ignore_columns"]) == ("last", ["1"])
    again = ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run")
    assert again.code == 0, again.err
    assert "label in column 142; 140 samples" in again.err
    told = error_of(ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run", *options))
    assert "--label-column has no place" in told


@pytest.mark.parametrize("command", ["matrix", "convert", "evaluate", "train", "data", "doctor", "predict", "bundle"])
def test_every_command_with_data_can_be_told_the_columns(ecgedge: Command, command: str) -> None:
    told = ecgedge(command, "--help").out
    assert "--label-column" in told and "--ignore-column" in told


def waves(count: int, length: int = 30) -> np.ndarray:
    return np.sin(np.linspace(0.1, 6, length) * (1 + np.arange(count)[:, None] % 3)) + np.arange(count)[:, None] / 100


def as_lines(*columns: object, x: np.ndarray) -> list[str]:
    """Lines of a table with these columns before its samples."""
    return [",".join([*map(str, front), *(f"{value:.4f}" for value in beat)]) for *front, beat in zip(*columns, x)]


def test_a_header_of_times_is_no_beat(tmp_path: Path) -> None:
    x = waves(12)
    lines = [f"{line},{number % 3}" for number, line in enumerate(as_lines(x=x))]
    heads = [f"{number / 360:.3f}" for number in range(30)]
    for name in ("label", "rhythm"):
        (tmp_path / "times.csv").write_text("\n".join([",".join([*heads, name]), *lines]))
        found = read_path(tmp_path / "times.csv")[0]
        assert (found.labels, len(found.train.x) + len(found.test.x)) == (("0", "1", "2"), 12)


def test_patients_without_a_header_are_no_sample(tmp_path: Path, ecgedge: Command) -> None:
    labels, patients = [n % 3 for n in range(12)], [n // 3 + 100 for n in range(12)]
    (tmp_path / "beats.csv").write_text("\n".join(as_lines(labels, patients, x=waves(12))))
    told = error_of(ecgedge("data", "show", tmp_path / "beats.csv"))
    assert "column 2 holds whole numbers alone" in told and "--group 2" in told
    assert read_path(tmp_path / "beats.csv", Columns(label="1", group="2"))[0].length == 30
    assert read_path(tmp_path / "beats.csv", Columns(label="1"))[0].length == 31


def test_a_header_alone_is_no_beat(tmp_path: Path, ecgedge: Command) -> None:
    (tmp_path / "beats.csv").write_text("label,s0,s1,s2\n")
    assert "holds no number" in error_of(ecgedge("data", "show", tmp_path / "beats.csv"))
