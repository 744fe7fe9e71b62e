"""Environments of their own: parts of several in one matrix, and what is said of one that is missing or broken.

Made by pip from wheels that are written here: numpy's is a pointer to ours, so that nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ecgedge import Measured, Profile, Step, TensorSpec, environments, plugins, tell_artifact
from ecgedge.api.parts import Context, Part, Quantizer, Runtime
from ecgedge.data.finding import synthetic
from ecgedge.devices.host import Host
from ecgedge.testing import draw, write_fake, write_fake_checkpoint
from ecgedge.workers import protocol
from ecgedge.workers.client import Child, ChildError
from ecgedge.workers.hosts import guests, hosts
from ecgedge.workers.standins import at_hand
from tests.conftest import FAKES, Command, Result, error_of, rows_of, run_command
from tests.packages import write_wheel

THEIRS = """
import ctypes
from dataclasses import replace
from ecgedge import Blocks, Measured, Option, Profile, Step, hookimpl
from ecgedge.testing import FakeInt8, FakeRuntime

class TheirRuntime(FakeRuntime):
    needs = ("theirlib",)
    libraries = ("theirlib",)
    environment = "theirs"
    suffixes = (".theirs",)

    def load(self, artifact, threads):
        import theirlib
        if self.name == "crashes":
            ctypes.string_at(0)
        return super().load(artifact, threads)

class TheirInt8(FakeInt8):
    name = "their-int8"
    needs = libraries = ("theirlib",)
    environment = "theirs"

    def quantize(self, source, out, context):
        import theirlib
        return super().quantize(source, out, context)

class Judge(TheirInt8):  # each field is another than the default
    name = "judge"
    precision = "judged"
    needs_network = fixed_batch = judges = on_request = True
    produces = "fake"
    wants = ("fold_constants",)
    options = (Option("max_drop", float, 0.1, "What it may lose."),)

    def settle(self, options):
        return {"max_drop": 0.2, **options}

    def quantize(self, source, out, context):
        made = super().quantize(source, out, context)
        fixed = {each: getattr(made, each) for each in ("input", "output")}
        fixed = {each: replace(spec, shape=(context.batch, *spec.shape[1:])) for each, spec in fixed.items()}
        made = replace(made, **fixed)
        if context.labelled is None:
            return made
        x, y = context.labelled
        return replace(made, notes={"labelled": [list(x.shape), str(x.dtype), y.tolist()], **context.options})

class Teller(TheirRuntime):  # likewise
    device, computes, refuses = "npu", "float16", {"fp16": "it cannot"}
    options = (Option("gain", float, 1.0, "Of its times."),)
    folders, wants, on_request = ("told.json",), ("fold_constants",), True
    blocks = Blocks(calls=3, rounds=7, pause_s=0.5, reload=False)

    def load(self, artifact, threads, gain=1.0):
        session = super().load(artifact, threads)
        session.copies = "inside"
        if gain != 1.0:  # it tells no graph, so that its contract wants no profile either
            session.measured = lambda: Measured((1500,), "a clock", gain, "a meter", 7, "a map")
            session.profile = lambda calls: Profile((Step("MatMul", "m", ("m",), (gain,) * calls),), tick=0.5)
        return session

@hookimpl
def ecgedge_runtimes():
    return [TheirRuntime("theirs"), TheirRuntime("crashes"), Teller("teller")]

@hookimpl
def ecgedge_quantizers():
    return [TheirInt8(), Judge()]
"""
OTHER = """
import time
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

class Other(FakeRuntime):
    needs = ("theirlib",)
    environment = NAME

    def available(self):
        import theirlib
        return None if theirlib.VERSION == 2 else "theirlib is too old"

    def inspect(self, path):
        time.sleep(600)

@hookimpl
def ecgedge_runtimes():
    return [Other(NAME)]
"""
ABLE = """
class Able(Other):
    def available(self):
        return None
"""
RUNTIMES = ("fake-runtime", "theirs", "other", "crashes", "unmade")
CONTRACTS = """
from ecgedge import TensorSpec, tell_artifact
from ecgedge.testing import FakeRuntime, QuantizerContract, RuntimeContract, draw, write_fake
from their_plugin import TheirInt8, TheirRuntime

KEPT = (
    "test_it_is_a_part", "test_what_it_needs_is_importable", "test_no_framework_is_imported_to_collect_it",
    "test_it_works_with_only_what_it_needs", "test_answers_have_the_right_shape_and_type",
    "test_answers_are_those_of_the_source", "test_figures_have_names_and_values",
)

def specimen(self, folder):
    write_fake(folder / "five.fake", draw(5)[:, 0])
    given = TensorSpec("beats", (None, 140), "float32", "NL")
    return tell_artifact(folder / "five.fake", "fake", given, TensorSpec("scores", (None, 5), "float32", "NC"))

def few(contract):
    return {name: None for name in dir(contract) if name.startswith("test_") and name not in KEPT}

left = {"source": specimen, "artifact": specimen}
TestTheirs = type("TestTheirs", (RuntimeContract,), left | few(RuntimeContract) | {"part": TheirRuntime("theirs")})
TestTheirInt8 = type(
    "TestTheirInt8", (QuantizerContract,),
    left | few(QuantizerContract) | {"part": TheirInt8(), "runtimes": (TheirRuntime("theirs"),)},
)
KEPT = ()  # of the one that is there to fail
TestCrashes = type("TestCrashes", (RuntimeContract,), few(RuntimeContract) | {"part": TheirRuntime("crashes")})
"""
WORKER = "numpy\npluggy\n"  # what every lock here says besides


def write_wheels(folder: Path) -> Path:
    """Two versions of a library that we do not have; numpy and pluggy, which lead to ours."""
    wheels, borrowed = folder / "wheels", folder / "borrowed"
    for each in (wheels, borrowed):
        each.mkdir()
    for version in (1, 2):
        write_wheel(wheels, "theirlib", f"{version}.0", {"theirlib.py": f"VERSION = {version}\n"})
    import pluggy

    for source in (Path(np.__file__).parent, Path(np.__file__).parents[1] / "numpy.libs", Path(pluggy.__file__).parent):
        if source.exists():
            (borrowed / source.name).symlink_to(source)
    for name in ("numpy", "pluggy"):
        write_wheel(wheels, name, metadata.version(name), {f"{name}-borrowed.pth": f"{borrowed}\n"})
    return wheels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The fakes, an installed plugin with an environment, a plugin of one file with another; both are made."""
    folder = tmp_path_factory.mktemp("environments")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("UV_")]:  # ours, likewise
            patch.delenv(name)
        for name, value in {
            "ECGEDGE_ENVS": folder / "envs",
            "ECGEDGE_PLUGINS": "their_plugin",
            "ECGEDGE_PLUGINS_DIR": folder / "plugins",
            "PYTHONPATH": os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": write_wheels(folder),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CONSTRAINT": folder / "none.txt",  # ours, such as tox sets it, is not theirs
        }.items():
            patch.setenv(name, str(value))
        package, info = folder / "site" / "their_plugin", folder / "site" / "their_plugin-1.2.dist-info"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(THEIRS)
        (package / "contracts.py").write_text(CONTRACTS)
        (package / "theirs.lock").write_text("theirlib==1.0\n" + WORKER)
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("[ecgedge]\ntheir_plugin = their_plugin\n")
        (folder / "plugins").mkdir()
        checkpoint = write_fake_checkpoint(folder / "checkpoint", synthetic())
        (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
        for name in ("other", "unmade"):
            (folder / "plugins" / f"{name}.py").write_text(OTHER.replace("NAME", repr(name)))
            (folder / "plugins" / f"{name}.lock").write_text("theirlib==2.0\n")  # without what the worker needs
        for name in ("theirs", "other"):
            made = run_command("env", "create", name, folder=folder)
            assert made.code == 0, made.err
        yield folder


def matrix(ecgedge: Command, *arguments: str) -> Result:
    return ecgedge("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", *arguments)


@pytest.fixture
def skipped(ecgedge: Command) -> Iterator[object]:
    """Why the runtime ``theirs`` would be skipped; a part of ours is planned all the same."""

    def ask() -> str:
        told = matrix(ecgedge, "--dry-run", "--runtime", "theirs", "--runtime", "fake-runtime", "--quantizer", "none")
        assert told.code == 0, told.err
        assert "fp32 on fake-runtime" in told.out
        assert "Traceback" not in told.err
        [line] = {line.partition(": ")[2] for line in told.out.splitlines() if line.startswith("skip")}
        return line

    yield ask


def test_one_matrix_mixes_parts_of_several_environments(place: Path, ecgedge: Command, tmp_path: Path) -> None:
    runtimes = [word for name in RUNTIMES for word in ("--runtime", name)]
    result = matrix(ecgedge, "--format", "fake", *runtimes, "--quantizer", "their-int8", "--out", "run")
    rows = {row["runtime"]: row for row in rows_of(tmp_path / "run")}
    for name, environment in (("fake-runtime", None), ("theirs", "theirs"), ("other", "other")):
        assert rows[name]["status"] == "ok", rows[name]
        assert rows[name]["environment"] == environment
        assert rows[name]["latency_p50_us"] > 0
        assert rows[name]["accuracy"] == rows["fake-runtime"]["accuracy"] > 0.8

    crashed = rows["crashes"]
    assert (crashed["status"], crashed["stage"]) == ("failed", "load")
    assert "SIGSEGV" in crashed["reason"]
    assert rows["unmade"]["status"] == "skipped"
    mend = f"ecgedge --plugins-dir {place / 'plugins'} env create unmade"  # a plugin of one file
    assert rows["unmade"]["reason"] == f"runtime unmade: environment unmade is not made; {mend}"
    assert result.code == 1  # for what crashed

    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["environments"]["theirs"]["theirlib"] == "1.0"
    assert told["environments"]["other"]["theirlib"] == "2.0"
    journal = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    makers = [line["artifact"]["record"]["maker"] for line in journal if line.get("artifact")]
    theirs = [maker for maker in makers if maker["part"] == "quantizer their-int8"]
    assert theirs and all(maker["libraries"] == {"theirlib": "1.0"} for maker in theirs)
    assert all(maker["environment"] == "theirs" for maker in theirs)
    assert "environment theirs: " in (tmp_path / "run" / "report.md").read_text()
    assert ecgedge("check", "run").code == 0

    told["environments"]["theirs"]["theirlib"] = "0.9"
    (tmp_path / "run" / "run.json").write_text(json.dumps(told))
    changed = "a library in an environment of its own has changed (theirs, theirlib: 0.9 then, 1.0 now)"
    assert changed in error_of(ecgedge("matrix", "--resume", "run"))


def test_limits_hold_there(place: Path, tmp_path: Path) -> None:
    parts = plugins.load()
    host = Host("other", parts.environments["other"].python, guests(parts))
    asked = protocol.Missing("runtime", "other")
    with Child(tmp_path / "log", memory=1_000_000, host=host) as child, pytest.raises(Exception, match=r"Memory|died"):
        child.ask(asked, 60)
    with Child(tmp_path / "log", memory=4_000_000_000, host=host) as child:
        assert child.ask(asked, 60) is None
        with pytest.raises(ChildError, match="no answer within 1 s") as caught:
            child.ask(protocol.Inspect("other", Path("a file")), 1)
        assert caught.value.status == "timeout"


@pytest.mark.parametrize(("kind", "name"), [(Quantizer, "judge"), (Runtime, "teller"), (Runtime, "theirs")])
def test_a_stand_in_has_all_that_the_contract_declares(
    place: Path, kind: type[Part], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(place / "site")
    parts = plugins.load()
    part = parts.find(kind.kind, name)
    stand_in = at_hand(part, hosts(parts))
    assert type(stand_in) is not type(part)
    fields = {*Part.__annotations__, *kind.__annotations__}
    assert {field: getattr(stand_in, field) for field in fields} == {field: getattr(part, field) for field in fields}


def test_what_goes_there_and_comes_back_is_whole(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place / "site")
    parts = plugins.load()
    judge = at_hand(parts.find("quantizer", "judge"), hosts(parts))
    teller = at_hand(parts.find("runtime", "teller"), hosts(parts))
    write_fake(tmp_path / "five.fake", draw(5)[:, 0])
    given = TensorSpec("beats", (None, 140), "float32", "NL")
    returned = TensorSpec("scores", (None, 5), "float32", "NC")
    source = tell_artifact(tmp_path / "five.fake", "fake", given, returned)
    options = judge.settle({})
    assert options == {"max_drop": 0.2}
    beats = np.zeros((3, 1, 140), np.float32)
    context = Context(beats, options=options, labelled=(beats, np.arange(3)))
    made = judge.quantize(source, tmp_path / "made.fake", context)
    assert made.notes == {"labelled": [[3, 1, 140], "float32", [0, 1, 2]], "max_drop": 0.2}
    session = teller.load(made, 1, gain=2.5)
    session.bind(beats)
    session.invoke()
    assert session.copies == "inside"
    assert session.measured() == Measured((1500,), "a clock", 2.5, "a meter", 7, "a map")
    assert session.profile(2) == Profile((Step("MatMul", "m", ("m",), (2.5, 2.5)),), tick=0.5)
    session.close()


def test_answers_come_from_there_for_other_commands_too(place: Path, ecgedge: Command) -> None:
    ours, theirs = (
        ecgedge("evaluate", "fake", "--runtime", runtime, "--dataset", "synthetic")
        for runtime in ("fake-runtime", "theirs")
    )
    assert theirs.code == 0, theirs.err
    assert theirs.out.replace("on theirs", "on fake-runtime") == ours.out
    crashed = ecgedge("evaluate", "fake", "--runtime", "crashes", "--dataset", "synthetic")
    assert crashed.code == 1
    assert crashed.err.splitlines()[-1] == "Failed: in environment theirs: the process died: SIGSEGV"
    made = ecgedge("convert", "fake", "--to", "fake", "--quantize", "their-int8", "--dataset", "synthetic", "-o", "out")
    assert made.code == 0, made.err


def test_what_is_said_of_a_broken_environment(place: Path, ecgedge: Command, skipped) -> None:
    made, mend = place / "envs" / "theirs", "; ecgedge env create theirs"
    site = made / "lib" / f"python{environments.python_version()}" / "site-packages"
    for file, reason in (
        (made / "bin" / "python", "is broken: its interpreter is gone"),
        (made / environments.RECORD, f"is not ours: {made} holds no {environments.RECORD}"),
        (site / "theirlib.py", "is broken: theirlib is not installed"),
        (place / "borrowed", "is broken: the process died: exit code 1: ModuleNotFoundError: No module named 'numpy'"),
    ):
        aside = file.with_name("aside")
        file.rename(aside)
        try:
            assert skipped() == f"runtime theirs: environment theirs {reason}{mend}"
        finally:
            aside.rename(file)
    library = place / "envs" / "other" / site.relative_to(made) / "theirlib.py"
    text = library.read_text()
    library.write_text("raise ImportError('libtheirs.so.3: wrong ELF class')")
    broken = ecgedge("env", "check", "theirs", "other")
    library.write_text(text)
    assert broken.code == 1
    assert broken.out.splitlines() == [
        "environment theirs is sound",
        "runtime other: environment other is broken: ImportError: libtheirs.so.3: wrong ELF class; "
        f"ecgedge --plugins-dir {place / 'plugins'} env create other",
    ]
    sound = ecgedge("env", "check", "theirs", "other", ECGEDGE_HERE="other")
    assert (sound.code, sound.out) == (0, "environment theirs is sound\nenvironment other is sound\n")


def test_a_changed_lock_or_library_makes_it_stale(place: Path, ecgedge: Command, skipped) -> None:
    lock = place / "site" / "their_plugin" / "theirs.lock"
    before = lock.read_text()
    lock.write_text(before.replace("1.0", "2.0"))
    assert skipped() == "runtime theirs: environment theirs is stale: its lock changed; ecgedge env create theirs"
    made = ecgedge("env", "create", "theirs")
    assert made.code == 0, made.err
    assert environments.distributions(place / "envs" / "theirs")["theirlib"] == "2.0"
    lock.write_text(before)
    assert ecgedge("env", "create", "theirs").code == 0
    [info] = (place / "envs" / "theirs").glob("lib/*/site-packages/theirlib-1.0.dist-info")
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("1.0", "3.0"))
    told = "is stale: theirlib was 1.0 and is 3.0 since it was made"
    assert skipped() == f"runtime theirs: environment theirs {told}; ecgedge env create theirs"
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("3.0", "1.0"))


def test_the_contracts_of_parts_there_are_run_from_here(place: Path, ecgedge: Command) -> None:
    checked = ecgedge("plugins", "check", "their_plugin")
    assert checked.code == 0, checked.out
    assert "TestTheirs, runtime theirs: 6 passed" in checked.out, checked.out
    assert "TestTheirInt8, quantizer their-int8: 5 passed" in checked.out, checked.out


def test_a_sound_one_is_left_as_it_is(place: Path, ecgedge: Command) -> None:
    before = (place / "envs" / "theirs" / environments.RECORD).stat().st_mtime_ns
    told = ecgedge("env", "create", "theirs")
    assert told.out == "environment theirs is sound; --force makes it anew\n"
    assert (place / "envs" / "theirs" / environments.RECORD).stat().st_mtime_ns == before


def test_what_one_part_cannot_do_on_this_machine_is_told_and_the_rest_serves(
    place: Path, ecgedge: Command, tmp_path: Path
) -> None:
    """As a runtime in bfloat16 on a processor that has none: no other installation would change it."""
    there = {"ECGEDGE_ENVS": str(tmp_path / "envs")}
    picky = OTHER.replace("NAME", "'picky'").replace('"theirlib is too old"', '"this processor has no bf16"')
    plugin, lock = place / "plugins" / "picky.py", place / "plugins" / "picky.lock"
    lock.write_text("theirlib==1.0\n")
    try:
        plugin.write_text(picky.replace("Other('picky')", "Other('picky'), Able('picky-able')") + ABLE)
        made = ecgedge("env", "create", "picky", **there)
        assert (made.code, made.err) == (0, "")
        unable = "runtime picky: this processor has no bf16"
        assert made.out.splitlines()[-2:] == [f"environment picky is ready: {tmp_path / 'envs' / 'picky'}", unable]
        again = ecgedge("env", "create", "picky", **there)
        assert again.out.splitlines() == ["environment picky is sound; --force makes it anew", unable]
        checked = ecgedge("env", "check", "picky", **there)
        assert (checked.code, checked.out.splitlines()) == (0, ["environment picky is sound", unable])
        arguments = ("--format", "fake", "--quantizer", "none", "--runtime", "picky", "--runtime", "picky-able")
        done = ecgedge("matrix", "--dataset", "synthetic", "--model", "fake", "--profile", "quick", *arguments,
                       "--out", "run", **there)  # fmt: skip
        assert done.code == 0, done.err
        rows = {row["runtime"]: row for row in rows_of(tmp_path / "run")}
        assert rows["picky-able"]["status"] == "ok"
        assert (rows["picky"]["status"], rows["picky"]["reason"]) == ("skipped", unable)

        plugin.write_text(picky)  # and now nothing serves
        told = error_of(ecgedge("env", "create", "picky", "--force", **there))
        assert told.splitlines() == [
            f"Error: environment picky was made and does not serve: {unable}",
            "  its parts need another machine",
        ]
        assert ecgedge("env", "check", "picky", **there).code == 1
    finally:
        plugin.unlink()
        lock.unlink()


def test_a_creation_that_fails_leaves_the_old_one(place: Path, ecgedge: Command) -> None:
    lock = place / "plugins" / "other.lock"
    before = lock.read_text()
    lock.write_text("no-such-library==1.0\n")
    try:
        told = error_of(ecgedge("env", "create", "other"))
    finally:
        lock.write_text(before)
    assert "environment other could not be made: ERROR: " in told and "no-such-library" in told
    assert (place / "envs" / "other.log").is_file()
    assert ecgedge("env", "check", "other").code == 0
    assert sorted(path.name for path in (place / "envs").iterdir() if path.is_dir()) == ["other", "theirs"]


def test_a_creation_that_is_killed_is_told_and_mended(place: Path, ecgedge: Command, tmp_path: Path) -> None:
    surroundings = os.environ | {"ECGEDGE_ENVS": str(tmp_path / "envs")}
    command = [sys.executable, "-P", "-m", "ecgedge", "env", "create", "other"]
    making = subprocess.Popen(
        command, env=surroundings, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (tmp_path / "envs" / "other" / environments.RECORD).exists():
        time.sleep(0.01)
        assert making.poll() is None
    second = ecgedge("env", "create", "other", ECGEDGE_ENVS=str(tmp_path / "envs"))
    assert "being made by another process" in error_of(second)
    os.killpg(making.pid, signal.SIGKILL)
    making.wait()
    assert "is half made" in ecgedge("env", "ls", ECGEDGE_ENVS=str(tmp_path / "envs")).out
    assert ecgedge("env", "create", "other", ECGEDGE_ENVS=str(tmp_path / "envs")).code == 0
    assert ecgedge("env", "rm", "other", ECGEDGE_ENVS=str(tmp_path / "envs")).code == 0
    assert [path for path in (tmp_path / "envs").iterdir() if path.is_dir()] == []


def test_only_what_was_made_here_is_removed(place: Path, ecgedge: Command, tmp_path: Path) -> None:
    envs = tmp_path / "envs"
    (envs / "theirs").mkdir(parents=True)
    (envs / "theirs" / "thesis.txt").write_text("dear to somebody")
    (envs / "stranger").mkdir()
    for command in ("create", "rm"):
        told = error_of(ecgedge("env", command, "theirs", ECGEDGE_ENVS=str(envs)))
        assert "was not made by ecgedge env" in told
    for name in ("stranger", "../envs", "other/../theirs", ""):
        assert "unknown environment" in error_of(ecgedge("env", "rm", name, ECGEDGE_ENVS=str(envs)))
    assert (envs / "theirs" / "thesis.txt").read_text() == "dear to somebody"
    assert "other, theirs, unmade" in error_of(ecgedge("env", "create", "thiers"))
    assert "is not made" in error_of(ecgedge("env", "rm", "unmade"))
    shutil.rmtree(envs)
    (envs.parent / "file").touch()
    assert "cannot be written" in error_of(ecgedge("env", "create", "other", ECGEDGE_ENVS=str(tmp_path / "file" / "x")))


def test_uv_is_asked_for_and_missing(place: Path, ecgedge: Command) -> None:
    told = error_of(ecgedge("env", "create", "unmade", "--uv", PATH=""))
    assert told.splitlines() == ["Error: uv is not installed", "  install it, or leave out --uv to use pip"]


def test_uv_makes_the_same(place: Path, ecgedge: Command, tmp_path: Path) -> None:
    """uv has settings of its own for where packages come from."""
    there = {
        "ECGEDGE_ENVS": str(tmp_path),
        "UV_OFFLINE": "1",  # the index it would ask has a later numpy
        "UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"],
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_NO_CONFIG": "1",
    }
    made = ecgedge("env", "create", "other", "--uv", **there)
    assert made.code == 0, made.err
    assert ecgedge("env", "check", "other", **there).code == 0
    assert environments.distributions(tmp_path / "other") == environments.distributions(place / "envs" / "other")
    lock = place / "plugins" / "other.lock"
    before = lock.read_text()
    lock.write_text("no-such-library==1.0\n")
    try:
        told = error_of(ecgedge("env", "create", "other", "--uv", **there))
    finally:
        lock.write_text(before)
    assert "environment other could not be made: " in told and "no-such-library" in told, told
    assert ecgedge("env", "check", "other", **there).code == 0


def test_a_plugin_without_its_lock(place: Path, ecgedge: Command) -> None:
    (place / "plugins" / "unlocked.py").write_text(OTHER.replace("NAME", "'unlocked'"))
    try:
        assert "unlocked.lock is missing" in error_of(ecgedge("env", "create", "unlocked"))
    finally:
        (place / "plugins" / "unlocked.py").unlink()


@pytest.mark.parametrize("name", ["../x", "Theirs", "", 7, "a b", "x" * 99])
def test_names_that_are_none(place: Path, ecgedge: Command, name: object) -> None:
    (place / "plugins" / "odd.py").write_text(
        OTHER.replace("environment = NAME", f"environment = {name!r}").replace("NAME", "'odd'")
    )
    try:
        told = ecgedge("plugins")
    finally:
        (place / "plugins" / "odd.py").unlink()
    assert (
        told.code == 0
        and f"Other.environment must be a name of small letters, digits, - and _, it is {name!r}" in told.err
    )


def test_an_environment_is_of_one_plugin(place: Path, ecgedge: Command) -> None:
    (place / "plugins" / "zz.py").write_text(
        OTHER.replace("environment = NAME", "environment = 'theirs'").replace("NAME", "'zz'")
    )
    try:
        told = ecgedge("plugins")
    finally:
        (place / "plugins" / "zz.py").unlink()
    assert "ValueError: environment theirs has two locks" in told.err
    assert "their_plugin" in told.out


def test_ls_plugins_and_doctor_tell_of_it(place: Path, ecgedge: Command) -> None:
    listed = ecgedge("env", "ls").out.splitlines()
    assert any("theirs" in line and "ready" in line and "runtime crashes" in line for line in listed)
    assert any("unmade" in line and "is not made" in line for line in listed)
    told = ecgedge("plugins").out
    assert "environment unmade is not made; ecgedge --plugins-dir" in told
    found = {
        part["name"]: part for part in json.loads(ecgedge("doctor", "--json", "--dataset", "synthetic").out)["parts"]
    }
    assert found["theirs"]["state"] == "ready"
    assert found["unmade"]["mend"] == f"ecgedge --plugins-dir {place / 'plugins'} env create unmade"


def test_parts_are_at_home_where_everything_is_installed(place: Path, ecgedge: Command) -> None:
    told = ecgedge("plugins", ECGEDGE_HERE="unmade,theirs").out.splitlines()
    for name in ("unmade", "theirs"):
        [line] = [line for line in told if line.startswith("runtime") and f" {name} " in line]
        assert "theirlib is not installed" in line
