"""Options that parts declare: chosen on the command line, held against what was declared, handed to the part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecgedge import EcgEdgeError, Option
from ecgedge.plan.options import chosen, options_of
from ecgedge.testing import FakeRuntime
from tests.conftest import Command, Result, error_of, rows_of

TOY = """
from dataclasses import replace
from ecgedge import Graph, Node, Option, Weight, hookimpl
from ecgedge.testing import FakeExporter, FakeRuntime

class Toy(FakeRuntime):
    "Answers with ``gain``."
    options = (
        Option("gain", float, 1.0, "Of its amplifier.", least=0.5, most=4),
        Option("mode", str, "plain", "How it works.", choices=("plain", "fast")),
        Option("inverted", bool, None, "Whether the least likely class is answered."),
        Option("port", str, None, "Where its board is."),
    )

    def load(self, artifact, threads, inverted=False, **others):
        session = super().load(artifact, threads)
        session.weights = -session.weights if inverted else session.weights
        node = Node("m", "MatMul", "toy", "cpu", ("float32", "float32"), ("float32",), (0, 700))
        session.graph = lambda: Graph((node,), (Weight("w", "float32", 2800),))
        session.figures = lambda: {"asked": repr(sorted(others.items()))}
        return session

class Scaled(FakeExporter):
    name = "scaled"
    options = (Option("by", int, 1, "Told in the notes alone.", least=1),)

    def convert(self, source, out, context):
        made = super().convert(source, out, context)
        return replace(made, notes={"text": f"scaled by {context.options.get('by', 1)}"})

@hookimpl
def ecgedge_runtimes():
    return [Toy("toy")]

@hookimpl
def ecgedge_exporters():
    return [Scaled()]
"""


@pytest.fixture
def toys(fakes: Path) -> Path:
    (fakes / "toys.py").write_text(TOY)
    return fakes


def matrix(ecgedge: Command, toys: Path, *options: str | Path):
    asked = ("--dataset", "synthetic", "--model", "fake", "--exporter", "scaled", "--profile", "quick")
    return ecgedge("--plugins-dir", toys, "matrix", *asked, "--quantizer", "none", "--runtime", "toy", *options)


def test_a_matrix_hands_them_to_its_parts_and_a_resumed_one_as_well(
    ecgedge: Command, toys: Path, tmp_path: Path
) -> None:
    chosen = [f"--option=toy.{each}" for each in ("gain=2", "mode=fast", "inverted=off", "port=/dev/tty x")]
    done = matrix(ecgedge, toys, *chosen, "--option", "scaled.by=3", "--out", "run")
    assert done.code == 0, done.err
    [row] = rows_of(tmp_path / "run")
    told = {"gain": 2.0, "mode": "fast", "inverted": False, "port": "/dev/tty x"}
    others = sorted(item for item in told.items() if item[0] != "inverted")
    assert row["runtime_options"] == told and row["figures"]["asked"] == repr(others)
    request = json.loads((tmp_path / "run" / "run.json").read_text())["request"]
    assert request["options"] == {"scaled.by": 3} | {f"toy.{name}": value for name, value in told.items()}
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_text(journal.read_text().partition('{"event": "warm"')[0])
    again = ecgedge("--plugins-dir", toys, "matrix", "--resume", "run")
    assert again.code == 0, again.err
    assert [each["runtime_options"] for each in rows_of(tmp_path / "run")] == [told]


def test_what_a_part_makes_depends_on_them(ecgedge: Command, toys: Path) -> None:
    """The store hands out nothing that was made with another one, be the file the same to the last bit."""
    asked = ("--to", "fake", "--exporter", "scaled", "--runtime", "toy", "--dataset", "synthetic")
    for by in ("2", "5", "2"):
        chosen = ("--option", f"scaled.by={by}", "-o", "made.fake", "--force")
        done = ecgedge("--plugins-dir", toys, "convert", "fake", *asked, *chosen)
        assert done.code == 0 and f"scaled by {by}" in done.out, done.err


def test_evaluate_and_explain_hand_them_to_the_runtime(ecgedge: Command, toys: Path) -> None:
    for command in (("evaluate", "fake", "--dataset", "synthetic"), ("explain", "fake")):
        plain, other, wrong = (
            ecgedge("--plugins-dir", toys, *command, "--runtime", "toy", *options)
            for options in ((), ("--option", "toy.inverted=true"), ("--option", "toy.gain=9"))
        )
        assert plain.code == other.code == 0, other.err
        assert command[0] == "explain" or accuracy(plain) > 0.5 > accuracy(other)
        assert wrong.code == 2 and wrong.err == "Error: option toy.gain cannot be '9'\n  it is a number from 0.5 to 4\n"


def accuracy(evaluated: Result) -> float:
    return float(evaluated.out.partition("accuracy ")[2].split()[0])


@pytest.mark.parametrize(
    ("option", "told", "hint"),
    [
        ("toy.gain=much", "option toy.gain cannot be 'much'", "a number from 0.5 to 4"),
        ("toy.gain=nan", "option toy.gain cannot be 'nan'", "a number from 0.5 to 4"),
        ("toy.gain=0.4", "option toy.gain cannot be '0.4'", "a number from 0.5 to 4"),
        ("toy.mode=slow", "option toy.mode cannot be 'slow'", "one of plain, fast"),
        ("toy.inverted=perhaps", "option toy.inverted cannot be 'perhaps'", "true or false"),
        ("scaled.by=1.5", "option scaled.by cannot be '1.5'", "a whole number of at least 1"),
        ("toy.volume=1", "toy has no option 'volume'", "choose from: toy.gain, toy.inverted, toy.mode, toy.port"),
        ("fake-runtime.gain=1", "fake-runtime has no option 'gain'", "it has none: leave that out"),
        ("nobody.gain=1", "unknown part 'nobody'", "choose from: "),
        ("fake.scale=2", "option fake.scale: fake is a model, and its options are for its training", "train fake"),
        ("gain=1", "--option gain=1: a part, an option and a value are wanted", "--option onnx.opset=18"),
        ("toy.gain", "--option toy.gain: a part, an option and a value are wanted", "--option onnx.opset=18"),
    ],
)
def test_a_wrong_one_is_told_with_the_choices(
    ecgedge: Command, toys: Path, tmp_path: Path, option: str, told: str, hint: str
) -> None:
    done = matrix(ecgedge, toys, "--option", option, "--out", "run")
    said, advice = error_of(done).splitlines()
    assert said == f"Error: {told}" and hint in advice and not (tmp_path / "run").exists()


def test_one_of_a_part_that_shares_the_name_of_one_that_is_used_is_told(ecgedge: Command, toys: Path) -> None:
    (toys / "toys.py").write_text(TOY.replace('name = "scaled"', 'name = "toy"'))
    plain = ("--dataset", "synthetic", "--exporter", "fake-exporter", "--runtime", "toy")
    for command in (("convert", "fake", "--to", "fake"), ("matrix", "--model", "fake", "--out", "run")):
        done = ecgedge("--plugins-dir", toys, *command, *plain, "--option", "toy.by=2")
        first, second = error_of(done).splitlines()
        assert first == "Error: option toy.by: the part that has it is not used for this, only the runtime toy"
        assert second == "  leave it out"


def test_one_of_a_part_that_has_nothing_to_do_here_is_told(ecgedge: Command, toys: Path, tmp_path: Path) -> None:
    def told(*command: str | Path) -> list[str]:
        return error_of(ecgedge("--plugins-dir", toys, *command)).splitlines()

    data, plain = ("--dataset", "synthetic"), ("--exporter", "fake-exporter", "--runtime", "fake-runtime")
    unused = "Error: option scaled.by: scaled is not used for this"
    first, second = told("matrix", "--model", "fake", *data, *plain, "--option", "scaled.by=2", "--out", "run")
    assert first == unused and second.startswith("  used are ") and "fake-exporter, fake-int8, " in second
    for command in (("evaluate", "fake", *data), ("explain", "fake")):
        first, second = told(*command, "--runtime", "fake-runtime", "--option", "toy.gain=2")
        assert (first, second) == ("Error: option toy.gain: toy is not used for this", "  used are fake-runtime")
    assert told("convert", "fake", "--to", "fake", *data, *plain, "--option", "scaled.by=2")[0] == unused
    for command in ("evaluate", "explain", "convert --to fake"):
        name, *more = command.split()
        first, _ = told(name, "fake", *more, "--option", "fake.scale=2")
        assert first == "Error: option fake.scale: fake is a model, and its options are for its training"
    assert {each.name for each in tmp_path.iterdir()} == {"plugins", "fake-checkpoint"}


def test_a_training_takes_those_of_its_model_alone(ecgedge: Command, toys: Path, tmp_path: Path) -> None:
    (toys / "bare.py").write_text(
        "from pathlib import Path\nfrom ecgedge import hookimpl\nfrom ecgedge.testing import FakeModel\n"
        "class Bare(FakeModel):\n    options = ()\n"
        "@hookimpl\ndef ecgedge_models():\n    return [Bare(Path('none'), 'bare')]\n"
    )
    for option, said, hint in (
        (
            "fake.scale=3",
            "option fake.scale: fake is not the model that is trained, bare is",
            "  leave it out, or train fake",
        ),
        ("toy.gain=2", "option toy.gain: toy is not the model that is trained, bare is", "  leave it out"),
        ("bare.width=3", "bare has no option 'width'", "it has none: leave that out"),
        ("nobody.gain=1", "unknown part 'nobody'", "leave it out: bare has no options"),
    ):
        done = ecgedge("--plugins-dir", toys, "train", "bare", "--dataset", "synthetic", "--option", option)
        first, second = error_of(done).splitlines()
        assert first == f"Error: {said}" and hint in second
    assert {each.name for each in tmp_path.iterdir()} == {"plugins", "fake-checkpoint"}


def test_without_a_part_it_is_of_all_that_have_it() -> None:
    """``--opset`` and others are short for that; what names the part comes first."""
    one, two = FakeRuntime("one"), FakeRuntime("two")
    one.options = two.options = (Option("opset", int, 17, "Version.", least=13, most=20),)
    found = chosen({"opset": "18", "two.opset": 19.0}, [one, two])
    assert (options_of(one, found), options_of(two, found)) == ({"opset": 18}, {"opset": 19})
    with pytest.raises(EcgEdgeError, match="no part has an option 'opsets'") as raised:
        chosen({"opsets": 18}, [one, two])
    assert raised.value.hint == "choose from: one.opset, two.opset"


@pytest.mark.parametrize("given", [2**60 + 1, str(2**60 + 1)])
def test_a_large_number_stays_what_it_is(given: int | str) -> None:
    assert Option("serial", int, None, "Of the board.").read(given, "toy") == 2**60 + 1


@pytest.mark.parametrize("given", [float("inf"), float("nan"), 1.5, "15.5", "", "x", True, None, [1], 10**400])
def test_what_is_no_number_is_refused(given: object) -> None:
    with pytest.raises(EcgEdgeError, match="cannot be"):
        Option("serial", int, None, "Of the board.", most=10**6).read(given, "toy")
    if given not in (1.5, "15.5"):
        with pytest.raises(EcgEdgeError, match="cannot be"):
            Option("gain", float, None, "Of the board.").read(given, "toy")


def test_a_part_is_shown_with_its_options(ecgedge: Command, toys: Path) -> None:
    done = ecgedge("--plugins-dir", toys, "plugins", "show", "toy")
    assert done.code == 0 and "runtime toy, of toys" in done.out and "Answers with gain." in done.out
    assert '--option toy.mode=...  How it works.\n      one of plain, fast; default: "plain"' in done.out
    [record] = json.loads(ecgedge("--plugins-dir", toys, "plugins", "show", "toy", "--json").out)
    assert [(each["name"], each["type"], each["default"]) for each in record["options"]] == [
        ("gain", "float", 1.0), ("mode", "str", "plain"), ("inverted", "bool", None), ("port", "str", None),
    ]  # fmt: skip
    unknown = ecgedge("plugins", "show", "nothing")
    assert error_of(unknown).startswith("Error: unknown part 'nothing'\n  choose from: ")


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ('{"gain": 1.0}', "must be a tuple of ecgedge.Option"),
        ('(Option("Gain", float, 1.0, ""),)', "'Gain' must be a name of small letters"),
        ('(Option("gain", list, [], ""),)', "gain must be of the type bool, int, float or str"),
        ('(Option("gain", int, 9, "", most=8),)', "option toy.gain cannot be 9"),
        ('(Option("gain", int, 1, "", choices=(1, "two")),)', "option toy.gain cannot be 'two'"),
        ('(Option("gain", int, 1, ""), Option("gain", int, 2, ""))', "gain is there twice"),
    ],
)
def test_a_part_that_declares_them_wrongly_is_left_out(ecgedge: Command, fakes: Path, declared: str, told: str) -> None:
    (fakes / "toys.py").write_text(
        "from ecgedge import Option, hookimpl\nfrom ecgedge.testing import FakeRuntime\n"
        f"class Toy(FakeRuntime):\n    options = {declared}\n"
        "@hookimpl\ndef ecgedge_runtimes():\n    return [Toy('toy')]\n"
    )
    done = ecgedge("--plugins-dir", fakes, "plugins")
    assert done.code == 0 and "plugin toys" in done.err and told in done.err
