"""Fixtures of the core: a run's folder to report on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgedge.dataset import Dataset
from ecgedge.report import Report
from tests.core.synthetic_run import write_run


@pytest.fixture(scope="session")
def few_beats(beats: Dataset) -> Dataset:
    """600 test beats, which are enough to look at."""
    return replace(beats, test=beats.test.take(np.arange(600)))


@pytest.fixture(scope="session")
def told(few_beats: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run with two models, a failed and a skipped cell; not to be changed."""
    return write_run(tmp_path_factory.mktemp("told") / "run", few_beats)
