"""What does a sweep cost, and how does that grow with its cells? What does a worker cost that is killed on the way?

    python benchmarks/sweep_cost.py --cells 100 --cells 2000 --kill

Makes 20 small data sets (synthetic beats under noise of several strengths) and a plugin with two tiny convolutional
networks, and runs ``ecgedge sweep --cluster local:2`` on them: each network is trained on each data set with each seed,
and scored in five forms (torch; ONNX in fp32, fp16, dynamic and full int8 on onnxruntime). Each run has a cache of its
own, so that nothing is made already. With ``--kill`` one worker is killed when half of the cells are done.

Cost is processor time of all processes, user and system, those of a killed worker too: this process adopts whatever
loses its parent (Linux). Other work on the machine does not count. By the journal it is parted into training,
conversion and scoring; the rest is starting, Dask, reading the data and telling the result.

``--report N`` asks besides what telling costs: the journal of the last run is repeated until it has N cells, under
other names of data sets, and ``publish`` is called on it in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SETS, MODELS, FORMS = 20, 2, 5
TRAIN, TEST = 60, 100  # beats
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PLUGIN = '''
from ecgedge import Model, hookimpl


class Tiny(Model):
    """A convolution, a ReLU, a mean and a layer of scores."""

    produces = "torch"
    recipe = {"epochs": 15, "lr": 0.02, "teacher": False, "augment": 0.0, "average": 0.0, "amp": False, "batch": 32}

    def __init__(self, channels):
        self.name, self.channels = f"tiny-{channels}", channels

    def build(self, classes, length, **options):
        from torch import nn

        return nn.Sequential(
            nn.Conv1d(1, self.channels, 9, stride=4), nn.ReLU(), nn.AvgPool1d(8), nn.Flatten(),
            nn.Linear(self.channels * (((length - 9) // 4 + 1) // 8), classes),
        )


@hookimpl
def ecgedge_models():
    return [Tiny(4), Tiny(8)]
'''


def make(root: Path) -> None:
    """Write the data sets and the plugin."""
    from ecgedge.data.synthetic import draw_beats

    (root / "plugins").mkdir()
    (root / "plugins" / "tiny.py").write_text(PLUGIN, encoding="utf-8")
    for number in range(SETS):
        folder = root / f"set{number:02}"
        folder.mkdir()
        rng = np.random.default_rng(number)
        for part, size, seed in (("TRAIN", TRAIN, 1000 + 2 * number), ("TEST", TEST, 1001 + 2 * number)):
            x, y = draw_beats(size, seed)
            noisy = x[:, 0] + (0.1 + 0.1 * number) * rng.standard_normal(x[:, 0].shape)
            np.savetxt(folder / f"SET{number:02}_{part}.txt", np.column_stack([y + 1, noisy]), fmt="%.5g")


def records(folder: Path) -> list[dict]:
    """What the journal has so far of jobs that were made."""
    journal = folder / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [record for record in found if record["event"] == "made"]


def run(root: Path, cells: int, cluster: str, kill: bool) -> dict:
    """One sweep of so many cells, or the next fewer that fill all data sets; what it took."""
    sets, seeds = shape(cells)
    out, cells = root / f"run-{cells}", sets * seeds * MODELS * FORMS
    command = [sys.executable, "-P", "-m", "ecgedge", "--plugins-dir", str(root / "plugins"), "sweep"]
    command += [word for number in range(sets) for word in ("--dataset", str(root / f"set{number:02}"))]
    command += [word for seed in range(seeds) for word in ("--seed", str(seed))]
    command += ["--model", "tiny-4", "--model", "tiny-8", "--runtime", "torch", "--runtime", "cpu", "--format", "torch"]
    command += ["--format", "onnx", "--calibration", "40", "--out", str(out)]
    command += ["--cluster", cluster] if cluster else ["--jobs", "2"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as cache, out.with_suffix(".log").open("w", encoding="utf-8") as log:
        surroundings = os.environ | {"ECGEDGE_CACHE": cache, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=log, stderr=log, env=surroundings) as process:
            killed = kill_one(out, cells // 2, process) if kill else 0
            process.wait()
        with contextlib.suppress(ChildProcessError):
            while True:  # those that were adopted; they die with their worker
                os.waitpid(-1, 0)
        stored = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file())
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    found = records(out)
    rows = [row for record in found for row in record["rows"]]
    parts: Counter[str] = Counter()
    for record in found:
        parts.update(record.get("cpu", {}))
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    log_text = out.with_suffix(".log").read_text(encoding="utf-8")
    return {
        "cells": len(rows),
        "ok": sum(row["status"] == "ok" for row in rows),
        "twice": len(rows) - len({row["id"] for row in rows}),
        "code": process.returncode,
        "trainings": len(found),
        "wall_s": round(wall),
        "cpu_s": round(spent),
        "cpu_s_a_cell": round(spent / cells, 3),
        **{f"{name}_s_a_cell": round(seconds / cells, 3) for name, seconds in parts.items()},
        "rest_s": round(spent - sum(parts.values())),
        "killed": killed,
        "lost": sum("lost; what" in line for line in log_text.splitlines()),
        "workers": len({record["pid"] for record in found}),
        "journal_kb_a_cell": round((out / "journal.jsonl").stat().st_size / cells / 1e3, 2),
        "store_kb_a_cell": round(stored / cells / 1e3, 1),
    }


def shape(cells: int) -> tuple[int, int]:
    """Data sets and seeds of so many cells."""
    trainings = max(cells // FORMS // MODELS, 1)
    sets = min(SETS, trainings)
    return sets, max(trainings // sets, 1)


def kill_one(out: Path, when: int, process: subprocess.Popen) -> int:
    """Kill the worker that made the last job, once so many cells are done; the number of its process."""
    while process.poll() is None:
        found = records(out)
        if sum(len(record["rows"]) for record in found) >= when:
            pid = found[-1]["pid"]
            os.kill(pid, signal.SIGKILL)  # a process that the sweep above started
            return int(pid)
        time.sleep(0.5)
    return 0


def repeat(folder: Path, cells: int, out: Path) -> None:
    """A sweep of so many cells, from the journal of another."""
    about = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    found = records(folder)
    count = sum(len(record["rows"]) for record in found)
    out.mkdir()
    about["data"] = [
        each | {"name": f"{each['name']}-{k}"} for k in range(-(-cells // count)) for each in about["data"]
    ]
    (out / "sweep.json").write_text(json.dumps(about), encoding="utf-8")
    with (out / "journal.jsonl").open("w", encoding="utf-8") as file:
        for k in range(-(-cells // count)):
            for record in found:
                name, _, rest = record["job"].partition(".")
                rows = [
                    row | {"dataset": f"{row['dataset']}-{k}", "id": row["id"].replace(f"{name}.", f"{name}-{k}.", 1)}
                    for row in record["rows"]
                ]
                file.write(json.dumps(record | {"job": f"{name}-{k}.{rest}", "rows": rows}) + "\n")


TELL = """
import resource, sys, time
from pathlib import Path
from ecgedge.commands.sweep import publish
base, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
report = publish(Path(sys.argv[1]))
print(len(report.summary.scores), round(time.process_time() - start, 2),
      round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024))
"""


def tell(folder: Path) -> dict:
    """What it takes to tell of a sweep: seconds of processor time, MiB beyond the libraries."""
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", TELL, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=True).stdout.split()
    sizes = {f"{name}_mb": round((folder / name).stat().st_size / 1e6, 1) for name in ("journal.jsonl", "sweep.html")}
    return {"told_cells": int(told[0]), "told_cpu_s": float(told[1]), "told_mib": int(told[2]), **sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cells", type=int, action="append")
    parser.add_argument("--cluster", default="local:2", help="Empty: processes of this machine, without Dask.")
    parser.add_argument("--kill", action="store_true", help="Kill a worker in the middle of the last run.")
    parser.add_argument("--keep", type=Path, help="A folder for the runs, which stays.")
    parser.add_argument("--report", type=int, metavar="N", help="Tell of a sweep of N cells, too.")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.keep or Path(scratch)
        root.mkdir(exist_ok=True)
        make(root)
        sizes = asked.cells or [100, 2000]
        for number, cells in enumerate(sizes):
            found = run(root, cells, asked.cluster, asked.kill and number == len(sizes) - 1)
            print(json.dumps(found), flush=True)
        last = root / f"run-{sizes[-1]}"
        print(json.dumps(tell(last)), flush=True)
        if asked.report:
            repeat(last, asked.report, root / "repeated")
            print(json.dumps(tell(root / "repeated")), flush=True)


if __name__ == "__main__":
    main()
