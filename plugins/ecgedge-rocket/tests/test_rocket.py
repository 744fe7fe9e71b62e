"""The model keeps ecgedge's contract, and what is special to it holds."""

from __future__ import annotations

from ecgedge_rocket.contracts import *  # noqa: F403  (classes that pytest collects)
