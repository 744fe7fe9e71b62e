"""Fixtures on the full stack. Conversions are shared through the test run's store."""

from __future__ import annotations

import fcntl
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from ecgedge import Artifact, load_network, plugins
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.convert.opening import opener
from ecgedge.data import finding
from ecgedge.files.locks import whole_file
from ecgedge.plugins import Parts
from ecgedge.run import Told
from ecgedge.workers.client import Limits
from tests import forked
from tests.conftest import Command, Result
from tests.full import kept

QUIET = """
from ecgedge.cli import main
from ecgedge.measure.steadiness import states
states.MOST = 1
main()
"""
MODELS = ("base-cnn", "vgg", "inception", "tcn", "cnn-ae")


@dataclass
class Card:
    """What the card of shipped weights says of the test beats."""

    text: str
    figures: dict[str, float]
    near_ties: set[int]


def read_card(folder: Path) -> Card:
    text = (folder / "README.md").read_text(encoding="utf-8")
    scored = text.partition("scored once:")[2].partition("over seeds")[0]
    keys = {"accuracy": "accuracy", "macro-F1": "macro_f1", "AUROC": "auroc", "AUPRC": "auprc", "F1": "f1"}
    told = dict(re.findall(r"(accuracy|macro-F1|AUROC|AUPRC|F1) (0\.\d{4})", scored))
    [ties] = re.findall(r"decide otherwise: ([^.]*)\.", text)
    numbers = set() if ties == "none" else {int(number) for number in ties.split(",")}
    return Card(text, {keys[word]: float(value) for word, value in told.items()}, numbers)


@pytest.fixture(scope="session")
def parts() -> Parts:
    return plugins.load()


@pytest.fixture(scope="session")
def shipped(parts: Parts) -> Callable[[str], Artifact]:
    """The trained weights of a built-in model."""

    def read(name: str) -> Artifact:
        folder = parts.models[name].pretrained()
        assert folder is not None
        return read_checkpoint(folder, parts.models)

    return read


@pytest.fixture(scope="session")
def torch_on_ecg5000(
    shipped: Callable[[str], Artifact], ecg5000: Path, surroundings: None
) -> Callable[[str], np.ndarray]:
    """What torch answers by the trained weights of a model on all real test beats: once for all test processes."""

    def answers(name: str) -> np.ndarray:
        import torch

        file = Path(os.environ["ECGEDGE_CACHE"], "torch-on-ecg5000", f"{name}.npy")
        if not file.exists():
            x, network = finding.load(str(ecg5000))[0].test.x.astype(np.float32), load_network(shipped(name))
            with torch.inference_mode():
                found = np.concatenate([network(part).numpy() for part in torch.from_numpy(x).split(256)])
            file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as scratch:
                np.save(scratch, found)
        return np.load(file)

    return answers


@pytest.fixture(scope="session")
def inspect(parts: Parts) -> Iterator[Callable[[Path], Artifact]]:
    """A file as a runtime reads it."""
    with opener(parts, Limits(), Told()) as opened:
        yield lambda path: opened.find_artifact(str(path))


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A folder of that name which is made once for all test processes: the first that asks fills it, others wait."""
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "once"

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        made = shared / name
        made.parent.mkdir(exist_ok=True)
        with (shared / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not made.exists():
                begun = Path(tempfile.mkdtemp(dir=shared))
                fill(begun)
                begun.rename(made)
        return made

    return folder


@pytest.fixture(scope="session", autouse=True)
def workers() -> Iterator[None]:
    """Those that commands of this process share end with the tests; those that are forked find libraries imported."""
    with mock.patch.object(forked, "LIBRARIES", ["tests.full.libraries"]):
        yield
    kept.close_workers()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in this process, in ``tmp_path``: ``ecgedge`` without the start of processes and libraries."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Result:
        done = kept.run_here(*arguments)
        assert "Traceback (most recent call last)" not in done.err, done.err
        return Result(done.code, done.out, done.err)

    return run


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ONNX file is made and timed without its graph passes as well: what these are worth, other tests ask."""
    monkeypatch.setattr(importlib.import_module("ecgedge.commands.convert"), "measure_gain", lambda *_: None)


@pytest.fixture
def unpacked(here: Command, tmp_path: Path) -> Callable[..., Path]:
    """As that of all tests, in this process."""

    def make(file: str | Path, *options: str | Path) -> Path:
        name = Path(file).stem
        result = here("bundle", file, "-o", f"{name}.zip", *options)
        assert result.code == 0, result.err
        shutil.unpack_archive(tmp_path / f"{name}.zip", tmp_path / f"{name}-unpacked")
        [folder] = (tmp_path / f"{name}-unpacked").iterdir()
        return folder

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs ``quick_run`` goes first: so one of several processes gets all of it, and makes the matrix once."""
    items.sort(key=lambda item: "quick_run" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole matrix, quick, on synthetic beats, as a user runs it; its output in ``out.txt``.

    It is timed in as many rounds as on a quiet machine: that other tests run meanwhile adds none.
    """
    folder = tmp_path_factory.mktemp("quick")
    command = [sys.executable, "-c", QUIET, "matrix", "--profile", "quick", "--dataset", "synthetic"]
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        subprocess.run([*command, "--out", folder / "run"], check=True, stdout=out, stderr=err, timeout=600)
    return folder
