"""Load plugins, isolate the broken ones, collect their parts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pluggy

from ecgedge.api import hookspecs
from ecgedge.api.figures import Figure
from ecgedge.api.parts import Exporter, GraphPass, Model, Part, Quantizer, Runtime
from ecgedge.api.precisions import BUILT_IN, Precision
from ecgedge.environments import Environment
from ecgedge.errors import EcgEdgeError, unknown
from ecgedge.passes import check_names
from ecgedge.plugins.checks import (
    check_part,
    check_version,
    elsewhere,
    environment_of,
    missing,
    new_environments,
    one_line,
    reason_of,
)
from ecgedge.plugins.sources import BUILTIN, Owner, import_plugin, installed, sources
from ecgedge.plugins.trace import Step, tracing

__all__ = [
    "BUILTIN",
    "FRAMEWORKS",
    "HOOKS",
    "Owner",
    "Parts",
    "Step",
    "check_part",
    "elsewhere",
    "environment_of",
    "installed",
    "load",
    "missing",
    "one_line",
]

HOOKS: dict[str, type[Part]] = {
    "ecgedge_models": Model,
    "ecgedge_exporters": Exporter,
    "ecgedge_quantizers": Quantizer,
    "ecgedge_runtimes": Runtime,
    "ecgedge_passes": GraphPass,
}
APART = "uninstall one of them, or leave it out with ECGEDGE_PLUGINS"
FRAMEWORKS = ("torch", "tensorflow", "onnx", "onnxruntime", "ai_edge_litert", "jax")


@dataclass
class Parts:
    """Every part by name, who owns it, and the plugins that had to be left out."""

    models: dict[str, Model] = field(default_factory=dict)
    exporters: dict[str, Exporter] = field(default_factory=dict)
    quantizers: dict[str, Quantizer] = field(default_factory=dict)
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    passes: dict[str, GraphPass] = field(default_factory=dict)
    owners: dict[tuple[str, str], Owner] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    broken: list[tuple[Owner, str]] = field(default_factory=list)
    clashes: list[EcgEdgeError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def of(self, kind: str) -> dict[str, Any]:
        """The parts of ``"model"``, ``"exporter"``, ``"quantizer"``, ``"runtime"`` or ``"pass"``, by name."""
        groups: dict[str, dict[str, Any]] = {
            "model": self.models,
            "exporter": self.exporters,
            "quantizer": self.quantizers,
            "runtime": self.runtimes,
            "pass": self.passes,
        }
        return groups[kind]

    def find(self, kind: str, name: str) -> Any:
        """The part of that name. Raises EcgEdgeError with the choices."""
        group = self.of(kind)
        if name not in group:
            raise unknown(kind, name, sorted(group))
        return group[name]

    def add(self, part: Part, owner: Owner) -> None:
        """Take in a part, or note that its name, or one that it declares, is taken."""
        if clash := self.clash(part, owner):
            self.clashes.append(EcgEdgeError(clash, APART))
            return
        self.of(part.kind)[part.name] = part
        self.owners[part.kind, part.name] = owner

    def clash(self, part: Part, owner: Owner) -> str:
        """What another part has, or means by a name, that this one has or means otherwise; empty: nothing."""
        if (part.kind, part.name) in self.owners:
            both = f"{self.owners[part.kind, part.name]} and {owner}"
            return f"two plugins provide the {part.kind} {part.name!r}: {both}"
        for other in self.steps:
            both = f"{self.owners[other.kind, other.name]} and {owner}"
            if name := meant_otherwise(other.precisions, part.precisions):
                return f"two plugins declare the precision {name!r} differently: {both}"
            figures = [each.figures for each in (other, part) if isinstance(each, Runtime)]
            if len(figures) == 2 and (name := meant_otherwise(*figures)):
                return f"two plugins declare the figure {name!r} differently: {both}"
        return ""

    @property
    def precisions(self) -> dict[str, Precision]:
        """The precisions that there are, by name: those that are built in, then those that parts declare."""
        return dict(BUILT_IN) | {each.name: each for part in self.steps for each in part.precisions}

    @property
    def steps(self) -> list[Part]:
        """All exporters, quantizers and runtimes: what carries out a cell."""
        return [*self.exporters.values(), *self.quantizers.values(), *self.runtimes.values()]

    def in_environment(self, name: str) -> list[Part]:
        """The parts that say they work in that environment."""
        groups = (self.models, self.exporters, self.quantizers, self.runtimes)
        return [part for group in groups for part in group.values() if part.environment == name]


def meant_otherwise(known: Iterable[Precision | Figure], declared: Iterable[Precision | Figure]) -> str:
    """A name that both declare, and not alike; empty: none."""
    by_name = {each.name: each for each in known}
    return next((each.name for each in declared if by_name.get(each.name, each) != each), "")


def load(allow_clashes: bool = False, trace: list[Step] | None = None) -> Parts:
    """Load the built-ins, the entry points of group ``ecgedge`` and the files of ``--plugins-dir``.

    ``ECGEDGE_PLUGINS`` names the entry points that may load (comma-separated; empty: none).
    A plugin that cannot be imported or collected is left out and listed in ``Parts.broken``;
    with ``ECGEDGE_STRICT=1`` it raises.

    Args:
        trace: gets what each plugin was asked, and what it gave.

    Raises:
        EcgEdgeError: two parts of one kind have the same name, unless ``allow_clashes``.
    """
    parts = Parts()
    manager = pluggy.PluginManager("ecgedge")
    manager.add_hookspecs(hookspecs)
    for owner, source in sources():
        loaded = set(sys.modules)
        try:
            with tracing(trace, owner, manager) as step:
                module = step("import", lambda source=source: import_plugin(source))
                check_version(module)
                found = collect(manager, f"{owner.distribution}:{owner.plugin}", module)
            parts.environments |= new_environments(found, parts.environments)
        except (Exception, SystemExit) as error:  # a stranger's code may do anything
            if os.environ.get("ECGEDGE_STRICT") == "1":
                raise
            parts.broken.append((owner, reason_of(error)))
            continue
        for part in found:
            parts.add(part, owner)
        if heavy := [name for name in FRAMEWORKS if name in set(sys.modules) - loaded]:
            told = f"plugin {owner} imports {', '.join(heavy)} when it is loaded: every command waits for that"
            parts.warnings.append(told)
    leave_out_strangers(parts)
    if parts.clashes and not allow_clashes:
        raise parts.clashes[0]
    return parts


def leave_out_strangers(parts: Parts) -> None:
    """Take out the parts that want a pass which no plugin has: known when all are loaded."""
    for part in parts.steps:
        try:
            check_names(getattr(part, "wants", None) or (), parts.passes)
        except EcgEdgeError as error:
            del parts.of(part.kind)[part.name]
            owner = parts.owners.pop((part.kind, part.name))
            told = f"TypeError: {type(part).__name__}.wants names an {error.message}; {error.hint}"
            if os.environ.get("ECGEDGE_STRICT") == "1":
                raise TypeError(told) from None
            parts.broken.append((owner, told[:300]))


def collect(manager: pluggy.PluginManager, name: str, module: ModuleType) -> list[Part]:
    """All parts of one plugin, checked for being parts."""
    manager.register(module, name)
    try:
        manager.check_pending()  # a hook that no spec knows: misspelt
        found: list[Part] = []
        for hook, kind in HOOKS.items():
            for part in ask(manager, hook, module):
                if not isinstance(part, kind):
                    raise TypeError(f"{hook} yielded {part!r}, which is no {kind.__name__}")
                check_part(part)
                found.append(part)
        return found
    except (Exception, SystemExit):
        manager.unregister(module)
        raise


def ask(manager: pluggy.PluginManager, hook: str, module: ModuleType) -> list[Any]:
    """What one plugin gives for a hook; nothing where it does not implement it."""
    others = [plugin for plugin in manager.get_plugins() if plugin is not module]
    caller = manager.subset_hook_caller(hook, others)
    given = caller()
    if caller.get_hookimpls() and not given:
        raise TypeError(f"{hook} returned None")  # which pluggy leaves out
    return [part for parts in given for part in parts]
