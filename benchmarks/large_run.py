"""How long does a run with very many rows take to become rows, and a report?

    python benchmarks/large_run.py --rows 400 --rows 10000

Makes the folder of a run as ``ecgedge matrix`` leaves it, on few synthetic beats and without measuring anything: models
of ten forms each, six rounds of 40 calls, a file timed twice for each model. Then what the commands compute from it, in
a process of its own each: seconds of wall time, and the most memory that it took, beyond the start of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BEATS, FORMS, ROUNDS = 60, 10, 6
STEPS = ("rows", "table", "md", "csv", "json", "html", "choose", "compare")


def make(folder: Path, rows: int) -> None:
    """Write a run of so many rows."""
    from ecgedge.api.artifact import Classification
    from ecgedge.data.finding import synthetic
    from ecgedge.run.journal import Journal
    from tests.core import synthetic_run

    data = synthetic()
    beats = replace(data, test=data.test.take(np.arange(BEATS)))
    for name in ("cells", "artifacts", "samples"):
        (folder / name).mkdir(parents=True)
    np.savez(folder / "beats.npz", x=beats.test.x, y=beats.test.y, index=np.arange(BEATS))
    task, outputs = Classification(beats.labels), synthetic_run.scores(beats)
    forms = [
        (format, precision, f"{runtime}-{k}", us + 7 * k, size, spread)
        for k in range(2)
        for format, precision, runtime, us, size, spread in synthetic_run.FORMS[1:]
    ]
    ids: list[str] = []
    with mock.patch.object(os, "fsync", lambda _: None):
        journal = Journal(folder)
        for number in range(rows):
            model, form = f"model-{number // FORMS}", forms[number % FORMS]
            ids.append(f"{model}.{number % FORMS}.{form[0]}-{form[1]}.{form[2]}")
            synthetic_run.scored(journal, ids[-1], model, task, form, outputs, beats, works=True)
            synthetic_run.timed(journal, ids[-1], form[3], number, lambda *_: 1.0)
            if number % FORMS == 0:
                journal.append("twin", cell=ids[-1], name=f"{ids[-1]}.twin")
                synthetic_run.timed(journal, f"{ids[-1]}.twin", form[3], rows + number, lambda *_: 1.0)
        journal.close()
    run = synthetic_run.about(beats, ids) | {"data_source": "synthetic"}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


def peak_mib() -> float:
    """The most memory that this process has had since it was started."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def step(folder: Path, what: str) -> None:
    """One of what is measured, in this process; prints seconds, MiB and the size of what came out."""
    base = peak_mib()
    start, made = time.perf_counter(), 0
    if what == "rows":
        from ecgedge.report import Report
        from ecgedge.report.files import write_files
        from ecgedge.run.journal import read
        from ecgedge.run.rows import noise_of, rows_of

        records = read(folder)
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        rows = rows_of(records, ROUNDS, folder)
        assert all(row.status == "ok" for row in rows), "no row lacks its figures"
        write_files(Report(folder, run, rows, noise_of(records, ROUNDS, folder)))
        made = len(rows)
    else:
        from click.testing import CliRunner

        from ecgedge.cli import main

        out = folder.with_suffix(f".{what}")
        command = ["report", str(folder), "-o", str(out)]
        if what == "choose":
            command = ["choose", str(folder), "--require", "accuracy>=0.1", "--optimize", "latency_p50"]
        elif what == "compare":
            command = ["compare", str(folder), str(folder)]
        done = CliRunner().invoke(main, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        made = out.stat().st_size if out.exists() else len(done.output)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, peak_mib() - base, made]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--profile", action="store_true", help="Where the time of each step goes, by cProfile.")
    parser.add_argument("--step", nargs=2, metavar=("FOLDER", "WHAT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        step(Path(asked.step[0]), asked.step[1])
        return
    print("rows    step     seconds     MiB   made")
    for rows in asked.rows or [400]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "run"
            make(folder, rows)
            for what in dict.fromkeys(["rows", *asked.steps.split(",")]):
                profiler = ["-m", "cProfile", "-s", "cumulative"] if asked.profile else []
                done = subprocess.run(
                    [sys.executable, *profiler, __file__, "--step", str(folder), what],
                    capture_output=True, text=True, cwd=ROOT,
                )  # fmt: skip
                if done.returncode:
                    print(f"{rows:6}  {what:8} failed: {done.stderr.strip().splitlines()[-1]}")
                    continue
                text, _, profile = done.stdout.partition("\n")
                seconds, memory, made = json.loads(text)
                print(f"{rows:6}  {what:8} {seconds:7.2f}  {memory:6.0f}  {made:,}", flush=True)
                if asked.profile:
                    print("\n".join(profile.splitlines()[:45]))


if __name__ == "__main__":
    main()
