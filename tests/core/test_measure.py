"""What a bench measures of a session, what the energy counter tells, and how a run bears a full disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import Artifact, Classification, Runtime, Session, TensorSpec
from ecgedge.measure import bench
from ecgedge.measure.bench import BATCHES, BLOCK_CALLS, PROFILES, RELOAD_MS, Bench
from ecgedge.measure.machine import EnergyCounter
from tests.conftest import Command, Disk, error_of

BEATS = np.random.default_rng(0).standard_normal((50, 1, 8)).astype(np.float32)
SPEC = TensorSpec("x", (None, 1, 8), "float32", "NCL")
ARTIFACT = Artifact(Path("none"), "none", "fp32", Classification(("a", "b")), SPEC, SPEC, "none")


class Counting(Session):
    def __init__(self, runtime: Counter):
        self.runtime, self.batch = runtime, runtime.batch
        self.ballast = np.ones(runtime.megabytes << 17)  # 8 bytes each

    def bind(self, x: np.ndarray) -> None:
        self.runtime.seen.append(x)
        self.x = x

    def invoke(self) -> None:
        end = time.perf_counter() + self.runtime.seconds
        while time.perf_counter() < end:
            pass

    def fetch(self) -> np.ndarray:
        return self.x[:, 0, :2]


class Counter(Runtime):
    name = "counter"
    accepts = ("none",)

    def __init__(self, batch: int | None = None, megabytes: int = 0, seconds: float = 0.0):
        self.batch, self.megabytes, self.seconds = batch, megabytes, seconds
        self.loads = 0
        self.seen: list[np.ndarray] = []

    def load(self, artifact: Artifact, threads: int) -> Session:
        self.loads += 1
        return Counting(self)


def bench_of(runtime: Counter) -> Bench:
    return Bench(runtime, ARTIFACT, 1, BEATS, seed=1)


def test_memory_is_what_loading_took() -> None:
    if bench_of(Counter()).figures["memory_kib"] is None:
        pytest.skip("this system does not tell")
    small, large = (bench_of(Counter(megabytes=size)).figures["memory_kib"] for size in (0, 64))
    assert 60_000 < large - small < 70_000


def test_a_file_is_loaded_anew_unless_that_takes_long() -> None:
    runtime = Counter()
    made = bench_of(runtime)
    before = runtime.loads
    made.load_anew()
    assert runtime.loads == before + 1, "how a file lies in memory is drawn anew"
    made.figures["load_ms"] = RELOAD_MS
    made.load_anew()
    assert runtime.loads == before + 1


def test_a_block_has_calls_enough_and_loads_nothing() -> None:
    runtime = Counter()
    made = bench_of(runtime)
    before = runtime.loads
    samples, told = made.block(0.0)
    assert samples.shape == (2, BLOCK_CALLS)
    assert (samples > 0).all()
    assert 0 < told["cpu_share"] < 1.5
    assert runtime.loads == before, "the energy of a block is not that of loading"
    begun = time.perf_counter()
    made.block(0.02)
    assert time.perf_counter() - begun >= 0.02, "a block lasts as long as was asked"


def test_inputs_are_drawn_from_all_beats() -> None:
    runtime = Counter()
    made = bench_of(runtime)
    runtime.seen.clear()
    made.timed(400, 0.0)
    drawn = {x.tobytes() for x in runtime.seen}
    assert {x.shape for x in runtime.seen} == {(1, 1, 8)}
    assert drawn <= {beat.tobytes() for beat in BEATS} and len(drawn) > 45


def test_warming_up_ends_when_it_is_stable() -> None:
    told = bench_of(Counter(seconds=500e-6)).warm_up()
    assert told["stable"] and told["warm_up_calls"] >= 60


def test_throughput_is_measured_at_each_batch() -> None:
    made = bench_of(Counter())
    taken = made.throughput({}, BEATS, PROFILES["quick"])
    assert list(taken) == [str(size) for size in BATCHES]
    assert all(len(times) >= PROFILES["quick"].bulk_calls for times in taken.values())
    fixed = Counter(batch=3)
    assert list(bench_of(fixed).throughput({}, BEATS, PROFILES["quick"])) == ["3"]


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    folder = tmp_path / "intel-rapl:0"
    folder.mkdir()
    for name, text in (("name", "package-0\n"), ("energy_uj", "900\n"), ("max_energy_range_uj", "1000\n")):
        (folder / name).write_text(text)
    return folder


def test_energy_is_what_was_spent_beyond_idling(counter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnergyCounter, "ROOT", counter.parent)
    monkeypatch.setattr(EnergyCounter, "IDLE_SECONDS", 0.01)
    found = EnergyCounter.find()
    assert found.describe() == {"counter": "intel-rapl:0 package-0", "idle_w": 0.0}
    found.idle = 1e6  # a watt
    before = found.read()
    (counter / "energy_uj").write_text("50\n")  # it has counted round
    told = found.since((before[0], before[1] - 1e-4))
    assert told["package_uj"] == 150
    assert -1e5 < told["active_uj"] < 50.0, "the idle machine's share is taken off"


def test_without_a_counter_energy_is_said_not_to_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnergyCounter, "ROOT", tmp_path)
    found = EnergyCounter.find()
    assert str(found.describe()).startswith("not measured")
    assert found.since(found.read()) == {}


def test_a_full_disk_under_a_run(ecgedge: Command, fakes: Path, disk: Disk, tmp_path: Path) -> None:
    """It ends in one clear error; what is on record stays, and the run goes on when there is room."""

    def matrix(*arguments: Any) -> Any:
        return ecgedge("--plugins-dir", fakes, "matrix", *arguments)

    out = disk.path / "run"
    asked = (
        "--dataset",
        "synthetic",
        "--model",
        "fake",
        "--profile",
        "quick",
        "--runtime",
        "fake-runtime",
        "--out",
        out,
    )
    disk.fill(leave=100_000)
    told = error_of(matrix(*asked))
    assert "cannot be written: No space left on device" in told


NVIDIA_SMI = """#!/bin/sh
# nvidia-smi as its manual has it: -i INDEX --query-...=FIELDS --format=csv,noheader,nounits
echo "$@" >> {folder}/asked
case "$3" in
  --query-gpu=clocks.sm) head -1 {folder}/clocks; sed -i '1{{$!d}}' {folder}/clocks ;;
  --query-gpu=memory.used) head -1 {folder}/used; sed -i '1{{$!d}}' {folder}/used ;;
  --query-compute-apps=pid,used_gpu_memory) cat {folder}/apps ;;
  --query-gpu=name,driver_version,memory.total) echo "NVIDIA H200, 580.65.06, 143771" ;;
  *) exit 6 ;;
esac
"""


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPU as its driver's tool tells of it: files hold what it will answer, line by line."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(NVIDIA_SMI.format(folder=tmp_path))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    for name, text in (("clocks", "345\n1200\n1965\n1980\n1980\n1980\n"), ("used", "4\n518\n"), ("apps", "")):
        (tmp_path / name).write_text(text)
    return tmp_path


class OnGpu(Counter):
    device = "cuda"

    def load(self, artifact: Artifact, threads: int, **options: object) -> Session:
        self.options_seen = options
        session = super().load(artifact, threads)
        session.copies = "outside"
        return session


def test_the_memory_of_a_gpu(gpu: Path) -> None:
    """What loading took: of this process where the driver tells, else by how much more is held than before."""
    loaded = bench_of(OnGpu())
    assert (loaded.figures["device_memory_kib"], loaded.session.copies) == (514 * 1024, "outside")
    (gpu / "apps").write_text(f"1, 9000\n{os.getpid()}, 612\n")
    assert bench_of(OnGpu()).figures["device_memory_kib"] == 612 * 1024
    (gpu / "apps").write_text(f"{os.getpid()}, [N/A]\n")
    (gpu / "used").write_text("[N/A]\n")
    assert bench_of(OnGpu()).figures["device_memory_kib"] is None
    assert "device_memory_kib" not in bench_of(Counter()).figures, "a processor has no other memory"


def test_a_gpu_is_warmed_up_until_its_clock_is_up(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CLOCK_SECONDS", 0.01)
    told = bench_of(OnGpu()).warm_up()
    assert told["sm_clock_mhz"] == 1980 and told["warm_up_calls"] >= 60
    assert (gpu / "clocks").read_text() == "1980\n", "three looks agree"
    (gpu / "clocks").write_text("[N/A]\n")
    assert "sm_clock_mhz" not in bench_of(OnGpu()).warm_up()
    assert "sm_clock_mhz" not in bench_of(Counter()).warm_up()


def test_the_gpu_that_cuda_sees_first_is_asked(gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    bench_of(OnGpu())
    assert {line.split()[1] for line in (gpu / "asked").read_text().splitlines()} == {"2"}


def test_a_block_on_a_device_lasts_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls vary more from one to the next."""
    asked = {}
    for runtime in (Counter(), OnGpu()):
        made, device = bench_of(runtime), runtime.device

        def timed(calls: int, seconds: float, at: str = device) -> tuple[np.ndarray, None]:
            asked[at] = seconds
            return np.zeros((2, calls), dtype=np.int64), None

        monkeypatch.setattr(made, "timed", timed)
        made.block(0.05)
    assert asked == {"cpu": 0.05, "cuda": 0.2}


class Roomy(OnGpu):
    """Takes as long for a few beats as for ``whole``, so that batches pay up to there; has room for ``most``."""

    def __init__(self, whole: int, most: int = 1 << 30):
        super().__init__()
        self.whole, self.most = whole, most

    def load(self, artifact: Artifact, threads: int, **options: object) -> Session:
        session = super().load(artifact, threads)
        bind = session.bind

        def binding(x: np.ndarray) -> None:
            if len(x) > self.most:
                raise RuntimeError("out of memory")
            bind(x)

        session.bind = binding
        return session

    def nanoseconds(self, *_: object) -> tuple[np.ndarray, None]:
        """Of calls with the beats that were bound last."""
        return np.full(5, max(len(self.seen[-1]), self.whole) * 1000), None


@pytest.mark.parametrize(
    ("runtime", "sizes"),
    [
        (Roomy(1), [1, 16, 64, 256]),
        (Roomy(300), [1, 16, 64, 256, 1024, 4096]),
        (Roomy(1000, most=300), [1, 16, 64, 256]),
        (Roomy(1 << 20), [1, 16, 64, 256, 1024, 4096, 16384]),
    ],
)
def test_batches_grow_on_a_device_until_they_no_longer_pay(
    runtime: Roomy, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "repeated", runtime.nanoseconds)
    made = bench_of(runtime)
    assert list(made.throughput({}, BEATS, PROFILES["quick"])) == [*map(str, sizes)]
    assert list(made.throughput({}, BEATS, PROFILES["quick"], [2, 128])) == ["2", "128"], "what was asked for"


def test_options_of_a_runtime_reach_every_load() -> None:
    runtime = OnGpu()
    made = Bench(runtime, ARTIFACT, 1, BEATS, seed=1, options={"cuda_graph": True})
    for step in (lambda: None, made.load_anew, lambda: made.throughput({}, BEATS, PROFILES["quick"], [1])):
        step()
        assert runtime.options_seen == {"cuda_graph": True}
        runtime.options_seen = {}
