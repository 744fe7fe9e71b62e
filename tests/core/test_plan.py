"""The planner: every distinct route, filters, skips with reasons, errors that say what is possible."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecgedge import EcgEdgeError
from ecgedge.plan.file import FileAsked, plan_file
from ecgedge.plan.plan import Cell, Filters, Source, is_parent, plan, routes
from ecgedge.report import FORMATS
from ecgedge.run import request
from ecgedge.testing import FakeExporter, FakeInt8, FakeRuntime


class Other(FakeExporter):
    name, accepts, produces = "other", ("fake",), "numpy"


class Rival(FakeExporter):
    name = "rival"


class Lite(FakeExporter):
    name, produces = "lite", "tflite"


class Keep(FakeInt8):
    name, precision, accepts = "none", "fp32", ("*",)


def parts(*exporters: FakeExporter) -> dict[str, Any]:
    return {
        "sources": {"m": Source("numpy", "fake")},
        "exporters": {e.name: e for e in exporters or (FakeExporter(),)},
        "quantizers": {q.name: q for q in (Keep(), FakeInt8())},
        "runtimes": {r.name: r for r in (FakeRuntime(), FakeRuntime("gpu"))},
    }


def test_every_distinct_route_is_a_cell() -> None:
    cells, skips = plan(**parts(FakeExporter(), Rival()), filters=Filters(), unavailable={})
    assert {(cell.route, cell.quantizer, cell.runtime) for cell in cells} == {
        (route, quantizer, runtime)
        for route, quantizer in [
            ((), "none"),
            (("fake-exporter",), "none"),
            (("fake-exporter",), "fake-int8"),
            (("rival",), "none"),
            (("rival",), "fake-int8"),
        ]
        for runtime in ("fake-runtime", "gpu")
    }
    assert len({cell.id for cell in cells}) == len(cells)
    assert skips == []


def test_what_is_made_on_request_only() -> None:
    """It is no cell unless its name or precision is asked for."""

    class Costly(FakeInt8):
        name, precision, on_request = "costly", "mixed", True

    given = parts()
    given["quantizers"] |= {"costly": Costly()}
    assert "costly" not in {cell.quantizer for cell in plan(**given, filters=Filters(), unavailable={})[0]}
    for word in ("costly", "mixed"):
        cells, _ = plan(**given, filters=Filters(quantizers=(word,)), unavailable={})
        assert {cell.quantizer for cell in cells} == {"costly"}


def test_a_runtime_on_request_only() -> None:
    """It is in no row unless its name or its format is asked for, or a user's file is of that format."""

    class Quiet(FakeRuntime):
        name, on_request = "quiet", True

    given = parts()
    given["runtimes"]["quiet"] = Quiet("quiet")
    assert "quiet" not in {cell.runtime for cell in plan(**given, filters=Filters(), unavailable={})[0] if cell.route}
    for asked in (Filters(runtimes=("quiet",)), Filters(formats=("fake",))):
        assert "quiet" in {cell.runtime for cell in plan(**given, filters=asked, unavailable={})[0]}
    given["sources"] = {"theirs": Source("fake")}
    cells, _ = plan(**given, filters=Filters(), unavailable={})
    assert "quiet" in {cell.runtime for cell in cells}


def test_what_is_quantized_is_kept_as_it_is() -> None:
    given = parts() | {"sources": {"q": Source("numpy", precision="full-int8"), "f": Source("fake")}}
    cells, _ = plan(**given, filters=Filters(runtimes=("gpu",)), unavailable={})
    made = [(cell.model, cell.route, cell.quantizer) for cell in cells]
    assert made == [("q", (), "none"), ("f", (), "none"), ("f", (), "fake-int8")]


class Came(Keep):
    name = "as-it-came"


class Fast(FakeRuntime):
    accepts, wants = ("onnx", "fake", "numpy"), ("a_pass",)


def of_a_file(source: Source, passes: tuple[str, ...] | None = None, filters: Filters = Filters()) -> list[Cell]:  # noqa: B008
    given = parts() | {"sources": {"m": source}, "runtimes": {r.name: r for r in (Fast(), FakeRuntime("bare"))}}
    given["quantizers"] |= {"as-it-came": Came()}
    return [cell for cell in plan(**given, filters=filters, unavailable={}, passes=passes)[0] if not cell.route]


def test_a_users_file_is_a_cell_as_it_came_where_passes_would_touch_it() -> None:
    """Beside the form that went through them, whose int8 forms are held against that one; not where nothing would."""
    file = Source("onnx")
    none, came = (cell for cell in of_a_file(file) if cell.runtime == "fake-runtime")
    assert (none.quantizer, none.passes, came.quantizer, came.passes) == ("none", ("a_pass",), "as-it-came", ())
    assert none.id != came.id
    int8 = replace(none, quantizer="fake-int8", precision="full-int8")
    assert is_parent(none, int8) and is_parent(none, came)
    assert not is_parent(came, int8) and not is_parent(came, none)
    for source, passes in ((file, ()), (Source("onnx", "fake"), None), (Source("onnx", precision="full-int8"), None)):
        assert "as-it-came" not in {cell.quantizer for cell in of_a_file(source, passes)}
    assert {cell.quantizer for cell in of_a_file(file, filters=Filters(quantizers=("fp32",)))} == {"none", "as-it-came"}
    assert {cell.quantizer for cell in of_a_file(file, filters=Filters(quantizers=("none",)))} == {"none"}
    with pytest.raises(EcgEdgeError) as error:
        of_a_file(file, (), Filters(quantizers=("as-it-came",)))
    assert "a form of a user's ONNX file that graph passes would rewrite" in str(error.value.hint)


def test_routes_are_loop_free() -> None:
    found = list(routes("numpy", {e.name: e for e in (FakeExporter(), Other())}))
    assert found == [((), "numpy"), (("fake-exporter",), "fake")]


def test_an_unavailable_runtime_is_one_skip_a_model() -> None:
    cells, skips = plan(**parts(), filters=Filters(), unavailable={("runtime", "gpu"): "no GPU"})
    assert {cell.runtime for cell in cells} == {"fake-runtime"}
    assert [(s.model, s.runtime, s.reason) for s in skips if s.format == "numpy"] == [
        ("m", "gpu", "runtime gpu: no GPU")
    ]
    assert len(skips) == 1


@pytest.mark.parametrize("word", ["none", "fp32"])
def test_filters_select(word: str) -> None:
    asked = Filters(formats=("fake",), quantizers=(word,), runtimes=("gpu",))
    cells, _ = plan(**parts(), filters=asked, unavailable={})
    assert [(c.format, c.precision, c.runtime) for c in cells] == [("fake", "fp32", "gpu")]
    by_name, _ = plan(**parts(), filters=Filters(quantizers=("fake-int8",)), unavailable={})
    by_precision, _ = plan(**parts(), filters=Filters(quantizers=("full-int8",)), unavailable={})
    assert by_name == by_precision != []
    through, _ = plan(**parts(FakeExporter(), Rival()), filters=Filters(exporters=("rival",)), unavailable={})
    assert {cell.route for cell in through} == {("rival",)}


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(EcgEdgeError, match="unknown runtime 'tpu'") as caught:
        plan(**parts(), filters=Filters(runtimes=("tpu",)), unavailable={})
    assert "fake-runtime, gpu" in caught.value.hint


def test_an_impossible_combination_says_what_is_possible() -> None:
    with pytest.raises(EcgEdgeError, match="no cell has --format numpy and --quantizer full-int8") as caught:
        plan(**parts(), filters=Filters(formats=("numpy",), quantizers=("full-int8",)), unavailable={})
    assert (
        caught.value.hint == "with --format numpy there are: formats numpy; precisions fp32; runtimes fake-runtime, gpu"
    )


class Choosy(FakeRuntime):
    """Refuses a precision, with a reason or without a word."""

    def __init__(self, name: str, reason: str):
        super().__init__(name)
        self.refuses = {"full-int8": reason}


def test_a_precision_that_a_runtime_refuses_is_skipped_before_it_is_made() -> None:
    given = parts()
    given["runtimes"] = {r.name: r for r in (Choosy("gpu", "it multiplies no integers; the npu does"), FakeRuntime())}
    cells, skips = plan(**given, filters=Filters(), unavailable={})
    assert {cell.precision for cell in cells if cell.runtime == "gpu"} == {"fp32"}
    assert "full-int8" in {cell.precision for cell in cells if cell.runtime == "fake-runtime"}
    [skip] = skips
    assert (skip.id, skip.reason) == ("m.gpu", "full-int8: it multiplies no integers; the npu does")
    _, skips = plan(**given, filters=Filters(quantizers=("none",)), unavailable={})
    assert skips == [], "nobody asked for it"
    _, [skip] = plan(**given, filters=Filters(), unavailable={("runtime", "gpu"): "no GPU"})
    assert skip.reason == "runtime gpu: no GPU", "what a device refuses is no matter where there is none"


def test_what_another_runtime_does_alike_is_left_out_without_a_word() -> None:
    given = parts()
    given["runtimes"] = {"gpu": FakeRuntime("gpu"), "gpu-tf32": Choosy("gpu-tf32", "")}
    cells, skips = plan(**given, filters=Filters(), unavailable={})
    assert {cell.precision for cell in cells if cell.runtime == "gpu-tf32"} == {"fp32"}
    assert skips == []
    with pytest.raises(EcgEdgeError, match="no cell has --quantizer full-int8 and --runtime gpu-tf32") as caught:
        plan(**given, filters=Filters(quantizers=("full-int8",), runtimes=("gpu-tf32",)), unavailable={})
    assert "runtimes gpu" in caught.value.hint and "tf32" not in caught.value.hint


def test_runtimes_that_lack_the_same_share_a_skip() -> None:
    """It stands under the first that was asked for, and names all; another reason is another skip."""
    given = parts()
    given["runtimes"] |= {name: FakeRuntime(name) for name in ("gpu-tf32", "npu")}
    lacking = {("runtime", name): "no GPU" for name in ("gpu", "gpu-tf32")} | {("runtime", "npu"): "no NPU"}
    _, skips = plan(**given, filters=Filters(), unavailable=lacking)
    told = {skip.id: skip.reason for skip in skips}
    assert told == {"m.gpu": "runtime gpu, gpu-tf32: no GPU", "m.npu": "runtime npu: no NPU"}
    _, [skip] = plan(**given, filters=Filters(runtimes=("gpu-tf32",)), unavailable=lacking)
    assert (skip.id, skip.reason) == ("m.gpu-tf32", "runtime gpu-tf32: no GPU")


def test_several_reasons_of_one_runtime_are_one_skip() -> None:
    """Its row has one name; none of the reasons is lost."""
    lacking = {("quantizer", "fake-int8"): "no numpy", ("exporter", "fake-exporter"): "no onnx"}
    _, skips = plan(**parts(FakeExporter(), Rival()), filters=Filters(runtimes=("gpu",)), unavailable=lacking)
    assert len({skip.id for skip in skips}) == len(skips) == 1
    assert skips[0].reason == "exporter fake-exporter: no onnx; quantizer fake-int8: no numpy"


def test_a_request_names_the_forms_that_reports_have() -> None:
    assert set(request.PRINTED) == set(FORMATS)


def test_a_request_is_read_back_as_it_was_made() -> None:
    asked = request.MatrixRequest(
        data="beats.csv", label_column="last", ignore_columns=("1", "patient"), models=("tcn",), files=("a.onnx",),
        told=request.Told(task="anomaly", window=5, input_scale=0.1), quantizers=("full-int8",), preset="quick",
        batch_sizes=(1, 16), passes=(), options={"max_drop": 0.2, "reduce_range": False}, memory=500, sent=True,
    )  # fmt: skip
    kept = json.loads(json.dumps(asked.record()))
    assert request.MatrixRequest.from_record(kept) == asked
    with pytest.raises(ValueError, match=r"request\.threads"):
        request.MatrixRequest.from_record({**kept, "threads": "2"})


def test_a_request_takes_what_scripts_have() -> None:
    asked = request.MatrixRequest(
        data=Path("beats.csv"), label_column=1, ignore_columns=[2, "patient"], models="tcn", files=[Path("a.onnx")],
        quantizers=["full-int8"], passes=[], batch_sizes=[64, 1, 64],
    )  # fmt: skip
    assert asked == request.MatrixRequest(
        data="beats.csv", label_column="1", ignore_columns=("2", "patient"), models=("tcn",), files=("a.onnx",),
        quantizers=("full-int8",), passes=(), batch_sizes=(1, 64),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"preset": "fast"}, "preset is 'fast', not one of quick, full"),
        ({"threads": "2"}, "threads is '2', not a whole number from 1"),
        ({"models": [None]}, "models[0] is None, not text"),
        ({"batch_sizes": [0]}, "batch_sizes[0] is 0, not a whole number from 1"),
        ({"options": {"opset": [17]}}, "options['opset'] is [17], not a finite number"),
        ({"options": {"onnx.opset": float("inf")}}, "options['onnx.opset'] is inf, not a finite number"),
        ({"told": request.Told(window=0)}, "told.window is 0, not a whole number"),
    ],
)
def test_a_request_for_what_no_run_can_have_is_one_line(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(EcgEdgeError) as raised:
        request.MatrixRequest(**asked)
    assert f"no such matrix can be measured: {told}" in raised.value.message and "\n" not in raised.value.message


class Onnx(FakeExporter):
    name, produces = "to-onnx", "onnx"


class Wanting(FakeRuntime):
    """Takes ONNX too, and wants passes for it."""

    accepts, wants = ("fake", "onnx"), ("fix_batch",)


def planned(
    given: dict[str, Any], asked: FileAsked, broken: tuple[str, ...] = (), source: Source | None = None
) -> Cell:
    """The cell of one file, where some runtimes do not work."""
    steps = given["exporters"], given["quantizers"], given["runtimes"]
    return plan_file("m", source or Source("numpy", "fake"), asked, *steps, lambda runtime: runtime.name not in broken)


def test_one_file_is_a_cell_of_the_matrix() -> None:
    """Of the same names it is planned as there, passes and all."""
    given = parts(FakeExporter(), Rival(), Onnx())
    given["runtimes"] |= {"npu": Wanting("npu")}
    cells, _ = plan(**given, filters=Filters(), unavailable={})
    assert {cell.format for cell in cells} == {"numpy", "fake", "onnx"}
    for cell in cells:
        assert planned(given, FileAsked(cell.format, cell.quantizer, cell.route, cell.runtime)) == cell
    assert {cell.passes for cell in cells} == {(), ("fix_batch",)}


def test_one_file_takes_the_shortest_way_and_the_first_runtime_that_works() -> None:
    given = parts(FakeExporter(), Rival())
    cell = planned(given, FileAsked("fake", "full-int8"))
    assert (cell.route, cell.quantizer, cell.runtime) == (("fake-exporter",), "fake-int8", "fake-runtime")
    assert planned(given, FileAsked("numpy")).route == ()
    assert planned(given, FileAsked("fake"), broken=("fake-runtime",)).runtime == "gpu"
    given["runtimes"] = {r.name: r for r in (Choosy("picky", "it multiplies no integers"), FakeRuntime("gpu"))}
    assert planned(given, FileAsked("fake", "full-int8")).runtime == "gpu"
    assert planned(given, FileAsked("fake")).runtime == "picky"
    with pytest.raises(EcgEdgeError, match="picky cannot run full-int8: it multiplies no integers"):
        planned(given, FileAsked("fake", "full-int8", runtime="picky"))


def test_where_no_runtime_works_a_file_is_made_for_the_first() -> None:
    given = parts(Onnx()) | {"runtimes": {"npu": Wanting("npu"), "gpu": FakeRuntime("gpu")}}
    cell = planned(given, FileAsked("onnx"), broken=("npu", "gpu"))
    assert cell == replace(planned(given, FileAsked("onnx", runtime="npu")), runtime="")
    assert cell.passes == ("fix_batch",)


def test_what_has_its_precision_keeps_it() -> None:
    """In the matrix and as a file; it is found by that precision, as by no other."""
    given = parts()
    cell = planned(given, FileAsked("fake"), source=Source("numpy", precision="full-int8"))
    assert (cell.precision, cell.quantizer, cell.passes) == ("full-int8", "none", ())
    with pytest.raises(EcgEdgeError, match="fake cannot be 'full-int8': m is fp16 already"):
        planned(given, FileAsked("fake", "full-int8"), source=Source("numpy", precision="fp16"))
    given["sources"] = {"q": Source("fake", precision="full-int8"), "m": Source("numpy")}
    for word, expected in (("full-int8", {"q", "m"}), ("fp32", {"m"})):
        cells, _ = plan(**given, filters=Filters(quantizers=(word,), formats=("fake",)), unavailable={})
        assert {cell.model for cell in cells} == expected
        assert {cell.precision for cell in cells} == {word}


class FloatOnly(FakeExporter):
    name, refuses = "float-only", {"full-int8": "float-only takes no integers", "int8": "float-only takes no integers"}


@pytest.mark.parametrize("precision", ["full-int8", "int8"])
def test_what_an_exporter_refuses_is_known_before_anything_is_made(precision: str) -> None:
    """As a file and in the matrix alike, with what to bring instead; other precisions go their way."""
    given = parts(FloatOnly())
    quantized = Source("numpy", precision=precision)
    with pytest.raises(EcgEdgeError) as caught:
        planned(given, FileAsked("fake"), source=quantized)
    reason, remedy = "float-only takes no integers", "bring the float file that it was made of"
    assert caught.value.message == f"no way from m to fake: it is {precision}, and {reason}"
    assert caught.value.hint == f"{remedy}: fake-int8 quantizes it on the way"
    given["sources"] = {"q": quantized, "h": Source("numpy", precision="fp16")}
    cells, skips = plan(**given, filters=Filters(), unavailable={})
    assert {(cell.model, cell.format) for cell in cells} == {("q", "numpy"), ("h", "numpy")}
    told = f"{precision}: {reason}; {remedy}: fake-int8 quantizes it on the way"
    assert [(s.model, s.format, s.runtime, s.reason) for s in skips] == [
        ("q", "fake", "fake-runtime", told), ("q", "fake", "gpu", told)
    ]  # fmt: skip
    cells, skips = plan(**given, filters=Filters(formats=("numpy",)), unavailable={})
    assert not skips, "what was not asked for is not skipped"
    for source in (Source("numpy"), Source("numpy", precision="fp16")):
        assert planned(given, FileAsked("fake"), source=source).route == ("float-only",)
    around = parts(FloatOnly(), Rival()) | {"sources": {"q": quantized}}
    assert planned(around, FileAsked("fake"), source=quantized).route == ("rival",)
    assert plan(**around, filters=Filters(), unavailable={})[1] == []


def test_nothing_turns_a_quantized_file_back_into_fp32() -> None:
    """That leaves it as it is has the precision fp32, and gives none."""
    given = parts()
    for format, precision in (("fake", "full-int8"), ("numpy", "fp16")):
        source = Source("numpy", precision=precision)
        with pytest.raises(EcgEdgeError, match=f"{format} cannot be 'fp32': m is {precision} already") as caught:
            planned(given, FileAsked(format, "fp32"), source=source)
        assert caught.value.hint == "choose from: none"
        assert planned(given, FileAsked(format, "none"), source=source).precision == precision
    assert planned(given, FileAsked("fake", "fp32")).precision == "fp32"


def test_a_format_or_precision_that_is_called_otherwise_is_led_to() -> None:
    for asked, meant in ((FileAsked("litert"), "tflite"), (FileAsked("fake", "int8"), "full-int8")):
        with pytest.raises(EcgEdgeError) as caught:
            planned(parts(FakeExporter(), Lite()), asked)
        assert caught.value.hint.startswith(f"did you mean {meant}? choose from: ")


def test_a_route_that_does_not_lead_there_is_told_with_those_that_do() -> None:
    with pytest.raises(EcgEdgeError, match="no way from numpy to fake through rival,other") as caught:
        planned(parts(FakeExporter(), Rival(), Other()), FileAsked("fake", route=("rival", "other")))
    assert caught.value.hint == "choose from: fake-exporter; rival"
