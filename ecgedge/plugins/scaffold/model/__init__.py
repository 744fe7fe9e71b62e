"""The model acme for ecgedge."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge_acme.part import Acme

from ecgedge import Model, hookimpl

ECGEDGE_API = 1  # the version of the hooks that it is written for


@hookimpl
def ecgedge_models() -> Iterable[Model]:
    return (Acme(),)
