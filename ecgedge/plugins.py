"""Load plugins, isolate the broken ones, collect their parts."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from ecgedge import __version__, environments, hookspecs
from ecgedge.environments import Environment
from ecgedge.errors import EcgEdgeError, unknown
from ecgedge.kinds import Exporter, Model, Part, Quantizer, Runtime
from ecgedge.passes import check_names

GROUP = "ecgedge"
BUILTIN = (
    "ecgedge.builtin.models",
    "ecgedge.builtin.onnx_exporter",
    "ecgedge.builtin.onnx2tf_exporter",
    "ecgedge.builtin.onnx_quantizers",
    "ecgedge.builtin.tflite_quantizers",
    "ecgedge.builtin.torch_runtime",
    "ecgedge.builtin.onnxruntime_runtimes",
    "ecgedge.builtin.tflite_runtime",
)
HOOKS: dict[str, type[Part]] = {
    "ecgedge_models": Model,
    "ecgedge_exporters": Exporter,
    "ecgedge_quantizers": Quantizer,
    "ecgedge_runtimes": Runtime,
}
FRAMEWORKS = ("torch", "tensorflow", "onnx", "onnxruntime", "ai_edge_litert", "openvino", "jax")
PLUGINS_DIR = "ECGEDGE_PLUGINS_DIR"  # how --plugins-dir reaches the child processes
GUESTS = "ECGEDGE_GUESTS"  # how installed plugins reach those in an environment of their own


@dataclass(frozen=True)
class Owner:
    """Who provides a part."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return (
            self.plugin if self.plugin == self.distribution else f"{self.plugin} ({self.distribution} {self.version})"
        )


P = TypeVar("P", bound=Part)


@dataclass
class Parts:
    """Every part by name, who owns it, and the plugins that had to be left out."""

    models: dict[str, Model] = field(default_factory=dict)
    exporters: dict[str, Exporter] = field(default_factory=dict)
    quantizers: dict[str, Quantizer] = field(default_factory=dict)
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    owners: dict[tuple[str, str], Owner] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    broken: list[tuple[Owner, str]] = field(default_factory=list)
    clashes: list[EcgEdgeError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def of(self, kind: str) -> dict[str, Any]:
        """The parts of ``"model"``, ``"exporter"``, ``"quantizer"`` or ``"runtime"``, by name."""
        groups: dict[str, dict[str, Any]] = {
            "model": self.models,
            "exporter": self.exporters,
            "quantizer": self.quantizers,
            "runtime": self.runtimes,
        }
        return groups[kind]

    def find(self, kind: str, name: str) -> Any:
        """The part of that name. Raises EcgEdgeError with the choices."""
        group = self.of(kind)
        if name not in group:
            raise unknown(kind, name, sorted(group))
        return group[name]

    def add(self, part: Part, owner: Owner) -> None:
        """Take in a part, or note that its name is taken."""
        key = (part.kind, part.name)
        if key in self.owners:
            told = f"two plugins provide the {part.kind} {part.name!r}: {self.owners[key]} and {owner}"
            self.clashes.append(EcgEdgeError(told, "uninstall one of them, or leave it out with ECGEDGE_PLUGINS"))
            return
        self.of(part.kind)[part.name] = part
        self.owners[key] = owner

    def in_environment(self, name: str | None) -> list[Part]:
        """The parts that say they work in that environment; None: in ours."""
        groups = (self.models, self.exporters, self.quantizers, self.runtimes)
        return [part for group in groups for part in group.values() if part.environment == name]


def load(allow_clashes: bool = False) -> Parts:
    """Load the built-ins, the entry points of group ``ecgedge`` and the files of ``--plugins-dir``.

    ``ECGEDGE_PLUGINS`` names the entry points that may load (comma-separated; empty: none).
    A plugin that cannot be imported or collected is left out and listed in ``Parts.broken``;
    with ``ECGEDGE_STRICT=1`` it raises.

    Raises:
        EcgEdgeError: two parts of one kind have the same name, unless ``allow_clashes``.
    """
    parts = Parts()
    manager = pluggy.PluginManager("ecgedge")
    manager.add_hookspecs(hookspecs)
    for owner, source in sources():
        loaded = set(sys.modules)
        try:
            module = import_plugin(source)
            found = collect(manager, f"{owner.distribution}:{owner.plugin}", module)
            parts.environments |= new_environments(found, parts.environments)
        except (Exception, SystemExit) as error:  # a stranger's code may do anything
            if os.environ.get("ECGEDGE_STRICT") == "1":
                raise
            parts.broken.append((owner, one_line(error)))
            continue
        for part in found:
            parts.add(part, owner)
        if heavy := [name for name in FRAMEWORKS if name in set(sys.modules) - loaded]:
            told = f"plugin {owner} imports {', '.join(heavy)} when it is loaded: every command waits for that"
            parts.warnings.append(told)
    if parts.clashes and not allow_clashes:
        raise parts.clashes[0]
    return parts


def sources() -> Iterator[tuple[Owner, str | Path | metadata.EntryPoint]]:
    """The plugins to load, in order."""
    for name in BUILTIN:
        yield Owner(name.rpartition(".")[2], "ecgedge", __version__), name
    yield from lent() if GUESTS in os.environ else installed()
    if folder := os.environ.get(PLUGINS_DIR):
        if not Path(folder).is_dir():
            raise EcgEdgeError(
                f"plugins folder {folder} is not there, or is no folder", "--plugins-dir names a folder of .py files"
            )
        for file in sorted(Path(folder).glob("*.py")):
            yield Owner(file.stem, str(file), "file"), file


def installed() -> Iterator[tuple[Owner, metadata.EntryPoint]]:
    """The entry points that may load, sorted by name."""
    allowed = os.environ.get("ECGEDGE_PLUGINS")
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        if names is None or point.name in names:
            dist = point.dist
            yield Owner(point.name, dist.name if dist else "?", dist.version if dist else "?"), point


def lent() -> Iterator[tuple[Owner, metadata.EntryPoint]]:
    """In an environment of its own: the entry points that the parent loaded."""
    for owner, value in json.loads(os.environ[GUESTS])["points"]:
        yield Owner(*owner), metadata.EntryPoint(owner[0], value, GROUP)


def guests(parts: Parts) -> str:
    """ecgedge and the plugins that are loaded, for a process in an environment of its own: what lies where, JSON."""
    broken = {owner for owner, _ in parts.broken}
    points = [(owner, point) for owner, point in installed() if owner not in broken]
    names = ["ecgedge", *(point.module.partition(".")[0] for _, point in points)]
    told = [[[owner.plugin, owner.distribution, owner.version], point.value] for owner, point in points]
    return json.dumps({"places": {name: place_of(name) for name in names}, "points": told})


def place_of(name: str) -> str:
    """The folder that holds a top-level package or module."""
    spec = importlib.util.find_spec(name)
    assert spec, f"{name} was imported"
    if spec.submodule_search_locations:
        return str(Path(next(iter(spec.submodule_search_locations))).parent)
    return str(Path(spec.origin or "").parent)


def import_plugin(source: str | Path | metadata.EntryPoint) -> ModuleType:
    if isinstance(source, str):
        return importlib.import_module(source)
    if isinstance(source, Path):
        name = f"ecgedge_plugin_{source.stem}"
        spec = importlib.util.spec_from_file_location(name, source)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {source}")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    return source.load()


def collect(manager: pluggy.PluginManager, name: str, module: ModuleType) -> list[Part]:
    """All parts of one plugin, checked for being parts."""
    manager.register(module, name)
    try:
        manager.check_pending()  # a hook that no spec knows: misspelt
        found: list[Part] = []
        for hook, kind in HOOKS.items():
            mine = [impl for impl in getattr(manager.hook, hook).get_hookimpls() if impl.plugin is module]
            for part in (part for impl in mine for part in impl.function()):
                if not isinstance(part, kind):
                    raise TypeError(f"{hook} yielded {part!r}, which is no {kind.__name__}")
                check_part(part)
                found.append(part)
        return found
    except (Exception, SystemExit):
        manager.unregister(module)
        raise


def new_environments(found: list[Part], known: dict[str, Environment]) -> dict[str, Environment]:
    """The environments that the parts of one plugin say they work in. Raises ValueError where one is another's."""
    mine: dict[str, Environment] = {}
    for part in found:
        if part.environment is None:
            continue
        environment = environment_of(part)
        if environment.name in known or mine.setdefault(environment.name, environment) != environment:
            taken = {**mine, **known}[environment.name]
            raise ValueError(f"environment {environment.name} has two locks, {taken.lock} and {environment.lock}")
    return mine


def environment_of(part: Part) -> Environment:
    """The environment that a part says it works in, whose lock lies beside the module of its class."""
    assert part.environment
    lock = Path(inspect.getfile(type(part))).with_name(f"{part.environment}.lock")
    return Environment(part.environment, lock)


def elsewhere(part: Part) -> str | None:
    """The environment that a part works in, where that is not this interpreter."""
    return part.environment if part.environment and part.environment not in environments.here() else None


def check_part(part: Part) -> None:
    """Raise TypeError where a part lacks what the planner reads, or has it in another type."""
    words = {
        "model": ("produces", "task"),
        "exporter": ("produces",),
        "quantizer": ("precision",),
        "runtime": ("device",),
    }
    for attribute in ("name", *words[part.kind]):
        if not isinstance(getattr(part, attribute, None), str):
            raise TypeError(f"{type(part).__name__}.{attribute} must be a string")
    if part.environment is not None and not environments.NAME.fullmatch(str(part.environment)):
        told = "must be a name of small letters, digits, - and _"
        raise TypeError(f"{type(part).__name__}.environment {told}, it is {part.environment!r}")
    tuples = ["needs", "libraries", *(() if part.kind == "model" else ("accepts",))]
    if part.kind in ("exporter", "runtime") or getattr(part, "wants", None) is not None:
        tuples.append("wants")
    for attribute in tuples:
        value = getattr(part, attribute, None)
        if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
            raise TypeError(f"{type(part).__name__}.{attribute} must be a tuple of strings, it is {value!r}")
    try:
        check_names(getattr(part, "wants", None) or ())
    except EcgEdgeError as error:
        raise TypeError(f"{type(part).__name__}.wants names an {error.message}; {error.hint}") from None


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


def missing(part: Part) -> str | None:
    """Why a part cannot work, in one line, as far as can be told without importing or starting anything; else None.

    One of its needs is not installed; or, for a part that works elsewhere, its environment is not there or not whole.
    """
    if elsewhere(part):
        environment = environment_of(part)
        trouble = environment.trouble()
        return trouble and environment.reason(trouble)
    for name in part.needs:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # of a package that should hold it
            found = None
        if found is None:
            return f"{name} is not installed"
    return None
