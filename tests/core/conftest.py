"""Fixtures of the core: a run's folder to report on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from ecgedge.data.dataset import Dataset
from ecgedge.data.synthetic import draw_beats
from ecgedge.report import Report
from ecgedge.testing import write_fake_checkpoint
from tests import forked
from tests.conftest import FAKES, run_command
from tests.core.synthetic_run import write_run


@pytest.fixture(scope="session", autouse=True)
def libraries() -> Iterator[None]:
    """Commands that are forked, and their workers, find libraries imported."""
    with mock.patch.object(forked, "LIBRARIES", ["tests.core.libraries"]):
        yield


@pytest.fixture(scope="session")
def few_beats(beats: Dataset) -> Dataset:
    """600 test beats, which are enough to look at."""
    return replace(beats, test=beats.test.take(np.arange(600)))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, beats: Dataset) -> Path:
    """A whole run on fakes, whose plugins lie beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    checkpoint = write_fake_checkpoint(folder / "checkpoint", beats)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "fakes.py").write_text(FAKES.format(folder=str(checkpoint)))
    asked = ("matrix", "--model", "fake", "--dataset", "synthetic", "--profile", "quick", "--out", "run")
    done = run_command("--plugins-dir", "plugins", *asked, folder=folder)
    assert done.code == 0, done.err
    return folder / "run"


@pytest.fixture(scope="session")
def told(few_beats: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run with two models, a failed and a skipped cell; not to be changed."""
    return write_run(tmp_path_factory.mktemp("told") / "run", few_beats)


def write_sets(root: Path, count: int, train: int = 120, test: int = 150) -> list[Path]:
    """Folders with small data sets: synthetic beats under noise, more of it in each."""
    folders = []
    for number in range(count):
        folder = root / f"set{number}"
        folder.mkdir()
        rng = np.random.default_rng(number)
        for part, size, seed in (("TRAIN", train, 1000 + 2 * number), ("TEST", test, 1001 + 2 * number)):
            x, y = draw_beats(size, seed)
            noisy = x[:, 0] + (0.2 + 0.3 * number) * rng.standard_normal(x[:, 0].shape)
            np.savetxt(folder / f"SET{number}_{part}.txt", np.column_stack([y + 1, noisy]), fmt="%.6g")
        folders.append(folder)
    return folders
