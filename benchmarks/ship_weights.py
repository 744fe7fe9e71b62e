"""Train the weights that ecgedge ships, and write their cards: ``python benchmarks/ship_weights.py [MODEL ...]``.

Every choice is made on training beats; the figures on the cards are those of the test beats, scored
once. Takes about five minutes on two cores. Needs ECG5000 (``ECGEDGE_DATA``).
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHIPPED = ("weights.safetensors", "model.json")
RECIPES = {  # options of ``ecgedge train``; none: its defaults
    "base-cnn": [],
    "vgg": ["--half"],
    "inception": [],
    "tcn": [],
    "cnn-ae": ["--epochs", "500"],  # of 4 steps each: 50 leave its validation error still falling
}

CARD = """# {name}

Trained weights shipped with ecgedge. **Not a medical device**: for engineering comparisons, not for
diagnosis.

- made by: `{command}`
- data: ECG5000 (UCR Archive, Dau et al., arXiv 1810.07758; from the BIDMC Congestive Heart Failure
  Database, record chf07, Goldberger et al., Circulation 2000): 500 training beats of one patient,
  digest `{digest}`
- chosen: epoch {epoch} of {epochs}, on a stratified fifth of the training beats (validation loss {loss:.4f}){threshold}
- input: `(N, 1, 140)` float32, beats z-normalised one by one; output: {output}
- versions: {versions}

On the 4,500 test beats, scored once:

{figures}

Limits: one patient, one recording; rare classes have 19, 10 and 2 training beats. Nothing is known
about other patients, leads, sampling rates or devices.
"""


def card(name: str, folder: Path, command: str) -> str:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    training, test = metrics["training"], metrics["test"]
    anomaly = record["task"]["kind"] == "anomaly"
    threshold = (
        f";\n  threshold {record['task']['threshold']:.6f}, the {record['task']['quantile']} quantile of normal "
        "training scores, which gives the best F1 on the training beats"
        if anomaly
        else ""
    )
    return CARD.format(
        name=name,
        command=command,
        digest=training["data"]["digest"],
        epoch=training["best_epoch"] + 1,
        epochs=training["recipe"]["epochs"],
        loss=training["validation"]["loss"],
        threshold=threshold,
        output="the reconstruction, `(N, 1, 140)`; score: mean squared error" if anomaly else "logits `(N, 5)`",
        versions=", ".join(f"{key} {value}" for key, value in training["versions"].items() if key != "ecgedge"),
        figures=detection(test) if anomaly else classification(test),
    )


def classification(test: dict) -> str:
    rows = [
        f"| {label} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} | {row['support']} |"
        for label, row in test["per_class"].items()
    ]
    head = f"accuracy {test['accuracy']:.4f}, macro-F1 {test['macro_f1']:.4f}"
    return "\n".join([head, "", "| class | precision | recall | F1 | beats |", "|---|---|---|---|---|", *rows])


def detection(test: dict) -> str:
    return (
        f"AUROC {test['auroc']:.4f}, AUPRC {test['auprc']:.4f}; at the threshold F1 {test['f1']:.4f}, "
        f"precision {test['anomaly_precision']:.4f}, recall {test['anomaly_recall']:.4f} "
        f"({test['support']['normal']} normal beats, {test['support']['anomaly']} anomalies)"
    )


def main() -> None:
    weights = Path(__file__).parents[1] / "ecgedge" / "weights"
    for name in sys.argv[1:] or RECIPES:
        arguments = ["train", name, "--dataset", "ecg5000", *RECIPES[name]]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / name
            subprocess.run([sys.executable, "-m", "ecgedge", *arguments, "--out", str(folder)], check=True)
            target = weights / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for file in SHIPPED:
                shutil.copy(folder / file, target / file)
            text = card(name, folder, " ".join(["ecgedge", *arguments]))
            (target / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
