"""Ship what ``train_quality.py`` trained: of each model the seed best by cross-validation, with its card.

    python benchmarks/train_quality.py && python benchmarks/ship_weights.py

Best is the lowest cross-validated negative log-likelihood (NLL) on the training beats, of cnn-ae the highest
AUROC. Macro-F1 would hang on the two training beats of one class. The figures on the cards are those of the
test beats, scored once.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from train_quality import FIGURES, MODELS, figure_of, folder_of, is_anomaly, metrics_of, objectives_of, spread

from ecgedge import plugins
from ecgedge.api.tasks import score_name
from ecgedge.training import recipe_for

SHIPPED = ("weights.safetensors", "model.json")
JUDGE = {"classification": "nll", "anomaly": "auroc"}

CARD = """# {name}

Trained weights shipped with ecgedge. **Not a medical device.**

- intended use: comparing formats, precisions, runtimes and devices; trying out a deployment; a start for
  one's own training. Not for diagnosis, nor for any decision about a person
- made by: `OMP_NUM_THREADS=1 ecgedge train {name} --dataset ecg5000{objective} --seed {seed} --cv {folds}`:
  of seeds {seeds} the best by cross-validation on the training beats ({judge})
- how the recipe was chosen: docs/training.md
- recipe: {recipe}
- data: ECG5000 (UCR Archive, Dau et al., arXiv 1810.07758; from the BIDMC Congestive Heart Failure
  Database, record chf07, Goldberger et al., Circulation 2000): 500 training beats of one patient,
  digest `{digest}`{threshold}
- input: `(N, 1, 140)` float32, beats z-normalised one by one; output: {output}
- versions: {versions}

On the 4,500 test beats, scored once:

{figures}

The recipe over seeds {seeds}, mean +- standard deviation (each seed):

{over_seeds}

Near-ties, test beats (counted from 0) with a margin under 1e-4, which another runtime or machine may
decide otherwise: {near_ties}.

Limits: one patient, one recording; the rare classes have 19, 10 and 2 training beats. Nothing is known
about other patients, leads, sampling rates or devices.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("checkpoints/train_quality"))
    parser.add_argument("--model", action="append", choices=MODELS, help="May be repeated. Default: all.")
    asked = parser.parse_args()
    for model in asked.model or MODELS:
        ship(model, asked.work)


def ship(model: str, work: Path) -> None:
    [objective] = objectives_of(model, [recipe_for(plugins.load().find("model", model)).objective])
    folders = {int(name.rpartition("-")[2]): work / name for name in names_in(work, model, objective)}
    runs = {seed: metrics_of(folder) for seed, folder in sorted(folders.items())}
    task = "anomaly" if is_anomaly(model) else "classification"
    sign = -1 if JUDGE[task] == "nll" else 1
    best = max(runs, key=lambda seed: sign * figure_of(runs[seed], "CV", JUDGE[task]))
    target = Path(__file__).parents[1] / "ecgedge" / "weights" / model
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in SHIPPED:
        shutil.copy(folders[best] / file, target / file)
    (target / "README.md").write_text(card(model, task, best, runs, target), encoding="utf-8")
    print(f"{model}: seed {best}")


def names_in(work: Path, model: str, objective: str) -> list[str]:
    """The folders of a model's trainings for an objective, a seed each."""
    prefix = folder_of(work, model, objective, 0).name.removesuffix("0")
    return [folder.name for folder in work.iterdir() if re.fullmatch(re.escape(prefix) + "[0-9]+", folder.name)]


def card(model: str, task: str, best: int, runs: dict[int, dict[str, Any]], folder: Path) -> str:
    training = runs[best]["training"]
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))["task"]
    folds = training["cross_validation"]["folds"]
    judge = JUDGE[task].upper()
    cross_validated = ", ".join(f"{seed}: {figure_of(run, 'CV', JUDGE[task]):.4f}" for seed, run in runs.items())
    ties = runs[best]["near_ties"]
    return CARD.format(
        name=model,
        objective=f" --objective {chosen}" if (chosen := training["recipe"].get("objective")) else "",
        seed=best,
        folds=folds,
        seeds=", ".join(map(str, runs)),
        judge=f"{judge} {cross_validated}",
        recipe=", ".join(f"{key} {value}" for key, value in training["recipe"].items()),
        digest=training["data"]["digest"],
        threshold=threshold(record) if task == "anomaly" else "",
        output=f"the reconstruction, `(N, 1, 140)`; score: {score_name(record['window'])}"
        if task == "anomaly"
        else "logits `(N, 5)`",
        versions=", ".join(f"{key} {value}" for key, value in training["versions"].items() if key != "ecgedge"),
        figures=detection(runs[best]["test"]) if task == "anomaly" else classification(runs[best]["test"]),
        over_seeds="\n".join(over_seeds(list(runs.values()), task)),
        near_ties=", ".join(map(str, ties)) if ties else "none",
    )


def threshold(task: dict[str, Any]) -> str:
    return (
        f"\n- threshold: {task['threshold']:.6f}, the {task['quantile']} quantile of the cross-validated scores of "
        "normal training beats, which gives the best F1 there"
    )


def over_seeds(runs: list[dict[str, Any]], task: str) -> list[str]:
    return [
        f"- {where}: "
        + "; ".join(f"{name} {spread([figure_of(run, where, key) for run in runs])}" for name, key in FIGURES[task])
        for where in ("test", "CV")
    ]


def classification(test: dict[str, Any]) -> str:
    rows = [
        f"| {label} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | {row['support']} |"
        for label, row in test["per_class"].items()
    ]
    head = f"accuracy {test['accuracy']:.4f}, macro-F1 {test['macro_f1']:.4f}, ECE {test['ece']:.4f}"
    return "\n".join([head, "", "| class | precision | recall | F1 | beats |", "|---|---|---|---|---|", *rows])


def detection(test: dict[str, Any]) -> str:
    return (
        f"AUROC {test['auroc']:.4f}, AUPRC {test['auprc']:.4f}; at the threshold F1 {test['f1']:.4f}, "
        f"precision {test['anomaly_precision']:.4f}, recall {test['anomaly_recall']:.4f} "
        f"({test['support']['normal']} normal beats, {test['support']['anomaly']} anomalies)"
    )


if __name__ == "__main__":
    main()
