"""Plugins: a broken one is left out and named, the rest keep working; clashes name both owners."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecgedge import API_VERSION, EcgEdgeError, plugins
from tests.conftest import Command, error_of

GOOD = """
from ecgedge import hookimpl
from ecgedge.testing import FakeRuntime

@hookimpl
def ecgedge_runtimes():
    return [FakeRuntime({name!r})]
"""


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> plugins.Parts:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setenv("ECGEDGE_PLUGINS_DIR", str(folder))
    return plugins.load()


def test_builtins_come_first_and_are_ordinary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = load(tmp_path, monkeypatch, mine=GOOD.format(name="mine"))
    assert list(parts.models) == ["base-cnn", "vgg", "inception", "tcn", "cnn-ae"]
    assert list(parts.exporters) == ["onnx", "onnx2tf", "torch-export", "torchscript", "keras"]
    assert {q.precision for q in parts.quantizers.values()} == {"fp32", "fp16", "dynamic", "full-int8", "mixed"}
    assert {"torch", "cpu", "cuda", "tflite", "mine"} <= set(parts.runtimes)
    assert parts.owners["runtime", "mine"].plugin == "mine"
    assert parts.broken == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("def (", "SyntaxError"),
        (GOOD.replace("ecgedge_runtimes", "ecgedge_runtime").format(name="x"), "unknown hook 'ecgedge_runtime'"),
        (GOOD.replace("ecgedge_runtimes()", "ecgedge_runtimes(config)").format(name="x"), "config"),
        (GOOD.replace("return [", "raise OSError('disk') or [").format(name="x"), "OSError: disk"),
        (GOOD.replace("return [FakeRuntime({name!r})]", "return ['garbage']"), "'garbage', which is no Runtime"),
        (GOOD.replace("return [FakeRuntime({name!r})]", "return None"), "TypeError"),
        (GOOD.format(name=7), "FakeRuntime.name must be a string"),
        (
            GOOD.replace("@hookimpl", "class Bad(FakeRuntime):\n    accepts = ('onnx')\n\n@hookimpl")
            .replace("[FakeRuntime", "[Bad")
            .format(name="x"),
            "Bad.accepts must be a tuple of strings, it is 'onnx'",
        ),
        ("import sys\nsys.exit(4)", "SystemExit: 4"),
    ],
)
def test_a_broken_plugin_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    parts = load(tmp_path, monkeypatch, bad=text, good=GOOD.format(name="good"))
    assert "good" in parts.runtimes
    [(owner, told)] = parts.broken
    assert owner.plugin == "bad"
    assert reason in told
    assert "\n" not in told
    monkeypatch.setenv("ECGEDGE_STRICT", "1")
    with pytest.raises((Exception, SystemExit)) as caught:
        plugins.load()
    assert not isinstance(caught.value, EcgEdgeError)


@pytest.mark.parametrize("written", ["2", "'1'", "None"])
def test_a_plugin_of_another_version_is_left_out_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    goods = {name: f"ECGEDGE_API = {API_VERSION}\n{GOOD.format(name=name)}" for name in ("good", "better")}
    # what a later version has, this one need not know
    later = f"ECGEDGE_API = {written}\n{GOOD.replace('ecgedge_runtimes', 'ecgedge_boards').format(name='later')}"
    parts = load(tmp_path, monkeypatch, later=later, **goods)
    assert {"good", "better"} <= parts.runtimes.keys()
    [(owner, told)] = parts.broken
    assert owner.plugin == "later" and "\n" not in told
    assert told.startswith(
        f"it is written for version {written} of the plugin API, and this ecgedge has {API_VERSION};"
    )
    monkeypatch.setenv("ECGEDGE_STRICT", "1")
    with pytest.raises(EcgEdgeError, match="is written for version"):
        plugins.load()


def test_a_clash_names_both_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EcgEdgeError, match="two plugins provide the runtime 'tflite'") as caught:
        load(tmp_path, monkeypatch, clash=GOOD.format(name="tflite"))
    assert "tflite_runtime" in caught.value.message
    assert "clash" in caught.value.message


def test_the_command_lists_parts_and_warns(tmp_path: Path, ecgedge: Command) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "bad.py").write_text("1 / 0")
    result = ecgedge("--plugins-dir", tmp_path / "p", "plugins")
    assert result.code == 0
    assert "onnx2tf" in result.out
    assert "ZeroDivisionError" in result.err
    assert "no folder" not in result.err
    assert "is not there" in error_of(ecgedge("--plugins-dir", tmp_path / "absent", "plugins"))


RUNTIME = GOOD.format(name="NAME")
DISTRIBUTIONS = {  # what a distribution may do to us, and what is said of it
    "good": (RUNTIME, None),
    "import-error": ("import nothing_like_this", "ModuleNotFoundError"),
    "raises": (RUNTIME.replace("return [", "raise OSError('no disk') or ["), "OSError: no disk"),
    "misspelt": (RUNTIME.replace("ecgedge_runtimes", "ecgedge_runtime"), "unknown hook 'ecgedge_runtime'"),
    "wrong-argument": (RUNTIME.replace("ecgedge_runtimes()", "ecgedge_runtimes(config)"), "config"),
    "garbage": (RUNTIME.replace("return [FakeRuntime('NAME')]", "return [42]"), "42, which is no Runtime"),
    "heavy": ("import FRAMEWORK\n" + RUNTIME, "imports onnxruntime when it is loaded"),
}


def install(site: Path, name: str, code: str) -> None:
    """A distribution as pip would leave it: a module, and metadata with an entry point."""
    module = f"plugin_{name.replace('-', '_')}"
    (site / f"{module}.py").write_text(code.replace("NAME", name))
    info = site / f"{module}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[ecgedge]\n{name} = {module}\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of distributions, with a stand-in for a framework."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, (code, _) in DISTRIBUTIONS.items():
        install(folder, name, code.replace("FRAMEWORK", "onnxruntime"))
    (folder / "onnxruntime.py").touch()
    return folder


def test_distributions_of_every_kind(ecgedge: Command, site: Path) -> None:
    everything = ",".join(DISTRIBUTIONS)
    result = ecgedge("plugins", PYTHONPATH=str(site), ECGEDGE_PLUGINS=everything)
    assert result.code == 0, result.err
    installed = {line.split()[1] for line in result.out.splitlines() if " installed " in line}
    assert {"good", "heavy", "none"} <= installed
    for name, (_, said) in DISTRIBUTIONS.items():
        lines = [line for line in result.err.splitlines() if f"plugin {name} (dist-{name} 1.2)" in line]
        assert len(lines) == (said is not None), (name, result.err)
        assert said is None or said in lines[0]
    assert "Traceback" not in result.err


def test_the_allowlist(ecgedge: Command, site: Path) -> None:
    def listed(allowed: str) -> str:
        return ecgedge("plugins", PYTHONPATH=str(site), ECGEDGE_PLUGINS=allowed).out

    assert "dist-good" in listed("good")
    assert "dist-good" not in listed("heavy")
    assert "dist-" not in listed("")
    strict = ecgedge("plugins", PYTHONPATH=str(site), ECGEDGE_PLUGINS="raises", ECGEDGE_STRICT="1")
    assert strict.code == 1
    assert "OSError: no disk" in strict.err


def test_a_clash_of_distributions_names_both(ecgedge: Command, site: Path) -> None:
    install(site, "other", RUNTIME.replace("NAME", "good"))
    result = ecgedge("plugins", PYTHONPATH=str(site), ECGEDGE_PLUGINS="good,other")
    assert "onnx2tf" in result.out, "the others are still listed"
    told = error_of(result)
    assert "two plugins provide the runtime 'good': good (dist-good 1.2) and other (dist-other 1.2)" in told
