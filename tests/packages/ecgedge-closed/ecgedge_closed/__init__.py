"""Two models with a training of their own: a ridge classifier, and principal components as an autoencoder."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge import Model, hookimpl
from ecgedge_closed.models import Components, Ridge

ECGEDGE_API = 1


@hookimpl
def ecgedge_models() -> Iterable[Model]:
    return Ridge(), Components()
