"""The parts keep ecgedge's contracts; ecgedge finds them by their entry point."""

from __future__ import annotations

from importlib import metadata

import ecgedge_acme
from ecgedge_acme.contracts import *  # noqa: F403  (classes that pytest collects)


def test_the_entry_point_leads_here() -> None:
    [point] = [point for point in metadata.entry_points(group="ecgedge") if point.name == "acme"]
    assert point.load() is ecgedge_acme
