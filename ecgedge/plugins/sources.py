"""Where plugins come from: ours, installed ones, and the files of a folder."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ecgedge.environments.versions import VERSION
from ecgedge.errors import EcgEdgeError

GROUP = "ecgedge"
BUILTIN = (
    "ecgedge.builtin.models",
    "ecgedge.builtin.onnx_exporter",
    "ecgedge.builtin.onnx2tf_exporter",
    "ecgedge.builtin.onnx_quantizers",
    "ecgedge.builtin.onnx_mixed",
    "ecgedge.builtin.tflite_quantizers",
    "ecgedge.builtin.tflite_mixed",
    "ecgedge.builtin.torch_runtime",
    "ecgedge.builtin.onnxruntime_runtimes",
    "ecgedge.builtin.tflite_runtime",
    "ecgedge.builtin.torch_programs",
    "ecgedge.builtin.keras_models",
    "ecgedge.builtin.saved_model_runtime",
)
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


def sources() -> Iterator[tuple[Owner, str | Path | metadata.EntryPoint]]:
    """The plugins to load, in order."""
    for name in BUILTIN:
        yield Owner(name.rpartition(".")[2], "ecgedge", VERSION), name
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
    if names == {""}:  # none may: what is installed need not be looked through
        return
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        if names is None or point.name in names:
            dist = point.dist
            yield Owner(point.name, dist.name if dist else "?", dist.version if dist else "?"), point


def lent() -> Iterator[tuple[Owner, metadata.EntryPoint]]:
    """In an environment of its own: the entry points that the parent loaded."""
    for owner, value in json.loads(os.environ[GUESTS])["points"]:
        yield Owner(*owner), metadata.EntryPoint(owner[0], value, GROUP)


def import_plugin(source: str | Path | metadata.EntryPoint) -> ModuleType:
    if isinstance(source, str):
        return importlib.import_module(source)
    if isinstance(source, Path):
        sys.modules[module_of(source)] = module = module_in(source, source.read_bytes())
        return module
    return source.load()


@cache
def module_in(file: Path, content: bytes) -> ModuleType:
    """The module that a file is, made once as long as it has that content: parts of one class can be compared, and
    pickled."""
    name = module_of(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {file}")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def module_of(file: Path) -> str:
    """The name of the module that a plugin is which is a file."""
    return f"ecgedge_plugin_{file.stem.replace('.', '_')}"


class PluginFiles(MetaPathFinder):
    """Finds the modules of the files in ``--plugins-dir`` by their names, so that their parts can be unpickled."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = os.environ.get(PLUGINS_DIR)
        files = Path(folder).glob("*.py") if folder else ()
        file = next((file for file in files if module_of(file) == fullname), None)
        return importlib.util.spec_from_file_location(fullname, file) if file else None
