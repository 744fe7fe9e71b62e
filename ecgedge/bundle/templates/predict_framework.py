"""Decide beat by beat: ``python predict.py beats.csv > answers.csv``; - for standard input. A line is a beat."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from framework import answer

RECORD = json.loads(Path(__file__).with_name("record.json").read_text(encoding="utf-8"))
INPUT, OUTPUT, TASK = RECORD["input"], RECORD["output"], RECORD["task"]
LEADS, LENGTH = RECORD.get("leads", 1), RECORD["length"]


def run(beats: np.ndarray) -> np.ndarray:
    """What the model gives for beats (N, LEADS * LENGTH), in its own type and order of axes: (N, values)."""
    x, size = beats.astype(np.float32), INPUT["shape"][0] or min(len(beats), 64)
    if is_turned(INPUT):
        x = x.reshape(-1, LEADS, LENGTH).transpose(0, 2, 1)
    if INPUT["scale"] is not None:
        limits = np.iinfo(INPUT["dtype"])
        x = np.clip(np.rint(x / np.float32(INPUT["scale"])) + INPUT["zero_point"], limits.min, limits.max)
    x = np.concatenate([x, np.repeat(x[-1:], -len(x) % size, axis=0)])  # the last batch is filled up
    outputs = []
    for batch in x.astype(INPUT["dtype"]).reshape(-1, size, *INPUT["shape"][1:]):
        outputs.append(answer(batch))
    return np.concatenate(outputs)[: len(beats)].reshape(len(beats), -1)


def is_turned(tensor: dict) -> bool:
    """Whether a tensor has samples before leads, unlike the lines of beats."""
    return LEADS > 1 and "LC" in tensor["layout"].replace("1", "")


def decide(beats: np.ndarray, outputs: np.ndarray) -> list:
    """Class and probability of each beat; of an autoencoder score and anomaly flag; of labels which hold, and of each
    its probability."""
    y = (outputs.astype(np.float32) - (OUTPUT["zero_point"] or 0)) * np.float32(OUTPUT["scale"] or 1)
    if TASK["kind"] == "anomaly":
        y = y.reshape(-1, LENGTH, LEADS).transpose(0, 2, 1) if is_turned(OUTPUT) else y.reshape(-1, LEADS, LENGTH)
        off = y - beats.astype(np.float32).astype(float).reshape(y.shape)
        smooth = np.lib.stride_tricks.sliding_window_view(off, TASK["window"], 2).mean(axis=3)
        scores = np.square(smooth).mean(axis=(1, 2))
        return [(f"{score:.6g}", int(score > TASK["threshold"])) for score in scores]
    if TASK["kind"] == "multilabel":
        found = y.astype(float) if TASK["scores"] == "probabilities" else 0.5 * (1 + np.tanh(y.astype(float) / 2))
        holds = [np.array(RECORD["answers"])[row] for row in found > np.array(TASK["thresholds"] or 0.5)]
        return [("+".join(row) or "none", *(f"{share:.4f}" for share in shares)) for row, shares in zip(holds, found)]
    if TASK["kind"] == "binary":  # one score, of the second class
        y = np.concatenate([1 - y if TASK["scores"] == "probabilities" else 0 * y, y], axis=1)
    classes = y.argmax(axis=1)
    if TASK["scores"] != "probabilities":
        y = (powers := np.exp(y - y.max(axis=1, keepdims=True))) / powers.sum(axis=1, keepdims=True)
    return [(RECORD["answers"][index], f"{shares[index]:.4f}") for index, shares in zip(classes, y)]


def main(path: str) -> None:
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    beats = np.loadtxt(text.replace(",", " ").splitlines(), ndmin=2)
    if beats.shape[1] != LEADS * LENGTH or not np.isfinite(beats).all():
        sys.exit(f"{path}: a line is a beat of {LEADS * LENGTH} finite numbers" + ", lead after lead" * (LEADS > 1))
    if RECORD["preprocessing"]["normalize"]:
        leads = beats.reshape(-1, LEADS, LENGTH)
        spread = leads.std(axis=2, ddof=1, keepdims=True)
        beats = ((leads - leads.mean(axis=2, keepdims=True)) / np.where(spread > 0, spread, 1)).reshape(beats.shape)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    heads = {"anomaly": ("score", "anomaly"), "multilabel": ("labels", *RECORD["answers"])}
    writer.writerow(("beat", *heads.get(TASK["kind"], ("class", "probability"))))
    writer.writerows((number, *answer) for number, answer in enumerate(decide(beats, run(beats))))


if __name__ == "__main__":
    main(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
