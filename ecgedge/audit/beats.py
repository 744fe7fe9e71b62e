"""The beats: as many as claimed, and none of the test beats was used to calibrate."""

from __future__ import annotations

import hashlib

import numpy as np

from ecgedge.audit.findings import Findings
from ecgedge.audit.reading import read_arrays
from ecgedge.audit.run import Run

WHERE = "beats.npz"
HELD = ("x", "y", "index", "train_x", "train_y", "calibration")


def check_beats(run: Run, findings: Findings) -> None:
    with findings.reading(WHERE, "it"):
        run.beats = read_arrays(run.folder, WHERE, HELD)
        check_counts(run, findings)
        check_calibration(run, findings)


def check_counts(run: Run, findings: Findings) -> None:
    x, y, index, claimed = run.beats["x"], run.beats["y"], run.beats["index"], run.about["beats"]
    for name in ("x", "y", "index"):
        if len(run.beats[name]) != claimed:
            findings.wrong(WHERE, f"{claimed} beats are claimed, {len(run.beats[name])} are in {name}")
    if len(run.beats["train_x"]) != len(run.beats["train_y"]):
        findings.wrong(WHERE, "the training beats and their classes are not equally many")
    if not np.isfinite(x).all() or x.ndim != 3 or x.shape[1:] != run.beats["train_x"].shape[1:]:
        findings.wrong(WHERE, "the beats are not finite, or not shaped as those of training")
    if len(np.unique(index)) != len(index) or (index < 0).any():
        findings.wrong(WHERE, "a test beat is scored twice")
    labels = len(run.about["labels"])
    if y.ndim > 1 and (y.shape[1:] != (labels,) or not set(np.unique(y)) <= {0, 1}):
        findings.wrong(WHERE, f"it does not say of each beat which of {labels} labels it has")
    if y.ndim == 1 and not set(np.unique(y)) <= set(range(labels)):
        findings.wrong(WHERE, "a beat has a class without a label")


def check_calibration(run: Run, findings: Findings) -> None:
    """Calibration beats are training beats, and no test beats."""
    tested, trained, used = (prints(run.beats[name]) for name in ("x", "train_x", "calibration"))
    if both := used & tested:
        findings.wrong(WHERE, f"{len(both)} of the calibration beats are test beats")
    if foreign := used - trained:
        findings.wrong(WHERE, f"{len(foreign)} of the calibration beats are no training beats")


def prints(beats: np.ndarray) -> set[str]:
    """SHA-256 of each beat."""
    return {hashlib.sha256(beat.astype("<f4").tobytes()).hexdigest() for beat in beats}
