"""How fast are our files, beside the plain conversions of the same weights and beside other runtimes?

    python benchmarks/artifacts.py --out benchmarks/artifacts.md

Each model is one matrix: our fp32 and full-int8 files on onnxruntime and LiteRT, the conversions that
one finds in scripts (``plain/``) on the same two, and whatever other runtimes are installed (the
packages under ``plugins/``). All are timed in the same rounds, one beat a call, one thread. A ratio is
of medians, paired by round, with its 95% interval; a target is met where the interval reaches it. The
limit is what the multiplications of our file take at the peak of this machine, as ``ecgedge explain`` measures it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from tabulate import tabulate

from ecgedge import plugins
from ecgedge.measure import machine
from ecgedge.run import journal
from ecgedge.run.measurement import TimeRatio
from ecgedge.run.row import Row
from ecgedge.run.rows import Timing, rows_of

HERE = Path(__file__).parent
OURS, PLAIN = ("cpu", "tflite"), ("plain-cpu", "plain-tflite")
COLUMNS = (  # our precision and runtime, and the plain fp32 conversion that it is held against
    ("onnx fp32", "fp32", "cpu", "plain-cpu"),
    ("onnx int8", "full-int8", "cpu", "plain-cpu"),
    ("tflite fp32", "fp32", "tflite", "plain-tflite"),
    ("tflite int8", "full-int8", "tflite", "plain-tflite"),
)
TARGETS = {
    "base-cnn": (0.62, 0.30, 1.0, 0.20),
    "vgg": (0.70, 0.24, 1.0, 0.16),
    "inception": (0.62, 0.22, 1.0, 0.28),
    "tcn": (0.67, 0.34, 1.0, 0.22),
    "cnn-ae": (0.63, 0.75, 0.25, 0.20),
}
ALLOWED = {"accuracy": 0.001, "auroc": 0.002}  # that int8 may lose of the quality in fp32


class Run:
    """The matrix of one model."""

    def __init__(self, model: str, folder: Path, profile: str, runtimes: Iterable[str]):
        command = [sys.executable, "-m", "ecgedge", "--plugins-dir", HERE / "plain", "matrix", "--model", model]
        command += ["--quantizer", "fp32", "--quantizer", "full-int8", "--profile", profile, "--out", folder]
        command += [word for runtime in runtimes for word in ("--runtime", runtime)]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode not in (0, 1):  # 1: some cell failed; the others count
            sys.exit(done.stderr)
        self.model, self.folder, records = model, folder, journal.read(folder)
        rounds = json.loads((folder / "run.json").read_text(encoding="utf-8"))["rounds"]
        self.rows = rows_of(records, rounds, folder)
        self.timing = Timing(records, rounds, folder)

    def row(self, precision: str, runtime: str) -> Row | None:
        """Of a cell that ran, and is what it claims to be."""
        found = (row for row in self.rows if (row.precision, row.runtime) == (precision, runtime))
        return next((row for row in found if row.status == "ok"), None)

    def ratio(self, row: Row | None, to: Row | None) -> TimeRatio | None:
        if row is None or to is None:
            return None
        return self.timing.compare(row.id, to.id, row.times.noise_floor)

    def limit(self, row: Row | None, to: Row | None) -> str:
        """What a file's multiplications take at this machine's peak, relative to another's median."""
        if row is None or to is None:
            return "-"
        command = [sys.executable, "-m", "ecgedge", "explain", self.folder / row.file.path, "--json"]
        told = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)
        limit = told["total"]["limit_us"]
        if not limit:
            return "-"
        return f"{limit / to.times.p50_us:.3f} (ours takes {row.times.p50_us / limit:.2f} times that)"

    def fastest(self, runtimes: Iterable[str]) -> Row | None:
        rows = [row for row in self.rows if row.status == "ok" and row.runtime in runtimes]
        return min(rows, key=lambda row: row.times.p50_us, default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=TARGETS, help="May be repeated. Default: all.")
    parser.add_argument("--profile", choices=["quick", "full"], default="full")
    parser.add_argument("--out", type=Path, help="Write the tables there, too, as Markdown.")
    asked = parser.parse_args()
    parts = plugins.load()
    rivals = [
        name
        for name, part in parts.runtimes.items()
        if parts.owners["runtime", name].distribution != "ecgedge" and part.device == "cpu"
    ]
    with tempfile.TemporaryDirectory() as scratch:
        runs = [
            Run(model, Path(scratch) / model, asked.profile, [*OURS, *PLAIN, *rivals])
            for model in asked.model or TARGETS
        ]
        text = "\n".join(report(runs, rivals, asked.profile))
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")


def report(runs: list[Run], rivals: list[str], profile: str) -> Iterator[str]:
    """The tables, a line at a time."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions().items())
    yield "# Artifacts beside plain conversions"
    yield ""
    yield f"`python benchmarks/artifacts.py --profile {profile}`, {date.today()}, on {machine.describe()['cpu']},"
    yield f"{versions}."
    yield ""
    yield "p50 relative to the plain fp32 conversion in the same format, 95% interval; in brackets the target."
    yield ""
    rows = [[run.model, *(cell(run, i) for i in range(len(COLUMNS)))] for run in runs]
    yield tabulate(rows, ["model", *(name for name, *_ in COLUMNS)], tablefmt="github")
    yield ""
    yield "The limit on this machine: multiplications at its peak, in the same terms."
    yield ""
    rows = [
        [
            run.model,
            *(run.limit(run.row(precision, ours), run.row("fp32", plain)) for _, precision, ours, plain in COLUMNS),
        ]
        for run in runs
    ]
    yield tabulate(rows, ["model", *(name for name, *_ in COLUMNS)], tablefmt="github")
    yield ""
    beats = next(row.setup.beats for run in runs for row in run.rows if row.status == "ok")
    yield "p50 in us; the host's time for a beat into int8 and out; what int8 costs in quality,"
    yield f"on {beats:,} test beats; where it runs."
    yield ""
    names = [
        "model",
        "plain onnx",
        "plain tflite",
        *(name for name, *_ in COLUMNS),
        "host, int8 tflite",
        "int8 against fp32",
        "int8 tflite",
    ]
    yield tabulate([absolute(run) for run in runs], names, tablefmt="github")
    yield ""
    if not rivals:
        yield "Other runtimes: none is installed here (`pip install ./plugins/ecgedge-openvino`)."
        return
    yield f"Our fastest file against the fastest of {', '.join(rivals)}."
    yield ""
    yield tabulate(
        [against(run, rivals) for run in runs], ["model", "ours", "us", "theirs", "us", "ratio"], tablefmt="github"
    )


def cell(run: Run, place: int) -> str:
    """A ratio with its interval, and whether it reaches the target."""
    _, precision, runtime, plain = COLUMNS[place]
    target, found = TARGETS[run.model][place], run.ratio(run.row(precision, runtime), run.row("fp32", plain))
    if found is None:
        return f"not measured ({target:g})"
    verdict = "met" if found.low <= target else "missed"
    return f"{told(found)} ({target:g} {verdict})"


def told(found: TimeRatio) -> str:
    return f"{found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]"


def absolute(run: Run) -> list[str]:
    wanted = [("fp32", "plain-cpu"), ("fp32", "plain-tflite"), *(column[1:3] for column in COLUMNS)]
    rows = [run.row(*one) for one in wanted]
    int8 = run.row("full-int8", "tflite")
    return [
        run.model,
        *(f"{row.times.p50_us:.1f}" if row else "-" for row in rows),
        f"{int8['host_p50_us']:.1f}" if int8 else "-",
        ", ".join(filter(None, (loss(run, runtime) for runtime in OURS))),
        int8.precision_check.placement if int8 else "-",
    ]


def loss(run: Run, runtime: str) -> str:
    """What full int8 changes of the quality in fp32 on one runtime."""
    before, after = run.row("fp32", runtime), run.row("full-int8", runtime)
    if before is None or after is None:
        return ""
    figure = next(figure for figure in ALLOWED if before.get(figure) is not None)
    change = after[figure] - before[figure]
    return f"{figure} {change:+.4f}{'' if -change <= ALLOWED[figure] else ' (too much)'} on {runtime}"


def against(run: Run, rivals: list[str]) -> list[str]:
    ours, theirs = run.fastest(OURS), run.fastest(rivals)
    found = run.ratio(ours, theirs)
    if ours is None or theirs is None or found is None:
        return [run.model, "not measured", "", "", "", ""]
    names = (f"{row.runtime} {row.precision}" for row in (ours, theirs))
    times = (f"{row.times.p50_us:.1f}" for row in (ours, theirs))
    (first, second), (one, other) = names, times
    return [run.model, first, one, second, other, told(found)]


if __name__ == "__main__":
    main()
