"""A child that fails, dies or hangs is an answer, and the next request gets a fresh one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecgedge import EcgEdgeError
from ecgedge.workers.client import Child, ChildError, Conversation, how_it_ended
from ecgedge.workers.protocol import Available
from ecgedge.workers.protocol.question import Question

PLUGIN = """
import ctypes, os, signal, subprocess, sys, time
import numpy as np
from pathlib import Path
from ecgedge import EcgEdgeError, hookimpl
from ecgedge.testing import FakeRuntime

class Odd(FakeRuntime):
    def available(self):
        print("noise on stdout", flush=True)
        os.write(1, b"more noise\\n")
        return eval(self.reason)

HERE = Path(__file__).parent

def torrent():
    for _ in range(2_000):
        os.write(1, b"x" * 9_999 + b"\\n")
        print("y" * 999)

def outlived(fork):
    if fork:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(600)
    else:
        grandchild = subprocess.Popen(["sleep", "600"]).pid
    (HERE / "grandchild").write_text(str(grandchild))
    os._exit(3)

def busy():
    (HERE / "busy").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)  # holds the interpreter: no Python code runs

def pid():
    (HERE / "idle").write_text(str(os.getpid()))

@hookimpl
def ecgedge_runtimes():
    return [
        Odd("fine", "None"),
        Odd("bug", "1 / 0"),
        Odd("mistake", "(_ for _ in ()).throw(EcgEdgeError('your fault', 'mend it'))"),
        Odd("killed", "os.kill(os.getpid(), signal.SIGSEGV)"),
        Odd("leaves", "os._exit(3)"),
        Odd("hangs", "time.sleep(60)"),
        Odd("segfaults", "ctypes.string_at(0)"),
        Odd("aborts", "os.abort()"),
        Odd("is-killed", "os.kill(os.getpid(), signal.SIGKILL)"),
        Odd("exits", "sys.exit('enough')"),
        Odd("eats", "np.ones(2**31)"),
        Odd("nibbles", "[bytes(2**20) for _ in range(2**15)] and None"),
        Odd("limit", "str(__import__('resource').getrlimit(2)[0])"),
        Odd("torrent", "torrent()"),
        Odd("forks", "outlived(True)"),
        Odd("starts", "outlived(False)"),
        Odd("busy", "busy()"),
        Odd("idle", "pid()"),
        Odd("oom", "Path('/proc/self/oom_score_adj').read_text().strip()"),
    ]
"""


@pytest.mark.parametrize(
    ("oom", "told"),
    [(None, "SIGKILL (out of memory?)"), (True, "SIGKILL (out of memory)"), (False, "SIGKILL")],
)
def test_what_the_system_says_of_memory_is_told(oom: bool | None, told: str) -> None:
    assert how_it_ended(-9, oom) == told
    assert (how_it_ended(-11, oom), how_it_ended(3, oom)) == ("SIGSEGV", "exit code 3")


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "odd.py").write_text(PLUGIN)
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(tmp_path / "plugins"))
    return Child(tmp_path / "log")


def test_every_end_is_told_and_survived(child: Child) -> None:
    with child:
        assert child.ask(Available("fine"), 60) is None
        with pytest.raises(ChildError, match="ZeroDivisionError"):
            child.ask(Available("bug"), 60)
        with pytest.raises(EcgEdgeError, match="your fault") as caught:
            child.ask(Available("mistake"), 60)
        assert caught.value.hint == "mend it"
        with pytest.raises(ChildError, match="SIGSEGV"):
            child.ask(Available("killed"), 60)
        with pytest.raises(ChildError, match="exit code 3"):
            child.ask(Available("leaves"), 60)
        with pytest.raises(ChildError, match="no answer within 2 s") as late:
            child.ask(Available("hangs"), 2)
        assert late.value.status == "timeout"
        assert child.ask(Available("fine"), 60) is None
    log = child.log.read_text()
    assert "noise on stdout" in log
    assert "ZeroDivisionError" in log
    assert not child.is_running


def test_who_is_interrupted_waits_for_no_answer(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will read it; what is asked next would get it for its own."""

    def interrupted(self: Conversation, question: Question[object]) -> str:
        raise KeyboardInterrupt

    with child:
        child.ask(Available("fine"), 60)
        monkeypatch.setattr(Conversation, "exchange", interrupted)
        with pytest.raises(KeyboardInterrupt):
            child.ask(Available("hangs"), 60)
        assert not child.is_running


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        ("segfaults", "the process died: SIGSEGV"),
        ("aborts", "the process died: SIGABRT"),
        ("is-killed", r"the process died: SIGKILL \(out of memory\?\)"),
        ("leaves", "the process died: exit code 3"),
        ("exits", "SystemExit: enough"),
    ],
)
def test_every_end_has_its_reason(child: Child, runtime: str, reason: str) -> None:
    with child:
        with pytest.raises(ChildError, match=reason) as caught:
            child.ask(Available(runtime), 60)
        assert caught.value.status == "failed"
        assert child.ask(Available("fine"), 60) is None


def test_a_child_that_was_killed_for_its_time_did_not_run_out_of_memory(child: Child) -> None:
    with child, pytest.raises(ChildError, match=r"^no answer within 3 s$"):
        child.ask(Available("hangs"), 3)


@linux
@pytest.mark.parametrize("runtime", ["eats", "nibbles"])
def test_a_part_that_eats_memory_hits_its_limit(child: Child, runtime: str) -> None:
    child.memory = 2**30
    with child:
        with pytest.raises(ChildError, match=r"MemoryError|the process died"):
            child.ask(Available(runtime), 60)
        assert child.ask(Available("fine"), 60) is None
        assert child.ask(Available("limit"), 60) == str(2**30)  # RLIMIT_DATA is 2


@linux
def test_without_a_limit_there_is_none_and_the_child_is_the_first_to_go(child: Child) -> None:
    import resource

    with child:
        assert child.ask(Available("limit"), 60) == str(resource.getrlimit(resource.RLIMIT_DATA)[0])
        assert child.ask(Available("oom"), 60) == "1000"


def test_a_torrent_on_stdout_is_no_answer(child: Child) -> None:
    with child:
        assert child.ask(Available("torrent"), 60) is None
        assert child.ask(Available("fine"), 60) is None
    assert child.log.stat().st_size > 20_000_000


@linux
@pytest.mark.parametrize("runtime", ["forks", "starts"])
def test_a_grandchild_that_outlives_it_ends_and_keeps_nobody_waiting(
    child: Child, tmp_path: Path, runtime: str
) -> None:
    start = time.monotonic()
    with child, pytest.raises(ChildError, match="the process died: exit code 3"):
        child.ask(Available(runtime), 60)
    assert time.monotonic() - start < 30
    assert gone_within(5, int((tmp_path / "plugins" / "grandchild").read_text()))


PARENT = """
import sys
from pathlib import Path
from ecgedge.workers.client import Child
from ecgedge.workers.protocol import Available
from ecgedge.workers.protocol.question import Question

child = Child(Path(sys.argv[1]))
child.ask(Available(sys.argv[2]), 60)
print("answered", flush=True)
sys.stdin.read()
"""


@linux
@pytest.mark.parametrize("runtime", ["idle", "busy"])
def test_a_child_ends_with_its_parent(child: Child, tmp_path: Path, runtime: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, child.log, runtime], stdin=subprocess.PIPE)
    told = tmp_path / "plugins" / runtime
    try:
        wait_for(told)
        pid = int(told.read_text())
        assert not gone_within(0.2, pid)
    finally:
        parent.kill()
        parent.communicate()
    assert gone_within(5, pid)


@linux
def test_a_child_whose_parent_has_gone_already_does_nothing(child: Child, tmp_path: Path) -> None:
    request = '{"protocol": 1}\n{"question": "Available", "with": {"runtime": "idle"}}\n'
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ecgedge.workers.server"],
        input=request,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "the parent is gone\n")
    assert not (tmp_path / "plugins" / "idle").exists()


def wait_for(file: Path) -> None:
    end = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end, f"{file} is not written"
        time.sleep(0.05)


def gone_within(seconds: float, pid: int) -> bool:
    """Whether a process ends; one that only waits to be buried has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
