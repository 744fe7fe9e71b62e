"""The contracts: the fakes keep them, and each is shown to fail on parts that break it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import (
    Artifact,
    Context,
    EcgEdgeError,
    Fitted,
    Graph,
    Measured,
    Model,
    Node,
    Session,
    TrainingContext,
    TrainingSet,
    Weight,
)
from ecgedge.api.profile import Profile, Step
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.data.finding import synthetic
from ecgedge.testing import (
    Contract,
    ExporterContract,
    FakeExporter,
    FakeInt8,
    FakeModel,
    FakeRuntime,
    FakeSession,
    ModelContract,
    QuantizerContract,
    RuntimeContract,
    draw,
    read_fake,
    write_fake,
    write_fake_checkpoint,
)


def checkpoint(folder: Path) -> Artifact:
    model = FakeModel(write_fake_checkpoint(folder / "checkpoint", synthetic()))
    return read_checkpoint(model.folder, {model.name: model})


def exported(folder: Path) -> Artifact:
    return FakeExporter().convert(checkpoint(folder), folder / "source.fake", Context(draw(10)))


class OfFakeRuntime(RuntimeContract):
    part = FakeRuntime()

    def artifact(self, folder: Path) -> Artifact:
        return checkpoint(folder)


class OfFakeExporter(ExporterContract):
    part = FakeExporter()
    runtimes = (FakeRuntime(),)

    def source(self, folder: Path) -> Artifact:
        return checkpoint(folder)


class OfFakeInt8(QuantizerContract):
    part = FakeInt8()
    runtimes = (FakeRuntime(),)

    def source(self, folder: Path) -> Artifact:
        return exported(folder)


class OfFakeModel(ModelContract):
    part = FakeModel(Path("absent"))

    def answers(self, network: Any, beats: np.ndarray) -> np.ndarray:
        return beats[:, 0] @ network.T


class TestFakeRuntime(OfFakeRuntime):
    pass


class TestFakeExporter(OfFakeExporter):
    pass


class TestFakeInt8(OfFakeInt8):
    pass


class TestFakeModel(OfFakeModel):
    pass


def methods_of(contract: type[Contract]) -> list[str]:
    return [name for name in dir(contract) if name.startswith("test_")]


def breaks(contract: type[Contract], part: Any) -> Iterator[str]:
    """The tests of a contract that a part fails; any error but AssertionError is the contract's own fault."""
    tried = type("Tried", (contract,), {"part": part})()
    for name in methods_of(contract):
        try:
            getattr(tried, name)()
        except AssertionError:
            yield name


# Runtimes. A broken one is a session that does one thing wrong, or a runtime that does.


class WrongShape(FakeSession):
    def fetch(self) -> np.ndarray:
        return super().fetch().T


class WrongType(FakeSession):
    def fetch(self) -> np.ndarray:
        return super().fetch().astype(np.float64)


class Random(FakeSession):
    def fetch(self) -> np.ndarray:
        return super().fetch() + np.random.default_rng().random(dtype=np.float32)


class Remembers(FakeSession):
    """As a recurrent network does whose state is left as the beat before made it."""

    def invoke(self) -> None:
        before = getattr(self, "state", 0.0)
        super().invoke()
        self.state = self.y = self.y + np.float32(0.1) * np.mean(before)


class Normalised(FakeSession):
    """Over the batch, as a batch norm left in training does."""

    def fetch(self) -> np.ndarray:
        y = super().fetch()
        return y - y.mean(axis=0)


class Modifies(FakeSession):
    def bind(self, x: np.ndarray) -> None:
        super().bind(x)
        self.x *= 0.5


class OneBuffer(FakeSession):
    """Hands out its buffer, as ``tensor()`` views do."""

    buffers: dict[int, np.ndarray]

    def fetch(self) -> np.ndarray:
        if "buffers" not in vars(self):
            self.buffers = {}
        buffer = self.buffers.setdefault(len(self.y), np.empty_like(self.y, dtype=np.float32))
        buffer[...] = self.y
        return buffer


class Shared(FakeSession):
    """All sessions have one input."""

    bound: np.ndarray

    def bind(self, x: np.ndarray) -> None:
        Shared.bound = x[:, 0].copy()

    def invoke(self) -> None:
        self.y = Shared.bound @ self.weights.T


class ClosesOnce(FakeSession):
    def close(self) -> None:
        del self.weights


NODE = Node("scores", "MatMul", "numpy", "cpu", ("float32", "float32"), ("float32",), (0, 700))


class Tells(FakeSession):
    told: Any = Graph((NODE,), (Weight("weights", "float32", 2800),))

    def graph(self) -> Graph | None:
        return self.told


class NoJson(Tells):
    told = Graph((replace(NODE, device=Path("cpu")),), None)  # type: ignore[arg-type]


class Lists(Tells):
    told = Graph([NODE], None)  # type: ignore[arg-type]


class NoNodes(Tells):
    told = Graph((), None)


class Nowhere(Tells):
    told = Graph((replace(NODE, device=""),), None)


class NoDtypes(Tells):
    told = Graph((replace(NODE, takes=("<class 'numpy.float32'>",), constants=()),), None)


class OtherConstants(Tells):
    told = Graph((replace(NODE, constants=(700,)),), None)


class NoGraph(Tells):
    told = {"device": "cpu"}


class Disturbs(Tells):
    def graph(self) -> Graph | None:
        self.weights = self.weights * 2
        return super().graph()


class Profiled(Tells):
    """One of its fields is wrong in each of those below."""

    steps = (Step("MatMul", NODE.name, (NODE.name,), (1.0, 1.0, 1.0)),)
    told = Graph((NODE,), None)

    def profile(self, calls: int) -> Profile:
        return Profile(self.steps)


class NoSteps(Profiled):
    steps = ()


class OneTime(Profiled):
    steps = (replace(Profiled.steps[0], microseconds=(1.0,)),)


class OtherNodes(Profiled):
    steps = (replace(Profiled.steps[0], nodes=("another",)),)


class NoSuchPartition(Profiled):
    steps = (replace(Profiled.steps[0], partition="piece 1"),)


class Figures(FakeSession):
    told: Any = {"arena_bytes": 15936, "share": 0.5, "board": "none"}

    def figures(self) -> Any:
        return self.told


class NoNames(Figures):
    told = {"arena bytes": 15936}


class NoValues(Figures):
    told = {"arena_bytes": np.int64(15936)}


class NotFinite(Figures):
    told = {"share": float("nan")}


class Measuring(FakeSession):
    """Tells of every call by a clock of its own."""

    calls = 0
    clock = "a clock"

    def invoke(self) -> None:
        super().invoke()
        self.calls += 1

    def measured(self) -> Any:
        calls, self.calls = self.calls, 0
        return Measured((1000,) * calls, self.clock)


class ForgetsNothing(Measuring):
    def measured(self) -> Any:
        return Measured((1000,) * self.calls, self.clock)


class SeveralClocks(Measuring):
    def measured(self) -> Any:
        self.clock += "!"
        return super().measured()


class NoMeasured(Measuring):
    def measured(self) -> Any:
        return 1000


class TwoThreads(FakeSession):
    def __init__(self, weights: np.ndarray):
        super().__init__(weights)
        self.pool = ThreadPoolExecutor(2)

    def invoke(self) -> None:
        super().invoke()
        list(self.pool.map(hashlib.sha256, [bytes(2_000_000)] * 2))

    def close(self) -> None:
        self.pool.shutdown()


class LargeProducts(FakeSession):
    """Its library takes every core, unless the environment says how many; nothing in its code does."""

    large = np.ones((700, 700), np.float32)

    def invoke(self) -> None:
        super().invoke()
        self.large @ self.large


class Constant(FakeSession):
    def fetch(self) -> np.ndarray:
        return np.zeros_like(super().fetch())


class FixedBatch(FakeSession):
    batch = 4


class Broken(FakeRuntime):
    """A fake runtime with another session, and other attributes."""

    def __init__(self, session: type[FakeSession] = FakeSession, **attributes: Any):
        super().__init__("broken")
        self.session = session
        vars(self).update(attributes)

    def load(self, artifact: Artifact, threads: int) -> Session:
        return self.session(np.load(artifact.path / "weights.npy"))


class Talkative(Broken):
    def available(self) -> str | None:
        return ""


class MoreThreadsOtherAnswers(FakeRuntime):
    def load(self, artifact: Artifact, threads: int) -> Session:
        return FakeSession(np.load(artifact.path / "weights.npy") * threads)


@pytest.mark.parametrize(
    ("part", "test"),
    [
        (Broken(WrongShape), "answers_have_the_right_shape_and_type"),
        (Broken(WrongType), "answers_have_the_right_shape_and_type"),
        (Broken(FixedBatch), "answers_have_the_right_shape_and_type"),
        (Broken(Constant), "different_beats_have_different_answers"),
        (Broken(Random), "the_same_beats_have_the_same_answers"),
        (Broken(Remembers), "the_order_of_beats_does_not_matter"),
        (Broken(Normalised), "neighbours_in_a_batch_do_not_matter"),
        (Broken(Modifies), "beats_are_not_modified"),
        (Broken(OneBuffer), "fetched_answers_stay"),
        (Broken(Shared), "two_sessions_do_not_disturb_each_other"),
        (Broken(ClosesOnce), "close_can_be_called_twice"),
        (Broken(NoJson), "the_graph_is_told_or_none"),
        (Broken(Lists), "the_graph_is_told_or_none"),
        (Broken(NoNodes), "the_graph_is_told_or_none"),
        (Broken(Nowhere), "the_graph_is_told_or_none"),
        (Broken(NoDtypes), "the_graph_is_told_or_none"),
        (Broken(OtherConstants), "the_graph_is_told_or_none"),
        (Broken(NoGraph), "the_graph_is_told_or_none"),
        (Broken(Disturbs), "the_graph_is_told_or_none"),
        (Broken(NoSteps), "the_profile_is_told_or_none"),
        (Broken(OneTime), "the_profile_is_told_or_none"),
        (Broken(OtherNodes), "the_profile_is_told_or_none"),
        (Broken(NoSuchPartition), "the_profile_is_told_or_none"),
        (Broken(NoNames), "figures_have_names_and_values"),
        (Broken(NoValues), "figures_have_names_and_values"),
        (Broken(NotFinite), "figures_have_names_and_values"),
        (Broken(ForgetsNothing), "what_it_measures_itself_is_of_the_calls_made"),
        (Broken(SeveralClocks), "what_it_measures_itself_is_of_the_calls_made"),
        (Broken(NoMeasured), "what_it_measures_itself_is_of_the_calls_made"),
        (Broken(TwoThreads), "one_thread_is_one_thread"),
        (Broken(needs=("no_such_library",)), "what_it_needs_is_importable"),
        (Broken(needs=("json.decoder",)), "what_it_needs_is_importable"),
        (Broken(needs=("json",)), "no_framework_is_imported_to_collect_it"),
        (Broken(accepts=("onnx",)), "it_accepts_what_it_is_tested_with"),
        (Broken(accepts="numpy"), "it_is_a_part"),
        (Talkative(), "available_is_none_or_one_line"),
        (MoreThreadsOtherAnswers(), "threads_do_not_change_answers"),
        (FakeExporter(), "it_is_a_part"),
    ],
    ids=lambda value: getattr(getattr(value, "session", None), "__name__", type(value).__name__),
)
def test_a_runtime_that_breaks_it_is_seen(part: Any, test: str) -> None:
    tried = type("Tried", (OfFakeRuntime,), {"part": part})()
    with pytest.raises(AssertionError):
        getattr(tried, f"test_{test}")()


def test_a_runtime_has_the_threads_that_the_matrix_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy computes on every core by itself; the matrix limits its processes, and so does the contract."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    type("Tried", (OfFakeRuntime,), {"part": Broken(LargeProducts)})().test_one_thread_is_one_thread()


def test_each_test_of_a_runtime_is_shown_to_fail() -> None:
    """But those about files and imports, which have tests of their own below."""
    [marks] = [mark for mark in test_a_runtime_that_breaks_it_is_seen.pytestmark if mark.name == "parametrize"]
    shown = {f"test_{test}" for _, test in marks.args[1]}
    own = {"test_files_are_inspected", "test_it_works_with_only_what_it_needs"}
    assert shown | own == set(methods_of(RuntimeContract))


class ReadsAnything(FakeRuntime):
    suffixes = (".fake",)

    def inspect(self, path: Path) -> Artifact:
        return replace(checkpoint(path.parent), path=path)


class TellsOfFiles(FakeRuntime):
    """Reads files well, but for the precision that it tells."""

    suffixes = (".fake",)
    told = "fp16"

    def inspect(self, path: Path) -> Artifact:
        if not path.stat().st_size:
            raise EcgEdgeError(f"{path} is empty")
        return replace(told_artifact(path), precision=self.told)


class TellsTheTruth(TellsOfFiles):
    told = "fp32"


def told_artifact(path: Path) -> Artifact:
    return replace(exported(path.parent / "again"), path=path)


class OfFile(OfFakeRuntime):
    def artifact(self, folder: Path) -> Artifact:
        return exported(folder)


@pytest.mark.parametrize(("part", "good"), [(ReadsAnything(), False), (TellsOfFiles(), False), (TellsTheTruth(), True)])
def test_a_runtime_that_misreads_files_is_seen(part: FakeRuntime, good: bool) -> None:
    tried = type("Tried", (OfFile,), {"part": part})()
    if good:
        tried.test_files_are_inspected()
    else:
        with pytest.raises(AssertionError):
            tried.test_files_are_inspected()


UNDECLARED = """
from ecgedge.testing import FakeRuntime
{top}
class Lazy(FakeRuntime):
    needs = {needs}

    def load(self, artifact, threads):
        import {framework}
        return super().load(artifact, threads)
"""


NEIGHBOUR = """
import acme_engine
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime


class Neighbour(FakeRuntime):
    needs = ("acme_engine",)


@hookimpl
def ecgedge_runtimes():
    return [Neighbour("neighbour")]
"""


@pytest.mark.parametrize("framework", ["jax", "acme_engine"])
@pytest.mark.parametrize(
    ("top", "is_needed", "collected", "worked"),
    [("", True, True, True), ("", False, True, False), ("import {framework}", True, False, True)],
)
def test_imports_are_seen(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    framework: str,
    top: str,
    is_needed: bool,
    collected: bool,
    worked: bool,
) -> None:
    """Of a framework that all know, and of one that another plugin needs, which itself imports it too early.

    With an empty module in its place.
    """
    needs = (framework,) if is_needed else ()
    (tmp_path / f"{framework}.py").write_text("")
    text = UNDECLARED.format(top=top.format(framework=framework), needs=needs, framework=framework)
    (tmp_path / "lazy_part.py").write_text(text)
    if framework == "acme_engine":
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "neighbour.py").write_text(NEIGHBOUR)
        monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(tmp_path / "plugins"))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazy_part", framework):
        monkeypatch.setitem(sys.modules, name, None)  # so that what is imported here is gone afterwards
        del sys.modules[name]
    import lazy_part

    tried = type("Tried", (OfFakeRuntime,), {"part": lazy_part.Lazy()})()
    for keeps, test in (
        (collected, tried.test_no_framework_is_imported_to_collect_it),
        (worked, tried.test_it_works_with_only_what_it_needs),
    ):
        if keeps:
            test()
        else:
            with pytest.raises(AssertionError, match=framework):
                test()


def test_what_cannot_run_here_is_skipped_with_its_reason() -> None:
    import unittest

    tried = type("Tried", (OfFakeRuntime,), {"part": FakeRuntime("absent", "no such device")})()
    tried.test_available_is_none_or_one_line()
    with pytest.raises(unittest.SkipTest, match="no such device"):
        tried.test_beats_are_not_modified()


# Exporters and quantizers.


class Elsewhere(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return super().convert(source, out.with_name("elsewhere"), context)


class Nothing(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return source.derive(out, format="fake")


class WritesToItsSource(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        made = super().convert(source, out, context)
        (source.path / "weights.npy").touch()
        np.save(source.path / "weights.npy", np.load(source.path / "weights.npy") * 2)
        return made


class OtherAnswers(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        made = super().convert(source, out, context)
        write_fake(out, read_fake(out) * 1.01)
        return made


class OtherFormat(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return replace(super().convert(source, out, context), format="onnx")


class NoParents(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return replace(super().convert(source, out, context), parents=())


class Swallows(FakeExporter):
    """Makes something of a source that it could not read."""

    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        try:
            return super().convert(source, out, context)
        except Exception:
            write_fake(out, np.zeros((5, 140)))
            return source.derive(out, format="fake")


class PromisesABatch(FakeExporter):
    fixed_batch = True


class Unwritable(FakeExporter):
    def convert(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return replace(super().convert(source, out, context), maker={"at": out})


class Loop(FakeExporter):
    accepts = ("numpy", "fake")


class Imports(FakeExporter):
    needs = ("json",)


@pytest.mark.parametrize(
    ("part", "test"),
    [
        (Elsewhere(), "it_writes_where_it_is_told"),
        (Nothing(), "it_writes_where_it_is_told"),
        (OtherFormat(), "it_makes_what_it_promises"),
        (NoParents(), "it_makes_what_it_promises"),
        (WritesToItsSource(), "the_source_is_left_as_it_was"),
        (OtherAnswers(), "answers_are_those_of_the_source"),
        (Swallows(), "a_damaged_source_is_refused"),
        (PromisesABatch(), "the_batch_is_honoured"),
        (Unwritable(), "the_record_can_be_read_back"),
        (Loop(), "it_leads_from_one_format_to_another"),
        (Imports(), "no_framework_is_imported_to_collect_it"),
        (FakeInt8(), "it_is_a_part"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_exporter_that_breaks_it_is_seen(part: Any, test: str) -> None:
    tried = type("Tried", (OfFakeExporter,), {"part": part})()
    with pytest.raises(AssertionError):
        getattr(tried, f"test_{test}")()


class Copies(FakeInt8):
    """Says int8 and gives the source back."""

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        out.write_bytes(source.path.read_bytes())
        return source.derive(out, precision=self.precision)


class Renames(FakeInt8):
    """Says int8, and gives other bytes with the same answers."""

    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        write_fake(out, read_fake(source.path), 1.0 + 0 * len(context.beats))
        with out.open("ab") as file:
            file.write(b"int8")
        return source.derive(out, precision=self.precision)


class Coarse(FakeInt8):
    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        write_fake(out, np.sign(read_fake(source.path)))
        return source.derive(out, precision=self.precision)


class SaysFp32(FakeInt8):
    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        return replace(super().quantize(source, out, context), precision="fp32")


class DiffersEachTime(FakeInt8):
    def quantize(self, source: Artifact, out: Path, context: Context) -> Artifact:
        made = super().quantize(source, out, context)
        write_fake(out, read_fake(out) * (1 + 0.01 * np.random.default_rng().random()))
        return made


@pytest.mark.parametrize(
    ("part", "test"),
    [
        (Copies(), "another_precision_is_another_file"),
        (Renames(), "another_precision_is_another_file"),
        (Coarse(), "answers_are_those_of_the_source"),
        (SaysFp32(), "it_makes_what_it_promises"),
        (DiffersEachTime(), "done_twice_it_answers_the_same"),
        (type("Deaf", (FakeInt8,), {"accepts": ("onnx",)})(), "it_accepts_what_it_is_tested_with"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_quantizer_that_breaks_it_is_seen(part: Any, test: str) -> None:
    tried = type("Tried", (OfFakeInt8,), {"part": part})()
    with pytest.raises(AssertionError):
        getattr(tried, f"test_{test}")()


# Models.


class FewClasses(FakeModel):
    def build(self, classes: int, length: int, **options: Any) -> np.ndarray:
        return np.zeros((min(classes, 3), length), dtype=np.float32)


class Unseeded(FakeModel):
    def build(self, classes: int, length: int, **options: Any) -> np.ndarray:
        return np.random.default_rng().random((classes, length), dtype=np.float32)


class TakesShortBeats(FakeModel):
    min_length = 8


class Crashes(FakeModel):
    min_length = 8

    def build(self, classes: int, length: int, **options: Any) -> np.ndarray:
        if length < self.min_length:
            raise ValueError("kernel larger than the input")
        return super().build(classes, length)


class Regression(FakeModel):
    task = "regression"


class NoCheckpoint(FakeModel):
    def pretrained(self) -> Path | None:
        return Path("absent")


class TakesNoDropout(FakeModel):
    fit = Model.fit
    build_options = ("dropout",)

    def build(self, classes: int, length: int, scale: float = 1.0) -> np.ndarray:
        return super().build(classes, length)


class FitsAtRandom(FakeModel):
    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        return Fitted(np.random.default_rng().random((data.classes, data.length), dtype=np.float32))


class FitsSeenClasses(FakeModel):
    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        return Fitted(super().fit(data, context).network[np.unique(data.y)])


class FitsBare(FakeModel):
    def fit(self, data: TrainingSet, context: TrainingContext) -> Any:
        return super().fit(data, context).network


class FitsWithTorch(FakeModel):
    def fit(self, data: TrainingSet, context: TrainingContext) -> Fitted:
        import torch  # noqa: F401

        return super().fit(data, context)


class SavesRounded(FakeModel):
    def save(self, network: np.ndarray, folder: Path) -> list[str]:
        return super().save(network.round(1), folder)


class SavesNothing(FakeModel):
    def save(self, network: np.ndarray, folder: Path) -> list[str]:
        return []


class AnswersDouble(FakeModel):
    def predict(self, network: np.ndarray, x: np.ndarray) -> np.ndarray:
        return super().predict(network, x).astype(np.float64)


class AnswersTogether(FakeModel):
    def predict(self, network: np.ndarray, x: np.ndarray) -> np.ndarray:
        return super().predict(network, x - x.mean(axis=0))


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (TakesNoDropout, "it_is_built_with_the_options_that_it_names"),
        (FitsAtRandom, "a_training_of_its_own_works"),
        (FitsBare, "a_training_of_its_own_works"),
        (SavesRounded, "a_training_of_its_own_works"),
        (SavesNothing, "a_training_of_its_own_works"),
        (AnswersDouble, "a_training_of_its_own_works"),
        (AnswersTogether, "a_training_of_its_own_works"),
        (FitsSeenClasses, "a_class_may_have_no_beats_to_train_on"),
        (FitsWithTorch, "it_works_with_only_what_it_needs"),
        (FewClasses, "answers_have_the_right_shape"),
        (Unseeded, "the_same_seed_builds_the_same_network"),
        (TakesShortBeats, "too_short_a_beat_is_the_users_error"),
        (Crashes, "too_short_a_beat_is_the_users_error"),
        (Regression, "its_task_is_known"),
        (NoCheckpoint, "pretrained_weights_can_be_read"),
    ],
)
def test_a_model_that_breaks_it_is_seen(kind: type[FakeModel], test: str) -> None:
    tried = type("Tried", (OfFakeModel,), {"part": kind(Path("absent"))})()
    with pytest.raises(AssertionError):
        getattr(tried, f"test_{test}")()


def test_a_broken_part_fails_only_where_it_is_broken() -> None:
    assert list(breaks(OfFakeRuntime, Broken(NoJson))) == ["test_the_graph_is_told_or_none"]
    type("Tried", (OfFakeRuntime,), {"part": Broken(Tells)})().test_the_graph_is_told_or_none()
    type("Tried", (OfFakeRuntime,), {"part": Broken(Figures)})().test_figures_have_names_and_values()
    type("Tried", (OfFakeRuntime,), {"part": Broken(Measuring)})().test_what_it_measures_itself_is_of_the_calls_made()
    assert list(breaks(OfFakeInt8, SaysFp32())) == ["test_it_makes_what_it_promises"]


def test_the_contracts_need_no_pytest() -> None:
    probe = "import sys; sys.modules['pytest'] = None; import ecgedge.testing"
    subprocess.run([sys.executable, "-c", probe], check=True)
