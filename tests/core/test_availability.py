"""Which runtimes are asked whether they work here: loading a library takes seconds."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Command

SHY = """
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

class Shy(FakeRuntime):
    def available(self):
        Path({folder!r}, self.name).touch()
        return None

@hookimpl
def ecgedge_runtimes():
    return [Shy("wanted"), Shy("left-out")]
"""


def test_a_runtime_that_no_cell_could_end_on_is_not_asked(ecgedge: Command, fakes: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    asked.mkdir()
    (fakes / "shy.py").write_text(SHY.format(folder=str(asked)))
    plan = ("--plugins-dir", fakes, "matrix", "--dataset", "synthetic", "--model", "fake", "--dry-run")
    result = ecgedge(*plan, "--runtime", "wanted")
    assert result.code == 0 and "on wanted" in result.out, result.err
    assert [file.name for file in asked.iterdir()] == ["wanted"]
    result = ecgedge(*plan)
    assert "on left-out" in result.out, result.err
    assert {file.name for file in asked.iterdir()} == {"wanted", "left-out"}
