"""The model acme for ecgedge."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge_acme.part import Acme

from ecgedge import Model, hookimpl


@hookimpl
def ecgedge_models() -> Iterable[Model]:
    return (Acme(),)
