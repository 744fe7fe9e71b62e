"""What the four contracts share, and what is handed to the parts under test."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle  # nosec B403  # it writes to a child, and reads nothing
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ecgedge import plugins
from ecgedge.api.artifact import Artifact, digest_of
from ecgedge.api.parts import Context, Runtime
from ecgedge.convert.checkpoint import read_checkpoint
from ecgedge.data.synthetic import draw_beats, in_leads
from ecgedge.measure.bench import infer
from ecgedge.passes.optimize import optimize
from ecgedge.plan.plan import passes_of, routes, takes
from ecgedge.testing import child
from ecgedge.workers.client import limiting
from ecgedge.workers.hosts import hosts
from ecgedge.workers.standins import at_hand

CHILD_SECONDS = 300
T = TypeVar("T")


class Contract:
    """What every part keeps to. ``part`` is under test; its class must be importable by its name.

    The methods need no fixtures: they can be called without pytest. What is costly to make is made
    once for each class.
    """

    part: Any
    kind: ClassVar[str]
    kept: ClassVar[dict[str, Any]]

    def test_it_is_a_part(self) -> None:
        """It derives from its kind, and has what the planner reads."""
        kind = {cls.kind: cls for cls in plugins.HOOKS.values()}[self.kind]
        assert isinstance(self.part, kind), f"{self.part!r} is no {kind.__name__}"
        try:
            plugins.check_part(self.part)
        except TypeError as error:
            raise AssertionError(str(error)) from error
        assert self.part.name.strip() == self.part.name != "", f"the name {self.part.name!r}"

    def test_what_it_needs_is_importable(self) -> None:
        """``needs`` are top-level import names, found without importing them."""
        for name in self.part.needs:
            assert name.isidentifier(), f"needs {name!r}: a top-level import name, such as 'onnxruntime'"
        host = getattr(self.part, "host", None)
        absent = self.in_a_child("absent") if host else child.absent(self.part)
        assert not absent, f"needs {absent[0]!r}, which cannot be found: install it, or correct it"

    def test_no_framework_is_imported_to_collect_it(self) -> None:
        """Importing its module, making it and calling its hooks brings in no framework and none of its needs."""
        loaded = self.in_a_child("collected", {"needed": needs_of_all()})
        assert not loaded, f"imported before the part works: {', '.join(loaded)}; import inside the methods"

    def test_it_works_with_only_what_it_needs(self) -> None:
        """In a process that finds no framework but those in ``needs`` and what they import."""
        undeclared = self.in_a_child("worked", {"needed": needs_of_all(), **self.work()})
        assert not undeclared, f"imports {', '.join(undeclared)}, which is not in needs {self.part.needs}"

    def work(self) -> dict[str, Any]:
        """What the child is to do with the part: see ``child.work``."""
        raise NotImplementedError

    @classmethod
    def once(cls, key: Any, make: Callable[[Path], T]) -> T:
        """What ``make(folder)`` gives, made once for this class in a folder that is there until the end."""
        if "kept" not in vars(cls):
            cls.kept = {"folder": tempfile.TemporaryDirectory(prefix="ecgedge-contract-")}
        if key not in cls.kept:
            cls.kept[key] = make(Path(tempfile.mkdtemp(dir=cls.kept["folder"].name)))
        return cls.kept[key]

    def in_a_child(self, action: str, request: dict[str, Any] | None = None) -> Any:
        """The answer of an action of ``child`` in a fresh process, of the interpreter that the part works in.

        The process has the limits that the matrix gives its own, or numpy and others would compute on every core.
        """
        host = getattr(self.part, "host", None)  # of a stand-in, for a part that works elsewhere
        part = self.part.part if host else self.part
        try:
            content = pickle.dumps({"part": part, **(request or {})})
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise AssertionError(f"a fresh process cannot make the part: {error}") from error
        command = [sys.executable, "-P", "-m", "ecgedge.testing.child"]
        surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if host:
            command, surroundings = host.command("ecgedge.testing.child"), host.surroundings(os.environ)
        surroundings |= limiting((request or {}).get("threads", 1), None, network=True)
        done = subprocess.run(
            [*command, action], input=content, capture_output=True, env=surroundings, timeout=CHILD_SECONDS
        )
        errors = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"in a fresh process: {errors[-2000:]}"
        return json.loads(done.stdout)


def needs_of_all() -> list[str]:
    """What the installed parts need. Asked here, not in a child: that imports nothing but the part under test."""
    parts = plugins.load(allow_clashes=True)
    return sorted({name for part in (*parts.models.values(), *parts.steps) for name in part.needs})


def draw(count: int, length: int = 140, seed: int = 0, leads: int = 1) -> np.ndarray:
    """Synthetic beats ``(count, leads, length)`` float32, of all classes from 10 on."""
    x, _ = draw_beats(max(count, 10), seed)
    if length != x.shape[2]:
        old, new = np.linspace(0, 1, x.shape[2]), np.linspace(0, 1, length)
        x = np.stack([np.interp(new, old, beat) for beat in x[:, 0]])[:, None].astype(np.float32)
    return np.ascontiguousarray(in_leads(x[:count], leads))


def draw_for(artifact: Artifact, count: int, seed: int = 0) -> np.ndarray:
    """Synthetic beats ``(count, C, L)`` float32 as an artifact takes them."""
    return draw(count, artifact.input.length or 140, seed, artifact.input.leads or 1)


def answers(artifact: Artifact, beats: np.ndarray, runtimes: tuple[Runtime, ...] = ()) -> np.ndarray:
    """What an artifact answers on the first of ``runtimes``, or of those installed, that takes it."""
    parts = plugins.load()
    there = hosts(parts)
    for part in (*runtimes, *parts.runtimes.values()):
        if not takes(part.accepts, artifact.format) or plugins.missing(part):
            continue
        runtime = at_hand(part, there)
        if not runtime.available():
            session = runtime.load(artifact, 1)
            try:
                return infer(session, beats)
            finally:
                session.close()
    raise AssertionError(f"no runtime takes {artifact.format}: name one in runtimes, or override answers")


def make_artifact(model: str, format: str, folder: Path, quantizer: str = "none", batch: int = 1) -> Artifact:
    """The shipped weights of an installed model in a format, made in ``folder`` by the installed parts.

    The graph passes that consumers want are applied, a runtime's being those of the first that can run it.

    Args:
        format: one that exporters lead to, by the shortest way, or that the quantizer writes.
        quantizer: by name.
        batch: where the format wants a fixed one.
    """
    parts = plugins.load()
    part, last = parts.find("model", model), parts.find("quantizer", quantizer)
    checkpoint = part.pretrained()
    assert checkpoint is not None, f"{model} has no trained weights"
    ways = [
        names
        for names, end in routes(part.produces, parts.exporters)
        if takes(last.accepts, end) and (last.produces or end) == format
    ]
    assert ways, f"no way from {model} to {format} with {quantizer}"
    made = read_checkpoint(checkpoint, parts.models)
    context = Context(draw_for(made, 100), batch=batch)
    there = hosts(parts)
    chain = [at_hand(parts.find("exporter", name), there) for name in min(ways, key=len)]
    runtime = next((r for r in parts.runtimes.values() if takes(r.accepts, format) and not plugins.missing(r)), None)
    passes = passes_of(made.format, chain, last, runtime)

    def optimized(artifact: Artifact) -> Artifact:
        if artifact.format != "onnx" or not passes:
            return artifact
        return stored(optimize(artifact, folder / "optimized.onnx", passes, context, others=parts.passes))

    for exporter in chain:
        out = folder / f"{exporter.name}.{format}"
        made = stored(exporter.convert(optimized(made), out, context))
    return stored(at_hand(last, there).quantize(optimized(made), folder / f"{quantizer}.{format}", context))


def stored(artifact: Artifact) -> Artifact:
    """The artifact with the digest that the store gives it."""
    return dataclasses.replace(artifact, digest=digest_of(artifact.path))


def largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())


def nearly(expected: np.ndarray, found: np.ndarray, tolerance: float, what: str) -> None:
    """Assert that two answers differ by no more than ``tolerance``, relative where values are above 1."""
    assert found.shape == expected.shape, f"{what}: shape {found.shape} instead of {expected.shape}"
    assert np.isfinite(found).all(), f"{what}: not finite"
    difference = largest(expected.astype(np.float64) - found)
    allowed = tolerance * max(1.0, largest(expected))
    assert difference <= allowed, f"{what}: answers differ by {difference:.3g}, {allowed:.3g} is allowed"
