"""A ROCKET that a device can run: fixed convolutions, steep ramps and means, with a linear head in closed form."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Model, hookimpl
from ecgedge_rocket.model import Rocket

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_models() -> Iterable[Model]:
    return (Rocket(),)
