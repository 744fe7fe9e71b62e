"""What a file does to a process, it does to a child: of the time, the memory and the network that it may have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command, Result, error_of, write_beats

ODD = """
import ctypes, socket, time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgedge import Artifact, EcgEdgeError, Operation, Taps, Tensor, TensorSpec, Wiring, hookimpl, tell_artifact
from ecgedge.testing import FakeInt8, FakeRuntime, FakeSession

def sleep():
    time.sleep(600)

def spin():
    ctypes.PyDLL(None).sleep(600)  # holds the interpreter: no Python code runs

def eat():
    np.ones(2**33)

def die():
    ctypes.string_at(0)

def allocate():
    raise RuntimeError("Failed to allocate memory for requested buffer of size 200000000000")

ODD = {"sleeps": sleep, "spins": spin, "eats": eat, "dies": die, "allocates": allocate}

def reach(path):
    try:
        socket.create_connection(("127.0.0.1", int(path.read_text())), timeout=20).close()
    except OSError as error:
        raise EcgEdgeError(f"it is not there: {error}")
    raise EcgEdgeError("it is reached")

class Reader(FakeRuntime):
    "What it does with a file is in the file's name."

    suffixes = (".odd",)

    def inspect(self, path):
        if path.stem == "reaches":
            reach(path)
        if path.stem in ODD:
            ODD[path.stem]()
        name = b"\\xff" if path.stem == "bytes" else b"x"
        given = TensorSpec(name.decode(), (10**6, 1, 1000), "float32", "NCL")
        return tell_artifact(path, "fake", given, TensorSpec("y", (10**6, 5), "float32", "NC"))

class Networked(Reader):
    suffixes = (".board",)
    needs_network = True

class Session(FakeSession):
    def __init__(self, weights, act):
        super().__init__(weights)
        self.act = act

    def invoke(self):
        self.act()

class Runner(FakeRuntime):
    "Works until it is called."

    def load(self, artifact, threads):
        return Session(np.ones((5, 140)), ODD[self.name])

class Inner(Taps):
    "Answers, until an inner tensor is read."

    def __init__(self, artifact):
        self.weights = np.load(artifact.path / "weights.npy") if artifact.path.is_dir() else np.ones((5, 140))
        kinds = (("x", (1, 140)), ("h", (140,)), ("y", (5,)))
        operations = Operation("first", "Flatten", ("x",), ("h",)), Operation("last", "Dense", ("h",), ("y",))
        self.wiring = Wiring("x", "y", tuple(Tensor(name, shape, "float32") for name, shape in kinds), operations)

    def read(self, tensor, x):
        answers = x[:, 0] @ self.weights.T
        return (answers, answers) if tensor == "y" else die()

    between = read

class Tapped(FakeRuntime):
    def taps(self, artifact, threads):
        if artifact.path.is_dir():
            return Inner(artifact)
        raise EcgEdgeError("what it says of its tensors cannot be read")

class Sleepy(FakeInt8):
    def __init__(self, name):
        self.name = name

    def quantize(self, source, out, context):
        ODD[self.name]()

@hookimpl
def ecgedge_quantizers():
    return [Sleepy(name) for name in ODD]

@hookimpl
def ecgedge_runtimes():
    return [Reader("reader"), Networked("board"), Tapped("tapped"), *(Runner(name) for name in ODD)]
"""
MEMORY = ("--memory", "600")
SHORT, LONG = (
    ("--timeout", "5", *MEMORY),
    ("--timeout", "120", *MEMORY),
)  # a busy machine is slow; for what never ends, short
NEVER_END = {"spins", "sleeps"}
COMMANDS = {
    "evaluate": ("--dataset", "synthetic"),
    "predict": ("beats.txt",),
    "explain": (),
    "convert": ("--to", "fake", "--dataset", "synthetic", "-o", "made"),
    "bundle": ("-o", "made.zip"),
    "diverge": ("--against", "fake", "--dataset", "synthetic"),
}


@pytest.fixture
def odd(fakes: Path, tmp_path: Path) -> Path:
    (fakes / "odd.py").write_text(ODD)
    write_beats(tmp_path / "beats.txt", np.zeros((3, 1, 140)))
    return fakes


def limits_of(name: str) -> tuple[str, ...]:
    return SHORT if name in NEVER_END else LONG


def side_by_side(
    ecgedge: Command, plugins: Path, commands: Mapping[str, tuple[str, ...]], file: str, limits: tuple[str, ...]
) -> dict[str, Result]:
    """What some commands, with their options, say of a file: they spend their time with waiting."""
    with ThreadPoolExecutor() as pool:
        running = {
            name: pool.submit(ecgedge, "--plugins-dir", plugins, name, file, *more, *limits)
            for name, more in commands.items()
        }
    return {name: result.result() for name, result in running.items()}


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("spins", 2, "Error: spins.odd did not end within 5 s\n  raise --timeout\n"),
        ("eats", 2, "Error: eats.odd needs more memory: MemoryError: Unable to allocate 64.0 GiB"),
        ("dies", 1, "Failed: dies.odd: the process died: SIGSEGV\n"),
    ],
)
def test_a_file_cannot_harm_the_command_that_opens_it(
    ecgedge: Command, odd: Path, tmp_path: Path, name: str, code: int, told: str
) -> None:
    (tmp_path / f"{name}.odd").write_text("")
    for command, result in side_by_side(ecgedge, odd, COMMANDS, f"{name}.odd", limits_of(name)).items():
        assert (result.code, result.err[: len(told)]) == (code, told), command
        assert len(result.err.splitlines()) <= 2, command


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sleeps", "sleeps.odd did not end within 5 s\n  raise --timeout\n"),
        ("allocates", "needs more memory: Failed to allocate memory for requested buffer of size 200000000000\n"),
        ("batch", "batch.odd: a call of 1,000,000 beats needs 4 GB of memory for x\n"),
        ("bytes", "bytes.odd: a name in it is not UTF-8\n"),
    ],
)
def test_what_a_file_wants_that_it_does_not_get_is_told(
    ecgedge: Command, odd: Path, tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / f"{name}.odd").write_text("")
    asked = ("evaluate", f"{name}.odd", "--dataset", "synthetic", *limits_of(name))
    assert told in error_of(ecgedge("--plugins-dir", odd, *asked))


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("sleeps", 2, "did not end within 5 s"),
        ("eats", 2, "needs more memory"),
        ("dies", 1, "the process died: SIGSEGV"),
    ],
)
def test_nor_can_one_that_is_run(ecgedge: Command, odd: Path, name: str, code: int, told: str) -> None:
    asked = {
        "evaluate": ("--runtime", name, "--dataset", "synthetic"),
        "predict": ("beats.txt", "--runtime", name),
        "convert": ("--to", "fake", "--quantize", name, "--dataset", "synthetic", "-o", "made"),
    }
    for command, result in side_by_side(ecgedge, odd, asked, "fake", limits_of(name)).items():
        assert (result.code, "Traceback" in result.err) == (code, False), (command, result.err)
        assert told in result.err, command


def test_what_looks_inside_a_file_may_die(ecgedge: Command, odd: Path) -> None:
    """Its answers are compared all the same, and one line says why there is no more."""
    asked = ("--to", "fake", "--runtime", "tapped", "--against-runtime", "tapped", "--dataset", "synthetic")
    told = ecgedge("--plugins-dir", odd, "diverge", "fake", *asked, *LONG)
    assert told.code == 0 and "Traceback" not in told.err
    assert "fake: no inner tensors, only its answers: what it says of its tensors cannot be read" in told.out
    told = ecgedge("--plugins-dir", odd, "diverge", "fake", "--against", "fake", *asked[2:], *LONG, "--html", "a.html")
    assert told.code == 0 and "Traceback" not in told.err, told.err
    [line] = [line for line in told.out.splitlines() if "no inner tensors" in line]
    assert line.endswith("the process died: SIGSEGV") and "culprit: none" in told.out


def first_lines(running: subprocess.Popen[str], count: int) -> list[str]:
    """What a process prints first; one that prints less and goes on is ended."""
    assert running.stdout
    late = threading.Timer(60, running.kill)
    late.start()
    lines = [running.stdout.readline() for _ in range(count)]
    late.cancel()
    assert all(lines), "no answer within a minute"
    return lines


def test_predict_answers_before_the_input_ends(fakes: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "ecgedge", "--plugins-dir", str(fakes), "predict", "fake", "-"]
    beats = np.random.default_rng(0).standard_normal((600, 140))
    lines = [",".join(f"{value:.9g}" for value in beat) + "\n" for beat in beats]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=tmp_path, env=buffered) as running:
        assert running.stdin and running.stdout
        running.stdin.writelines(lines[:300])
        running.stdin.flush()
        first = first_lines(running, 201)  # and the input goes on
        running.stdin.writelines(lines[300:])
        running.stdin.close()
        rest = running.stdout.readlines()
    answers = [line.rstrip().split(",") for line in (first + rest)[1:]]
    assert [int(number) for number, *_ in answers] == list(range(600))
    weights = np.load(tmp_path / "fake-checkpoint" / "weights.npy")
    labels = json.loads((tmp_path / "fake-checkpoint" / "model.json").read_text())["task"]["labels"]
    scores = beats.astype(np.float32) @ weights.T
    assert [told for _, told, _ in answers] == [labels[i] for i in scores.argmax(axis=1)]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[None]:
    """Two files that hold the port of a socket which listens on this host."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for suffix in ("odd", "board"):
            (tmp_path / f"reaches.{suffix}").write_text(str(server.getsockname()[1]))
        yield


def allowed(*command: str) -> bool:
    """Whether this user may do something, as another program says."""
    try:
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "sh", "-c")
WITHOUT = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'  # there can be no other network from here on


def test_a_child_has_no_network_unless_its_part_needs_it(ecgedge: Command, odd: Path, listening: None) -> None:
    if not any(allowed("unshare", *flags) for flags in (["-n"], ["-U", "-r", "-n"])):
        pytest.skip("this system lets this user have no network of its own")
    told = json.loads(ecgedge("doctor", "--json", "--dataset", "synthetic").out)["children"]
    assert told == {"network": "none", "by": "a namespace of their own"}
    reached = ecgedge("--plugins-dir", odd, "evaluate", "reaches.board", "--dataset", "synthetic")
    assert error_of(reached) == "Error: it is reached\n"
    lost = ecgedge("--plugins-dir", odd, "evaluate", "reaches.odd", "--dataset", "synthetic")
    assert "Error: it is not there: " in error_of(lost)


def test_where_there_are_no_namespaces_a_filter_does_it(odd: Path, tmp_path: Path, listening: None) -> None:
    if not allowed(*IN_A_NAMESPACE, WITHOUT, "sh"):
        pytest.skip("this system lets this user have no namespace to try it in")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [*IN_A_NAMESPACE, WITHOUT, "sh", sys.executable, "-P", "-m", "ecgedge", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=os.environ)

    told = json.loads(run("doctor", "--json", "--dataset", "synthetic").stdout)["children"]
    assert told == {"network": "none", "by": "a seccomp filter"}
    lost = run("--plugins-dir", str(odd), "evaluate", "reaches.odd", "--dataset", "synthetic")
    assert lost.stderr.startswith("Error: it is not there: "), lost.stderr
    answers = run("--plugins-dir", str(odd), "predict", "fake", "beats.txt")
    assert answers.returncode == 0, answers.stderr
