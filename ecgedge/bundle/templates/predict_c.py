"""Decide beat by beat: ``python predict.py beats.csv > answers.csv``; - for standard input. A line is a beat."""

import csv
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

RECORD = json.loads(Path(__file__).with_name("record.json").read_text(encoding="utf-8"))
INPUT, OUTPUT, TASK = RECORD["input"], RECORD["output"], RECORD["task"]
HERE = Path(__file__).parent
FUNCTION = re.findall(r"^void (\w+_run)\(", (HERE / "model.h").read_text(encoding="utf-8"), re.MULTILINE)[0]
with tempfile.TemporaryDirectory() as scratch:
    made = f"{scratch}/model.so"
    options = ["-std=c99", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-o", made]
    subprocess.run([*os.environ.get("CC", "cc").split(), *options, str(HERE / RECORD["file"])], check=True)
    MODEL = ctypes.CDLL(made)[FUNCTION]
MODEL.argtypes, MODEL.restype = [ctypes.c_void_p, ctypes.c_void_p], None


def run(beats: np.ndarray) -> np.ndarray:
    """What the model gives for beats (N, L), in its own type: (N, values)."""
    x = beats.astype(np.float32)
    if INPUT["scale"] is not None:
        limits = np.iinfo(INPUT["dtype"])
        x = np.clip(np.rint(x / np.float32(INPUT["scale"])) + INPUT["zero_point"], limits.min, limits.max)
    x = np.ascontiguousarray(x, INPUT["dtype"])
    outputs = np.empty((len(x), int(np.prod(OUTPUT["shape"][1:]))), OUTPUT["dtype"])
    for given, answer in zip(x, outputs):
        MODEL(given.ctypes.data, answer.ctypes.data)
    return outputs


def decide(beats: np.ndarray, outputs: np.ndarray) -> list:
    """Class and probability of each beat; of an autoencoder score and anomaly flag."""
    y = (outputs.astype(np.float32) - (OUTPUT["zero_point"] or 0)) * np.float32(OUTPUT["scale"] or 1)
    if TASK["kind"] == "anomaly":
        off = np.lib.stride_tricks.sliding_window_view(y - beats.astype(np.float32).astype(float), TASK["window"], 1)
        return [(f"{score:.6g}", int(score > TASK["threshold"])) for score in np.square(off.mean(axis=2)).mean(axis=1)]
    classes = y.argmax(axis=1)
    if TASK["scores"] != "probabilities":
        y = (powers := np.exp(y - y.max(axis=1, keepdims=True))) / powers.sum(axis=1, keepdims=True)
    return [(RECORD["answers"][index], f"{shares[index]:.4f}") for index, shares in zip(classes, y)]


def main(path: str) -> None:
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    beats = np.loadtxt(text.replace(",", " ").splitlines(), ndmin=2)
    if beats.shape[1] != RECORD["length"] or not np.isfinite(beats).all():
        sys.exit(f"{path}: a line is a beat of {RECORD['length']} finite numbers")
    if RECORD["preprocessing"]["normalize"]:
        spread = beats.std(axis=1, ddof=1, keepdims=True)
        beats = (beats - beats.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("beat", "score", "anomaly") if TASK["kind"] == "anomaly" else ("beat", "class", "probability"))
    writer.writerows((number, *answer) for number, answer in enumerate(decide(beats, run(beats))))


if __name__ == "__main__":
    main(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
