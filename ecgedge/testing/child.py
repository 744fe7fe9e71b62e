"""The part of the contracts that needs a fresh process: what does a part import, how many threads run?

The request comes pickled on stdin: a contract hands over its own part, nothing from elsewhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle  # nosec B403  # see main
import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

from ecgedge.plugins.sources import PluginFiles

FRAMEWORKS = {  # heavy libraries that nobody may need; a contract adds what the installed parts do
    "ai_edge_litert", "jax", "keras", "matplotlib", "mlflow", "onnx", "onnx2tf", "onnxruntime", "pandas",
    "safetensors", "scipy", "sklearn", "tensorflow", "tf_keras", "torch",
}  # fmt: skip
BUSY_SECONDS = 0.5


def main() -> None:
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is not the answer
    sys.meta_path.append(PluginFiles())
    request = pickle.loads(sys.stdin.buffer.read())  # nosec B301  # of the test that started this process
    actions = {action.__name__: action for action in (absent, collected, worked, busy_threads)}
    json.dump(actions[sys.argv[1]](**request), answer)
    answer.close()


def absent(part: Any) -> list[str]:
    """Which of the part's needs cannot be found."""
    return [name for name in part.needs if not importlib.util.find_spec(name)]


def collected(part: Any, needed: Iterable[str]) -> list[str]:
    """What is imported once the part is made and the hooks of its module and packages were called.

    Args:
        needed: what all installed parts need.
    """
    names = type(part).__module__.split(".")
    for end in range(1, len(names) + 1):
        module = importlib.import_module(".".join(names[:end]))
        for name, hook in list(vars(module).items()):
            if name.startswith("ecgedge_") and callable(hook):
                list(hook())
    return sorted(loaded(needed) | {name for name in part.needs if name in sys.modules and name != "numpy"})


def worked(part: Any, needed: Iterable[str], **task: Any) -> list[str]:
    """The framework that the part's work missed where only its needs, and what they import, can be found."""
    model = getattr(task.get("artifact") or task.get("source"), "model", None)
    for name in (*part.needs, *(model.needs if model else ())):
        importlib.import_module(name)
    hidden = frameworks(needed) - loaded(needed) - {*part.needs}
    sys.meta_path[:] = [Hiding(finder, hidden) for finder in sys.meta_path]
    try:
        work(part, **task)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in hidden:
            raise
        return [error.name]
    return []


class Hiding:
    """A finder of modules that does not find some: a library that can do without them does."""

    def __init__(self, finder: Any, hidden: set[str]):
        self.finder, self.hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def work(
    part: Any,
    artifact: Any = None,
    beats: Any = None,
    source: Any = None,
    out: str = "",
    context: Any = None,
    build: tuple[int, int] | None = None,
) -> None:
    """Let a part do once what it is for."""
    if part.kind == "runtime":
        part.available()
        session = part.load(artifact, 1)
        session.bind(beats)
        session.invoke()
        session.fetch()
        session.graph()
        session.figures()
        session.measured()
        session.close()
    elif part.kind == "model":
        assert build is not None
        part.build(*build)
        if part.fits_itself:
            from ecgedge.testing.models import fit_to_few  # which imports this module

            fit_to_few(part)
    elif part.kind == "pass":
        import onnx_ir as ir  # heavy

        part.apply(ir.load(source.path), context.batch, context.beats.shape[-1])
    else:
        (part.convert if part.kind == "exporter" else part.quantize)(source, Path(out), context)


def busy_threads(part: Any, artifact: Any, beats: Any, threads: int) -> int:
    """How many of this process's threads compute during ``invoke``; -1 where the system does not tell."""
    if not Path("/proc/self/task").is_dir():
        return -1
    session = part.load(artifact, threads)
    session.bind(beats)
    session.invoke()
    before = thread_ticks()
    end = perf_counter() + BUSY_SECONDS
    while perf_counter() < end:
        session.invoke()
    spent = [ticks - before.get(thread, 0) for thread, ticks in thread_ticks().items()]
    session.close()
    return sum(ticks > 0.3 * max(spent) for ticks in spent) if max(spent) else 1


def thread_ticks() -> dict[str, int]:
    """Processor time of each thread so far."""
    ticks = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        ticks[task.name] = int(fields[11]) + int(fields[12])
    return ticks


def frameworks(needed: Iterable[str]) -> set[str]:
    """Libraries that a part may use only where it needs them, by their top-level names."""
    return FRAMEWORKS | {name.partition(".")[0] for name in needed} - {"numpy", *sys.stdlib_module_names}


def loaded(needed: Iterable[str]) -> set[str]:
    return frameworks(needed) & set(sys.modules)


if __name__ == "__main__":
    main()
