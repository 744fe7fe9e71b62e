"""The exporters, quantizers and runtimes that a run works with, and what is on record of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ecgedge.api.artifact import Artifact
from ecgedge.api.parts import Exporter, Quantizer, Runtime
from ecgedge.api.precisions import BUILT_IN, Precision, find
from ecgedge.convert.store import maker_of, passes_maker
from ecgedge.evaluate.verdicts import Terms
from ecgedge.plan.options import options_of
from ecgedge.plan.plan import takers
from ecgedge.workers import availability

if TYPE_CHECKING:
    from ecgedge.plugins import Parts

STEPS = ("exporter", "quantizer", "runtime")  # the kinds that carry out a cell


@dataclass(frozen=True)
class Tools:
    """Parts that can be used.

    Attributes:
        parts: by (kind, name).
        owners: their (distribution, version).
        installed: versions of the distributions in environments of their own, by environment and canonical name.
        options: what the user chose, see ``plan.options.chosen``.
        precisions: that there are, by name.
    """

    parts: Mapping[tuple[str, str], Any]
    owners: Mapping[tuple[str, str], tuple[str, str]]
    installed: Mapping[str, Mapping[str, str]]
    options: Mapping[str, Any]
    precisions: Mapping[str, Precision] = field(default_factory=lambda: BUILT_IN)

    def options_of(self, part: Exporter | Quantizer | Runtime) -> dict[str, Any]:
        """What the user chose of the options that a part has."""
        return options_of(part, self.options)

    def terms(self, artifact: Artifact, runtime: Runtime, seed: int = 0) -> Terms:
        """What the answers of an artifact on a runtime are held to."""
        computes = find(runtime.computes, self.precisions) if runtime.computes else None
        return Terms(find(artifact.precision, self.precisions), computes, seed)

    def maker(self, kind: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """What is on record of a part whose work an artifact is."""
        part = self.parts[kind, name]
        return maker_of(part, *self.owners[kind, name], options, self.installed.get(part.environment or ""))

    def passes_maker(self, names: Sequence[str]) -> dict[str, Any]:
        """What is on record of graph passes, those of plugins among them."""
        others = {name: self.maker("pass", name, {}) for name in names if ("pass", name) in self.parts}
        return passes_maker(names) | ({"others": others} if others else {})

    def takers_of(self, format: str) -> list[Runtime]:
        """The runtimes that take a format, in order."""
        return takers(format, {name: part for (kind, name), part in self.parts.items() if kind == "runtime"})


def tools_of(parts: Parts, options: Mapping[str, Any], unavailable: Mapping[tuple[str, str], str]) -> Tools:
    """All parts but those that are not available."""
    usable = {
        (kind, name): part
        for kind in (*STEPS, "pass")
        for name, part in parts.of(kind).items()
        if (kind, name) not in unavailable
    }
    owners = {key: (owner.distribution, owner.version) for key, owner in parts.owners.items()}
    return Tools(usable, owners, availability.installed(parts), options, parts.precisions)
