"""Precisions that parts declare: what files of them claim is checked, and their answers are held to their limit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ecgedge import Graph, Node, Precision, Weight
from ecgedge.api.precisions import BUILT_IN, INTEGERS
from ecgedge.plugins import check_part
from ecgedge.testing import FakeInt8, judge_graph
from tests.conftest import Command, error_of, rows_of

W8A16 = Precision("w8a16", "int8 weights, int16 between", ("int8", "int32"), "int8", ("int16", "int32"), cosine=0.99)

TOY = """
from ecgedge import Graph, Node, Precision, Weight, hookimpl
from ecgedge.testing import FakeInt8, FakeRuntime, read_fake, write_fake

PRECISION = Precision(
    "w8a16", "int8 weights, int16 between", ("int8", "int32"), "int8", ("int16", "int32"), cosine=0.99
)


class Toy(FakeInt8):
    name = "toy"
    precision = "w8a16"
    precisions = (PRECISION,)

    def quantize(self, source, out, context):
        made = super().quantize(source, out, context)
        weights = read_fake(out)
        write_fake(out, weights + {noise} * weights[::-1])
        return made


class Engine(FakeRuntime):
    computes = {computes!r}
    precisions = (Precision("rough", "few bits", cosine=0.5),)

    def load(self, artifact, threads):
        session = super().load(artifact, threads)
        small = artifact.precision == "w8a16"
        taken, weight, given = ("int16", "int8", {between!r}) if small else ("float32",) * 3
        session.graph = lambda: Graph(
            (
                Node("in", "Blip", "engine", "cpu", ("float32",), (taken,), kind="quantizes"),
                Node("zap", "Zap", "engine", "cpu", (taken, weight), (taken,), (0, 700), kind="multiplies", macs=700),
                Node("act", "Zip", "engine", "cpu", (taken,), (given,), kind="computes"),
                Node("out", "Blop", "engine", "cpu", (given,), ("float32",), kind="quantizes"),
            ),
            (Weight("w", weight, 700 if small else 2800, weight),),
        )
        return session


@hookimpl
def ecgedge_quantizers():
    return [Toy()]


@hookimpl
def ecgedge_runtimes():
    return [Engine("engine")]
"""
ASKED = ("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--runtime", "engine")


def write(folder: Path, between: str = "int16", noise: float = 0.0, computes: str | None = None) -> Path:
    (folder / "toy.py").write_text(TOY.format(between=between, noise=noise, computes=computes))
    return folder


def measured(ecgedge: Command, plugins: Path, tmp_path: Path) -> dict[str, dict]:
    ecgedge("--plugins-dir", plugins, *ASKED, "--format", "fake", "--out", "run")
    held = ecgedge("--plugins-dir", plugins, "check", "run")
    assert held.code == 0, held.out
    return {row["precision"]: row for row in rows_of(tmp_path / "run")}


def test_what_it_claims_is_checked(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    row = measured(ecgedge, write(fakes), tmp_path)["w8a16"]
    assert (row["status"], row["precision_check"], row["tolerance"]) == ("ok", "checked", {"cosine": 0.99})
    told = json.loads((tmp_path / "run" / "run.json").read_text())["precisions"]
    assert told == {"w8a16": W8A16.record()}
    chosen = ecgedge("choose", "run", "--require", "precision==w8a16", "--output", "json")
    assert [each["winner"] or each["front"] for each in json.loads(chosen.out)["choices"]], chosen.out


def test_a_file_that_is_not_what_it_claims_is_rejected(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    row = measured(ecgedge, write(fakes, between="float32"), tmp_path)["w8a16"]
    assert (row["status"], row["reason"]) == ("rejected", "w8a16: act (Zip) computes in float")
    made = ecgedge("--plugins-dir", fakes, "convert", "fake", "--to", "fake", "--quantize", "toy", "--runtime",
                   "engine", "--dataset", "synthetic", "--out", "made.fake")  # fmt: skip
    assert made.code == 0 and "a matrix rejects this file: w8a16: act (Zip) computes in float" in made.err


def test_its_limit_holds(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    row = measured(ecgedge, write(fakes, noise=0.4), tmp_path)["w8a16"]
    assert 0.8 < row["cosine"] < 0.99, "by the limit of an unknown precision it would pass"
    assert row["status"] == "rejected" and "at least 0.99 is wanted" in row["reason"]


def test_that_of_a_runtime_holds_where_it_is_looser(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    rows = measured(ecgedge, write(fakes, computes="rough"), tmp_path)
    assert [rows[name]["tolerance"] for name in ("fp32", "w8a16")] == [{"cosine": 0.5}, {"cosine": 0.5}]


def test_multiplications_are_held_against_the_peak_that_it_names(ecgedge: Command, fakes: Path) -> None:
    """A processor has no TF32 peak, so that nothing is said of a limit where a runtime says that this one holds."""
    write(fakes, computes="rough")
    text = (fakes / "toy.py").read_text()
    limits = {}
    for peak in ("", "tf32"):
        (fakes / "toy.py").write_text(text.replace("cosine=0.5)", f"cosine=0.5, peak={peak!r})"))
        told = json.loads(ecgedge("--plugins-dir", fakes, "explain", "fake", "--runtime", "engine", "--json").out)
        limits[peak] = told["total"]["limit_us"]
        gmacs = told["peaks"]["fp32"]["gmacs"]
    assert limits[""] == pytest.approx(700 / gmacs / 1e3, rel=0.5) and limits["tf32"] is None


def test_a_declaration_that_changed_ends_a_resume(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    measured(ecgedge, write(fakes), tmp_path)
    text = (fakes / "toy.py").read_text()
    (fakes / "toy.py").write_text(text.replace("cosine=0.99", "cosine=0.1"))
    told = error_of(ecgedge("--plugins-dir", fakes, "matrix", "--resume", "run"))
    assert "run cannot be resumed: what a part declares of a precision has changed (w8a16" in told


def test_the_command_shows_it(ecgedge: Command, fakes: Path) -> None:
    write(fakes)
    told = ecgedge("--plugins-dir", fakes, "plugins", "show", "toy").out
    assert "precision w8a16: int8 weights, int16 between" in told
    assert "weights int8, int32; multiplied as int8; between int16, int32; cosine of at least 0.99" in told
    [record] = json.loads(ecgedge("--plugins-dir", fakes, "plugins", "show", "toy", "--json").out)
    assert record["precisions"] == [W8A16.record()]


def test_two_plugins_that_mean_different_things_by_it_are_told(ecgedge: Command, fakes: Path) -> None:
    write(fakes)
    other = TOY.format(between="int16", noise=0.0, computes=None).replace("cosine=0.99", "cosine=0.7")
    (fakes / "other.py").write_text(other.replace('"toy"', '"other"').replace('"engine")', '"other-engine")'))
    told = error_of(ecgedge("--plugins-dir", fakes, *ASKED, "--out", "run"))
    assert "two plugins declare the precision 'w8a16' differently" in told


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("w8a16", "must be a tuple of ecgedge.Precision"),
        ((replace(W8A16, name="Full int8"),), "must be a name of small letters"),
        ((replace(W8A16, name="full-int8"),), "full-int8 is built in, and means int8 weights"),
        ((W8A16, W8A16), "w8a16 is there twice"),
        ((replace(W8A16, weights=("int7",)),), "which are not all of float64, float32"),
        ((replace(W8A16, weights="int8"),), "which are not all of"),
        ((replace(W8A16, products="int7"),), "which are not all of"),
        ((replace(W8A16, cosine=1.5),), "which is no number from -1 to 1"),
        ((replace(W8A16, peak="int16"),), "which is not one of fp32, tf32, fp16, int8"),
        ((replace(W8A16, help="two\nlines"),), "must be one line"),
    ],
)
def test_a_declaration_that_is_none_is_refused(declared: object, why: str) -> None:
    class Bad(FakeInt8):
        precisions = declared  # type: ignore[assignment]

    with pytest.raises(TypeError, match=why.replace(".", r"\.")):
        check_part(Bad())


# -- the claims themselves, on graphs of which it is plain what they are


def graph(*nodes: tuple[str, str, str, int], weight: str = "int8", size: int = 4096) -> Graph:
    """Operations, each a kind, what it takes, what it gives, and how many constants the last of its inputs has."""
    made = []
    for i, (kind, takes, gives, constants) in enumerate(nodes):
        inputs = tuple(takes.split())
        held = (0,) * (len(inputs) - 1) + (constants,)
        made.append(Node(f"n{i}", "Op", "engine", "cpu", inputs, (gives,), held, kind=kind))
    return Graph(tuple(made), (Weight("w", weight, size, "digest"),))


CASES = [
    (W8A16, graph(("multiplies", "int16 int8", "int16", 4096)), ""),
    (W8A16, graph(("multiplies", "int8 int8", "int8", 4096)), "n0 (Op) computes in int8"),
    (W8A16, graph(("multiplies", "int16 float32", "int16", 4096), weight="float32"), "it has no int8 weights"),
    (W8A16, graph(("multiplies", "int16 int8", "int16", 4096), ("computes", "int16", "float32", 0)),
     "n1 (Op) computes in float"),
    (W8A16, graph(("quantizes", "int8", "float32", 4096), ("multiplies", "int16 int8", "int16", 9)),
     "int8 weights are turned back into float by n0"),
    (Precision("w4", "", ("int4",), "int4"), graph(("multiplies", "float32 int4", "float32", 8192), weight="int4"), ""),
    (Precision("w4", "", ("int4",), "int4"),
     graph(("quantizes", "int4", "float32", 8192), ("multiplies", "float32 float32", "float32", 8192), weight="int4"),
     "float weights are multiplied by n1"),
    (Precision("w4-stored", "", ("int4",)),
     graph(("quantizes", "int4", "float32", 8192), ("multiplies", "float32 float32", "float32", 0), weight="int4"), ""),
    (Precision("half", "", ("float16",), "", ("float16",)),
     graph(("multiplies", "float16 float16", "float16", 4096), weight="float16"), ""),
    (Precision("half", "", ("float16",), "", ("float16",)),
     graph(("multiplies", "float16 float16", "float16", 4096), ("computes", "float32", "float32", 0), weight="float16"),
     "n1 (Op) computes in float32"),
    (Precision("integers", "", (), "", INTEGERS), graph(("computes", "int8", "uint8", 0)), ""),
    (Precision("integers", "", (), "", INTEGERS), graph(("computes", "float16", "float16", 0)),
     "n0 (Op) computes in float"),
]  # fmt: skip


@pytest.mark.parametrize(("precision", "told", "why"), CASES)
def test_each_claim_is_held_against_the_graph(precision: Precision, told: Graph, why: str) -> None:
    judged = judge_graph(told, precision, "cpu")
    assert judged["precision_check"] == "checked"
    assert judged["status"] == ("rejected" if why else "ok"), judged["reason"]
    assert why in judged["reason"] and judged["reason"].startswith(f"{precision.name}: " if why else "")


def test_the_limits_that_are_built_in_are_those_of_the_documentation() -> None:
    assert {name: each.cosine for name, each in BUILT_IN.items()} == {
        "fp32": None, "fp16": 0.999, "tf32": 0.999, "dynamic": 0.8, "full-int8": 0.8, "mixed": 0.8,
    }  # fmt: skip
