"""Records of our own making, whose beats are known: written by ``wfdb`` and ``pyedflib`` themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 360


@dataclass(frozen=True)
class Made:
    """A record that was written.

    Attributes:
        x: the signal ``(C, n)`` in millivolts, before it was rounded to the steps of the format.
        peaks: samples of the R peaks.
        symbols: of the beats.
    """

    path: Path
    x: np.ndarray
    peaks: np.ndarray
    symbols: tuple[str, ...]


def signal(seconds: float, rate: float = RATE, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two leads ``(2, n)`` in millivolts of normal (N), ventricular (V) and atrial premature (A) beats, wandering."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    x = np.stack([0.1 * np.sin(0.4 * time + phase) for phase in (0, 1)]) + 0.01 * rng.standard_normal((2, count))
    peaks, symbols, at, early = [], [], 0.8, False
    while at < seconds - 0.8:
        kind = "N" if early else str(rng.choice(["N", "V", "A"], p=[0.8, 0.12, 0.08]))
        early = kind != "N"
        centre = round(at * rate)
        around = np.arange(max(centre - rate // 2, 0), min(centre + rate // 2, count))
        t = (around - centre) / rate
        wide = 0.025 if kind == "V" else 0.012
        r = (1.6 if kind == "V" else 1.1) * np.exp(-0.5 * (t / wide) ** 2)
        p = (
            np.zeros_like(t)
            if kind == "V"
            else 0.15 * np.exp(-0.5 * ((t + (0.16 if kind == "N" else 0.1)) / 0.02) ** 2)
        )
        wave = (-0.35 if kind == "V" else 0.25) * np.exp(-0.5 * ((t - 0.28) / 0.05) ** 2)
        x[0, around] += r + p + wave
        x[1, around] += (-0.6 if kind == "V" else 0.5) * r + 0.5 * p + 0.6 * wave
        peaks.append(centre)
        symbols.append(kind)
        at += float(0.8 + 0.05 * rng.standard_normal()) * (0.75 if rng.random() < 0.1 else 1)
    return x, np.array(peaks), symbols


def write_wfdb(
    folder: Path, name: str, seconds: float = 60, rate: float = RATE, seed: int = 0,
    leads: tuple[str, ...] = ("MLII", "V1"), fmt: str = "212", rhythms: bool = False,
) -> Made:  # fmt: skip
    """A WFDB record ``folder/name`` with its annotations ``atr``."""
    import wfdb

    x, peaks, symbols = signal(seconds, int(rate), seed)
    x = x[: len(leads)]
    wfdb.wrsamp(
        name, fs=rate, units=["mV"] * len(leads), sig_name=list(leads), p_signal=x.T, fmt=[fmt] * len(leads),
        adc_gain=[200.0] * len(leads), baseline=[0] * len(leads), write_dir=str(folder),
    )  # fmt: skip
    samples, words, notes = peaks, list(symbols), [""] * len(peaks)
    if rhythms:  # half of the record in each of two rhythms
        half = round(seconds * rate / 2)
        marks = sorted([*zip(peaks.tolist(), symbols, notes), (0, "+", "(N"), (half, "+", "(AFIB")], key=lambda m: m[0])
        samples, words, notes = np.array([m[0] for m in marks]), [m[1] for m in marks], [m[2] for m in marks]
    wfdb.wrann(name, "atr", samples, symbol=words, aux_note=notes, fs=rate, write_dir=str(folder))
    return Made(folder / name, x, peaks, tuple(symbols))


def write_edf(
    folder: Path, name: str, seconds: int = 60, rate: int = 256, seed: int = 0, respiration: bool = False
) -> Made:
    """An EDF+ file with two leads and its beats as annotations; a slower signal of breath beside them."""
    import pyedflib

    x, peaks, symbols = signal(seconds, rate, seed)
    heads = [
        {"label": label, "dimension": "uV", "sample_frequency": rate, "physical_min": -5000, "physical_max": 5000,
         "digital_min": -32768, "digital_max": 32767}
        for label in ("ECG II", "ECG V1")
    ]  # fmt: skip
    signals = [lead * 1000 for lead in x]
    if respiration:
        heads.append({**heads[0], "label": "Resp", "dimension": "", "sample_frequency": 32})
        signals.append(np.zeros(seconds * 32))
    with pyedflib.EdfWriter(str(folder / f"{name}.edf"), len(heads)) as file:
        file.set_number_of_annotation_signals(3)  # each holds one annotation a second
        file.setSignalHeaders(heads)
        file.writeSamples(signals)
        for peak, symbol in zip(peaks, symbols, strict=True):
            file.writeAnnotation(peak / rate, -1, symbol)
    return Made(folder / f"{name}.edf", x, peaks, tuple(symbols))
