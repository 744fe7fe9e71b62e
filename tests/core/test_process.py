"""A child that fails, dies or hangs is an answer, and the next request gets a fresh one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecgedge import EcgEdgeError
from ecgedge.process import Child, ChildError

PLUGIN = """
import os, signal, time
from ecgedge import EcgEdgeError, hookimpl
from ecgedge.testing import FakeRuntime

class Odd(FakeRuntime):
    def available(self):
        print("noise on stdout", flush=True)
        os.write(1, b"more noise\\n")
        return eval(self.reason)

@hookimpl
def ecgedge_runtimes():
    return [
        Odd("fine", "None"),
        Odd("bug", "1 / 0"),
        Odd("mistake", "(_ for _ in ()).throw(EcgEdgeError('your fault', 'mend it'))"),
        Odd("killed", "os.kill(os.getpid(), signal.SIGSEGV)"),
        Odd("leaves", "os._exit(3)"),
        Odd("hangs", "time.sleep(60)"),
    ]
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "odd.py").write_text(PLUGIN)
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(tmp_path / "plugins"))
    return Child(tmp_path / "log")


def test_every_end_is_told_and_survived(child: Child) -> None:
    with child:
        assert child.ask("available", 60, runtime="fine") is None
        with pytest.raises(ChildError, match="ZeroDivisionError"):
            child.ask("available", 60, runtime="bug")
        with pytest.raises(EcgEdgeError, match="your fault") as caught:
            child.ask("available", 60, runtime="mistake")
        assert caught.value.hint == "mend it"
        with pytest.raises(ChildError, match="SIGSEGV"):
            child.ask("available", 60, runtime="killed")
        with pytest.raises(ChildError, match="exit code 3"):
            child.ask("available", 60, runtime="leaves")
        with pytest.raises(ChildError, match="no answer within 2 s") as late:
            child.ask("available", 2, runtime="hangs")
        assert late.value.status == "timeout"
        assert child.ask("available", 60, runtime="fine") is None
    log = child.log.read_text()
    assert "noise on stdout" in log
    assert "ZeroDivisionError" in log
    assert child.process is None
