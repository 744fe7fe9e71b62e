"""The runtime acme for ecgedge."""

from __future__ import annotations

from collections.abc import Iterable

from ecgedge_acme.part import Acme

from ecgedge import Runtime, hookimpl


@hookimpl
def ecgedge_runtimes() -> Iterable[Runtime]:
    return (Acme(),)
