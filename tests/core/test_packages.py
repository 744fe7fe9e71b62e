"""Packages of third parties: a skeleton that passes at once, and one that is broken in every way and harms nothing."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ecgedge as ecgedge_package
from tests.conftest import Command, error_of, rows_of
from tests.packages import HERE, install


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def with_site(site: Path, *plugins: str) -> dict[str, str]:
    """The variables of a process that finds the packages there, and loads these plugins."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "ECGEDGE_PLUGINS": ",".join(plugins)}


def test_a_broken_package_is_listed_and_harmless(ecgedge: Command, fakes: Path, site: Path, tmp_path: Path) -> None:
    install(HERE / "ecgedge-broken", site)
    environment = with_site(site, "broken-library", "broken-parts") | {
        "ECGEDGE_PLUGINS_DIR": str(fakes),
        "ECGEDGE_ENVS": str(tmp_path / "envs"),
    }
    told = "plugin broken-library (ecgedge-broken 0.1.0) is left out: ImportError: libbroken.so.7: cannot open"
    listed = ecgedge("plugins", **environment)
    warnings = [line for line in listed.err.splitlines() if line.startswith("Warning: ")]
    assert listed.code == 0 and listed.err.count(told) == len(warnings) == 1
    assert "crashing" in listed.out and "onnx2tf" in listed.out

    quick = ("--dataset", "synthetic", "--model", "fake", "--profile", "quick", "--format", "fake", "--out", "run")
    ran = ecgedge("matrix", *quick, **environment)
    assert ran.code == 1 and told in ran.err and "Traceback" not in ran.err
    rows = {(row["runtime"], row.get("quantizer")): row for row in rows_of(tmp_path / "run")}
    for quantizer in ("none", "fake-int8"):
        assert rows["fake-runtime", quantizer]["status"] == "ok"
        assert rows["quitting", quantizer]["reason"] == "SystemExit: 7"
    assert "SIGABRT" in rows["fake-runtime", "aborting-int8"]["reason"]
    assert "SIGSEGV" in rows["crashing", None]["reason"]
    assert rows["unmakeable", None]["reason"].endswith("is not made; ecgedge env create unmakeable")

    refused = error_of(ecgedge("plugins", "check", "broken-library", **environment))
    assert refused.startswith(f"Error: {told}")
    made = error_of(ecgedge("env", "create", "unmakeable", **environment, PIP_NO_INDEX="1"))
    assert "no-such-library-anywhere==1.0" in made
    assert ecgedge("env", "ls", **environment).out.count("is not made") == 1


def test_the_trace_says_who_was_asked_what(ecgedge: Command, fakes: Path, site: Path) -> None:
    install(HERE / "ecgedge-broken", site)
    (fakes / "late.py").write_text(
        "from ecgedge import hookimpl\n"
        "@hookimpl\ndef ecgedge_models():\n    yield from ()\n    raise OSError('no disk')\n"
    )
    told = ecgedge("--plugins-dir", fakes, "plugins", "--trace", **with_site(site, "broken-library", "broken-parts"))
    assert told.code == 0
    lines = [line.split(None, 1) for line in told.out.splitlines()]
    for plugin, *words in (
        ("onnx_exporter", "import", "ecgedge.builtin.onnx_exporter"),
        ("onnx_exporter", "ecgedge_exporters", "exporter onnx"),
        ("broken-library", "import", "raised ImportError('libbroken.so.7"),
        ("broken-parts", "ecgedge_runtimes", "runtime crashing, runtime quitting, runtime unmakeable"),
        ("fakes", "ecgedge_models", "model fake"),
        ("late", "ecgedge_models", "raised OSError('no disk')"),
    ):
        assert any(line[0] == plugin and all(word in line[1] for word in words) for line in lines), (plugin, words)


@pytest.mark.parametrize("kind", ["runtime", "exporter", "quantizer"])
def test_a_skeleton_passes_its_contracts_at_once(ecgedge: Command, site: Path, tmp_path: Path, kind: str) -> None:
    made = ecgedge("plugins", "new", "my-engine2", "--kind", kind)
    assert made.code == 0 and "ecgedge plugins check my-engine2" in made.out
    assert not [file for file in (tmp_path / "ecgedge-my-engine2").rglob("*") if "acme" in file.name.lower()]
    install(tmp_path / "ecgedge-my-engine2", site)
    environment = with_site(site, "my-engine2")
    checked = ecgedge("plugins", "check", "my-engine2", **environment)
    assert checked.code == 0, checked.out + checked.err
    assert "failed" not in checked.out and "skipped" not in checked.out and " passed" in checked.out
    part = {"quantizer": "my-engine2-int8"}.get(kind, "my-engine2")
    assert f"TestMyEngine2, {kind} {part}: " in checked.out
    if kind == "runtime":
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "ecgedge-my-engine2"]
        done = subprocess.run(tests, env=os.environ | environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


def test_a_skeleton_from_what_pip_has_installed(ecgedge: Command, tmp_path: Path) -> None:
    """pip compiles each module that it installs, those of the skeleton too."""
    shutil.copytree(Path(ecgedge_package.__file__).parent, tmp_path / "site" / "ecgedge")
    assert compileall.compile_dir(tmp_path / "site", quiet=1)
    assert [*(tmp_path / "site").rglob("scaffold/common/**/*.pyc")]
    made = ecgedge("plugins", "new", "acme", "--kind", "runtime", PYTHONPATH=str(tmp_path / "site"))
    assert made.code == 0, made.err
    made_of = {file.suffix for file in (tmp_path / "ecgedge-acme").rglob("*") if file.is_file()}
    assert made_of == {".py", ".toml", ".md"}


def test_a_part_that_breaks_its_contract_is_told(ecgedge: Command, site: Path, tmp_path: Path) -> None:
    assert ecgedge("plugins", "new", "bad", "--kind", "runtime").code == 0
    part = tmp_path / "ecgedge-bad" / "ecgedge_bad" / "part.py"
    text = part.read_text().replace("self.y = self.x @ self.weights", "self.y = self.x @ self.weights + len(self.x)")
    part.write_text(text.replace("needs = ()", 'needs = ("nothing_like_this",)'))
    install(tmp_path / "ecgedge-bad", site)
    checked = ecgedge("plugins", "check", "bad", **with_site(site, "bad"))
    assert checked.code == 1 and "nothing_like_this is not installed" in checked.out
    installed = site / "ecgedge_bad" / "part.py"
    installed.write_text(text)
    checked = ecgedge("plugins", "check", "bad", **with_site(site, "bad"))
    assert checked.code == 1 and "FAILED TestBad test_neighbours_in_a_batch_do_not_matter" in checked.out
    assert "bad: " in checked.out.splitlines()[-1] and " failed" in checked.out.splitlines()[-1]
    installed.write_text(text.replace("self.y = self.x @", "__import__('os').abort(); self.y = self.x @"))
    checked = ecgedge("plugins", "check", "bad", **with_site(site, "bad"))
    assert checked.code == 1 and "the process died: SIGABRT" in checked.out


def test_names_that_cannot_be(ecgedge: Command, tmp_path: Path) -> None:
    for name in ("Acme", "../acme", "2x", "a--b", "", "fake"):
        assert "name" in error_of(ecgedge("plugins", "new", name, "--kind", "runtime", "--out", "out"))
    assert "there is a plugin models" in error_of(ecgedge("plugins", "new", "models", "--kind", "model"))
    (tmp_path / "ecgedge-acme").mkdir()
    assert "ecgedge-acme exists" in error_of(ecgedge("plugins", "new", "acme", "--kind", "model"))
    assert "cannot be written" in error_of(ecgedge("plugins", "new", "acme", "--kind", "model", "--out", "no/where"))
    assert "choose from: keras_models, models, onnx2tf_exporter" in error_of(ecgedge("plugins", "check", "acme"))
    assert list(tmp_path.iterdir()) == [tmp_path / "ecgedge-acme"]


OWN = """
from pathlib import Path
from ecgedge import hookimpl
from ecgedge.testing import FakeExporter, FakeModel, FakeRuntime

class Mine(FakeRuntime):
    "Of this file."

class Own(FakeExporter):
    name = "own"

class Linear(FakeModel):
    "Of this file, too."

@hookimpl
def ecgedge_runtimes():
    return [Mine("mine")]

@hookimpl
def ecgedge_exporters():
    return [Own()]

@hookimpl
def ecgedge_models():
    return [Linear(Path("none"), "linear")]
"""


@pytest.mark.parametrize("name", ["mine", "my-own", "my.own"])
def test_a_plugin_that_is_a_file_is_checked(ecgedge: Command, fakes: Path, name: str) -> None:
    """The processes of its contracts know its module, which nothing installed."""
    (fakes / f"{name}.py").write_text(OWN)
    checked = ecgedge("--plugins-dir", fakes, "plugins", "check", name)
    assert checked.code == 0, checked.out + checked.err
    for told in ("TestMine, runtime mine: ", "TestOwn, exporter own: ", "TestLinear, model linear: "):
        [line] = [line for line in checked.out.splitlines() if line.startswith(told)]
        assert "passed" in line and "failed" not in line
    loud = OWN.replace("FakeRuntime):", 'FakeRuntime):\n    needs = ("wave",)')
    (fakes / f"{name}.py").write_text(f"import wave\n{loud}")
    checked = ecgedge("--plugins-dir", fakes, "plugins", "check", name)
    assert checked.code == 1 and "imported before the part works: wave" in checked.out
