"""Train the built-in models from nothing, over several seeds, and print what comes out, with its spread.

    python benchmarks/train_quality.py --out benchmarks/train_quality.md

Every training is ``ecgedge train MODEL --objective O --seed S --cv K`` with the model's own recipe, on one thread.
What an earlier call finished with the same recipe, data and versions is kept under ``--work``, so the benchmark
can be stopped at any time and called again. From nothing it takes about two hours on two cores.

Every choice was made on the training beats. The figures "test" are of the test beats, which each trained
network answers once; "CV" is cross-validation on the training beats with the same recipe and seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from ecgedge import Recipe, plugins
from ecgedge.data import finding
from ecgedge.measure import machine
from ecgedge.training import recipe_for
from ecgedge.training.recipe import OBJECTIVES
from ecgedge.training.train import THRESHOLD_FOLDS

MODELS = ("base-cnn", "vgg", "inception", "tcn", "cnn-ae")
FIGURES = {
    "classification": (("accuracy", "accuracy"), ("macro-F1", "macro_f1")),
    "anomaly": (("AUROC", "auroc"), ("AUPRC", "auprc"), ("F1", "f1")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="May be repeated. Default: all.")
    parser.add_argument("--objective", action="append", choices=OBJECTIVES, help="May be repeated. Default: all.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cv", type=int, default=3,
                        help="Folds; 0: none. An autoencoder's threshold takes 5 at least.")  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("checkpoints/train_quality"))
    parser.add_argument("--out", type=Path, help="Write the tables there, too, as Markdown.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="Trainings at a time.")
    asked = parser.parse_args()
    models = asked.model or MODELS
    objectives = asked.objective or OBJECTIVES
    wanted = [(model, objective, seed) for seed in range(asked.seeds) for model in models
              for objective in objectives_of(model, objectives)]  # fmt: skip
    with ThreadPoolExecutor(asked.jobs) as pool:
        for _ in pool.map(lambda each: make(asked.work, *each, asked.cv), wanted):
            pass
    text = "\n".join(report(asked.work, models, objectives, asked.seeds, asked.cv))
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")


def folder_of(work: Path, model: str, objective: str, seed: int) -> Path:
    return work / "-".join(filter(None, (model, objective, str(seed))))


def objectives_of(model: str, asked: Sequence[str]) -> Sequence[str]:
    """Those that a model is trained for; an autoencoder has none, ``("",)``."""
    return ("",) if is_anomaly(model) else asked


def is_anomaly(model: str) -> bool:
    return plugins.load().find("model", model).task == "anomaly"


def default_of(model: str) -> str:
    """The objective of a model's own recipe."""
    return recipe_for(plugins.load().find("model", model)).objective


def folds_of(model: str, cv: int) -> int:
    return max(cv, THRESHOLD_FOLDS) if is_anomaly(model) else cv


def make(work: Path, model: str, objective: str, seed: int, cv: int) -> None:
    """Train, unless a training of just this kind is there already."""
    folder, cv = folder_of(work, model, objective, seed), folds_of(model, cv)
    if is_done(folder, model, objective, seed, cv):
        return
    arguments = ["train", model, "--dataset", "ecg5000", "--seed", str(seed)]
    arguments += ["--objective", objective] if objective else []
    arguments += ["--cv", str(cv)] if cv else []
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "ecgedge", *arguments, "--out", str(folder), "--force"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    print(f"{model} {objective} seed {seed}: {time.monotonic() - started:.0f} s", file=sys.stderr)


def is_done(folder: Path, model: str, objective: str, seed: int, cv: int) -> bool:
    try:
        training = metrics_of(folder)["training"]
    except FileNotFoundError:
        return False
    part = plugins.load().find("model", model)
    return (
        Recipe(**training["recipe"]) == recipe_for(part, {"seed": seed, "objective": objective or None})
        and (training["cross_validation"] or {"folds": 0})["folds"] >= cv
        and training["data"]["digest"] == finding.load("ecg5000")[0].digest
        and training["versions"] == machine.versions()
    )


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def report(work: Path, models: Sequence[str], objectives: Sequence[str], seeds: int, cv: int) -> Iterator[str]:
    """The tables, a line at a time."""
    versions = machine.versions()
    yield "# What the recipes give"
    yield ""
    yield f"`python benchmarks/train_quality.py --seeds {seeds} --cv {cv}`, {date.today()},"
    yield (
        ", ".join([f"on {machine.describe()['cpu']}", *(f"{name} {version}" for name, version in versions.items())])
        + "."
    )
    yield "Mean, standard deviation between the seeds, and the figure of each seed. CV: cross-validated on"
    yield "the training beats; test: the test beats, which no choice has seen. Defaults: "
    yield ", ".join(f"{name} {default_of(name)}" for name in models if not is_anomaly(name)) + "."
    for task, figures in FIGURES.items():
        rows = []
        names = [name for name in models if is_anomaly(name) == (task == "anomaly")]
        for model, objective in ((name, each) for name in names for each in objectives_of(name, objectives)):
            runs = [metrics_of(folder_of(work, model, objective, seed)) for seed in range(seeds)]
            for where in ("test", "CV") if all(run["training"]["cross_validation"] for run in runs) else ("test",):
                told = (spread([figure_of(run, where, key) for run in runs]) for _, key in figures)
                rows.append([model, objective, where, *told])
        if rows:
            yield ""
            yield tabulate(rows, ["model", "objective", "on", *(name for name, _ in figures)], tablefmt="github")


def figure_of(metrics: dict[str, Any], where: str, key: str) -> float:
    if where == "test":
        return metrics["test"][key]
    return metrics["training"]["cross_validation"]["figures"][key]["mean"]


def spread(values: list[float]) -> str:
    each = " ".join(f"{value:.4f}" for value in values)
    return f"{np.mean(values):.4f} +- {np.std(values, ddof=1) if len(values) > 1 else 0:.4f} ({each})"


if __name__ == "__main__":
    main()
