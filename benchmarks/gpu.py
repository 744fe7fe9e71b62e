"""All that a machine with a GPU must show, in one go, written as Markdown.

    python benchmarks/gpu.py gpu.md

It runs from a source tree without an install. It needs Python, torch, onnx, onnxruntime-gpu and the small packages that
ecgedge itself needs; what is missing is said, and so is every step that cannot run here, as on a machine without a GPU.
Each step is a command of ecgedge in a process of its own. The whole takes ``--seconds`` at most: a step for which no
time is left is said to be left out, one that runs into the end is interrupted as by Ctrl-C, so that a matrix tells what
it has. Exit code 1: a step failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("base-cnn", "cnn-ae", "tcn", "vgg", "inception")
RUNTIMES = ("torch", "torch-cuda", "cpu", "cuda", "cuda-tf32")
NEEDED = {  # import names
    "ecgedge itself": ("click", "jinja2", "markupsafe", "numpy", "platformdirs", "pluggy", "pooch", "tabulate"),
    "torch": ("torch", "safetensors"),
    "ONNX files": ("onnx", "onnx_ir", "onnxruntime"),
    "training": ("matplotlib", "torchinfo", "tqdm"),
    "the tests": ("pytest",),
}
GRACE = 20  # seconds to end in, after an interruption
LAST = 60  # lines of an output that are kept where a step failed


@dataclass(frozen=True)
class Step:
    """A command, as the arguments of python; ``seconds`` is what it may take at most."""

    title: str
    arguments: tuple[str, ...]
    seconds: int
    needs_gpu: bool = True

    @property
    def shown(self) -> str:
        words = self.arguments[1:] if self.arguments[:2] == ("-m", "ecgedge") else ("python", *self.arguments)
        return " ".join(words)


@dataclass(frozen=True)
class Outcome:
    step: Step
    result: str
    seconds: float
    output: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the Markdown file to write")
    parser.add_argument("--seconds", type=int, default=450, help="for all of it (default: %(default)s)")
    parser.add_argument("--dataset", default="synthetic", help="as for ecgedge (default: %(default)s)")
    parser.add_argument("--model", action="append", choices=MODELS, help="these only; may be given again")
    asked = parser.parse_args()
    out, dataset = asked.out.resolve(), asked.dataset
    if Path(dataset).exists():
        dataset = str(Path(dataset).resolve())
    end = time.monotonic() + asked.seconds
    gpu = gpu_line()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        outcomes: list[Outcome] = []
        about = facts(gpu)
        for step in steps(dataset, asked.model or MODELS, bool(gpu)):
            found = carry_out(step, folder, end)
            outcomes.append(found)
            print(f"{found.result:<12} {found.seconds:6.1f} s  {step.title}", flush=True)
            out.write_text(page(outcomes, about, folder), encoding="utf-8")  # so that nothing is lost
    return int(any(found.result.startswith("failed") for found in outcomes))


def steps(dataset: str, models: tuple[str, ...] | list[str], has_gpu: bool) -> Iterator[Step]:
    """What is shown, the most important first. Names of files are within the folder that all run in."""

    def ecgedge(*words: str) -> tuple[str, ...]:
        return ("-m", "ecgedge", *words)

    data = ("--dataset", dataset)
    yield Step("What is there", ecgedge("doctor", *data), 60, needs_gpu=False)
    yield Step(
        "A file to look at", ecgedge("convert", "base-cnn", "--to", "onnx", *data, "-o", "base-cnn.onnx"), 90, False
    )
    for runtime in ("cuda", "cuda-tf32"):
        words = ("explain", "base-cnn.onnx", "--runtime", runtime, "--batch", "1024")
        yield Step(f"Explain on {runtime}: against the GPU's own peak", ecgedge(*words), 60)
    words = ("explain", "base-cnn", "--runtime", "torch-cuda", "--batch", "1024")
    yield Step("Explain on torch-cuda", ecgedge(*words), 60)
    words = ("train", "base-cnn", "--epochs", "20", *data, "--out", "trained")
    yield Step("Training, 20 epochs", ecgedge(*words), 120, needs_gpu=False)
    words = ("matrix", "--dry-run", "--model", "base-cnn", "--format", "onnx", "--runtime", "cuda", *data)
    yield Step("What the CUDA provider cannot do is skipped beforehand", ecgedge(*words), 60)
    there = [runtime for runtime in RUNTIMES if has_gpu or runtime != "torch-cuda"]  # no driver, no such runtime
    for model in models:
        wanted = ["matrix", "--model", model, *data, "--profile", "quick", "--quantizer", "none", "--quantizer", "fp16"]
        wanted += [word for runtime in there for word in ("--runtime", runtime)]
        wanted += ["--format", "torch", "--format", "onnx", "--batch-sizes", "1,64,1024", "--out", f"runs/{model}"]
        yield Step(f"Matrix of {model}", ecgedge(*wanted), 150, needs_gpu=False)
        yield Step(f"Check of {model}", ecgedge("check", f"runs/{model}"), 60, needs_gpu=False)
    words = ("matrix", "--model", "base-cnn", "--quantizer", "none", "--runtime", "cuda", "--profile", "quick", *data)
    yield Step("Batches grow until throughput does not", ecgedge(*words, "--out", "runs/grown"), 90)
    yield Step(
        "One CUDA graph", ecgedge(*words, "--batch-sizes", "1,64,1024", "--cuda-graph", "--out", "runs/graph"), 90
    )
    yield Step(
        "Tests", ("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(ROOT / "tests" / "gpu")), 120, False
    )


def carry_out(step: Step, folder: Path, end: float) -> Outcome:
    """Run a step, unless there is no time for it; interrupt it when its time is up."""
    left = min(step.seconds, end - time.monotonic() - GRACE)
    if left < GRACE:
        return Outcome(step, "left out", 0.0, "there was no time left for it")
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *step.arguments],
        cwd=folder,
        env=surroundings(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    result = ""
    try:
        output, _ = process.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        result = "out of time"
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    told = result or ("done" if process.returncode == 0 else f"failed ({process.returncode})")
    if told.startswith("failed") and step.needs_gpu and not gpu_line():
        told = "no GPU"
    return Outcome(step, told, time.monotonic() - begun, output)


def surroundings(folder: Path) -> dict[str, str]:
    """The variables of a step: this source tree first, a cache of its own, tables without colours."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path, "ECGEDGE_CACHE": str(folder / "cache"), "NO_COLOR": "1", "COLUMNS": "120"}


def gpu_line() -> str:
    """The first GPU, by its driver; empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm"
    done = subprocess.run([tool, query, "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def facts(gpu: str) -> list[str]:
    """Date, machine and versions, as a list in Markdown."""
    lacking = [f"{what}: {', '.join(gone)}" for what, names in NEEDED.items() if (gone := absent(names))]
    return [
        f"- date: {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        f"- GPU: {gpu or 'none: no step on it could run here'}",
        f"- machine: {processor()}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        f"- Python {platform.python_version()}; {', '.join(versions())}",
        f"- not installed: {'; '.join(lacking) or 'nothing that is needed'}",
    ]


def page(outcomes: list[Outcome], about: list[str], folder: Path) -> str:
    """All of it as Markdown: machine and versions, a line a step, then what each printed."""
    lines = ["# What a GPU shows", "", "Written by `python benchmarks/gpu.py`; each step is a command of ecgedge.", ""]
    lines += [*about, "", "| step | result | seconds |", "|---|---|---|"]
    lines += [f"| {found.step.title} | {found.result} | {found.seconds:.0f} |" for found in outcomes]
    for found in outcomes:
        lines += ["", f"## {found.step.title}", "", "```text", f"$ {tidy(found.step.shown, folder)}"]
        lines += [*tail(tidy(found.output, folder), found.result), "```"]
    return "\n".join(lines) + "\n"


def tail(text: str, result: str) -> list[str]:
    """What is worth keeping: no lines of progress; of a failed step the last ones."""
    kept = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip() and "epoch/s" not in line]
    kept = [line for line in kept if not line.startswith("[")]
    return kept[-LAST:] if result.startswith(("failed", "no GPU")) else kept


def tidy(text: str, folder: Path) -> str:
    """Without the paths of this machine."""
    return text.replace(f"{folder}/", "").replace(str(folder), ".").replace(f"{ROOT}/", "").replace(str(ROOT), ".")


def absent(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if find_spec(name) is None]


def processor() -> str:
    """As Linux calls it, else as Python does."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    told = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(told, platform.processor() or "a processor")


def versions() -> list[str]:
    """Of ecgedge and the libraries it works with, as it tells them itself; where it cannot run, why."""
    command = [sys.executable, "-m", "ecgedge", "--version"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, cwd=ROOT
    )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return [line for line in lines if not line.startswith("python ")] if done.returncode == 0 else lines[-1:]


if __name__ == "__main__":
    sys.exit(main())
