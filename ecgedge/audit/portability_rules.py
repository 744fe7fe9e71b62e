"""What a certificate of ``ecgedge portability`` has to look like, and which of its parts must go together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecgedge.audit.answers import flat, unanswered
from ecgedge.audit.findings import Findings
from ecgedge.files.schema import Rule, SchemaError, free, like, list_of, maybe, number, one_of, record, whole, words

ANSWERS = "answers.npz"
HERE, PAIRS, FLOAT16, CORES = "this machine", "16-bit pairs", "float16", ("Haswell", "Nehalem")
NEVER = "x86-64 with AVX-512 and without VNNI"  # what nobody can try
KERNELS = {"cpu": ("optimized", "precise", "plain"), "tflite": ("xnnpack", "builtin", "reference")}  # of a runtime
TEXT, MANY, COUNT = words(10_000), 10**7, whole(0, 10**15)
SIZE, SHARE, DIGEST = number(least=0), number(least=0, below=1 + 1e-9), like("[0-9a-f]{64}", "a SHA-256 in hex")

LABELS = {"labels": list_of(TEXT, 10**5, least=1)}
TASKS: dict[str, Rule] = {
    "classification": record({"kind": TEXT, **LABELS}, others=free(dict)),
    "binary": record({"kind": TEXT, **LABELS}, others=free(dict)),
    "multilabel": record({"kind": TEXT, **LABELS}, {"thresholds": maybe(list_of(number(), 10**5))}, others=free(dict)),
    "anomaly": record({"kind": TEXT, "threshold": number()}, {"window": whole(1, 10**6)}, others=free(dict)),
}
FLIP = record({"beat": COUNT, "here": COUNT, "there": COUNT, "margin": number(), "label": maybe(COUNT)})
TRIED = record(
    {
        "family": TEXT, "about": TEXT, "place": TEXT, "by": one_of("run", "emulator", "model"), "beats": whole(1, MANY),
        "equal": SHARE, "largest": SIZE, "steps": maybe(SIZE), "flips": list_of(FLIP, MANY), "digest": DIGEST,
        "ran": TEXT, "confirmed": TEXT,
    }
)  # fmt: skip
LAYER = record(
    {
        "layer": TEXT, **dict.fromkeys(("pairs", "can", "did", "beats", "seen", "cut", "sums", "largest"), COUNT),
        "changed": SHARE, "steps": COUNT,
    }
)  # fmt: skip
OVERFLOW = record({"layer": TEXT, "largest": SIZE, "beats": whole(1, MANY), "seen": whole(1, MANY)})
CERTIFICATE = record(
    {
        **dict.fromkeys(("file", "format", "precision", "runtime", "data"), TEXT),
        "task": free(dict), "verdict": one_of("exact", "equivalent", "fragile"), "largest": SIZE, "digest": DIGEST,
        "beats": whole(1, MANY), "margin": number(), "step": maybe(number(above=0)),
        "tried": list_of(TRIED, 1000, least=1),
        "not_tried": list_of(record({"what": TEXT, "why": TEXT}), 1000), "saturation": list_of(LAYER, 10**5),
        "findings": list_of(record({"text": TEXT, "remedy": TEXT}), 1000),
        "overflow": list_of(OVERFLOW, 10**5), "machine": free(dict), "versions": free(dict),
    }
)  # fmt: skip


def check_record(told: Any) -> None:
    """Raise SchemaError where it is no certificate."""
    CERTIFICATE(told, "")
    kind = told["task"].get("kind")
    one_of(*TASKS)(kind, "task.kind")
    TASKS[kind](told["task"], "task")


def check_arrays(told: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raise SchemaError where the arrays are not the beats and the answers of each way to some of them."""
    names = [f"{name}_{i}" for i in range(len(told["tried"])) for name in ("outputs", "against", "numbers")]
    if lacking := [name for name in ("x", *names) if name not in arrays]:
        raise SchemaError(f"{ANSWERS} lacks {lacking[0]}")
    if more := sorted(arrays.keys() - {"x", *names}):
        raise SchemaError(f"{ANSWERS} has {more[0][:40]}, which is of no way that is told")
    x = arrays["x"]
    if x.ndim != 3 or not x.size:
        raise SchemaError(f"{ANSWERS}: x has shape {x.shape}, not that of beats")
    for i in range(len(told["tried"])):
        there, here, numbers = (arrays[f"{name}_{i}"] for name in ("outputs", "against", "numbers"))
        known = numbers.ndim == 1 and numbers.dtype.kind in "iu" and len(numbers) == len(np.unique(numbers))
        if not known or not len(numbers) or not np.isin(numbers, np.arange(len(x))).all():
            raise SchemaError(f"{ANSWERS}: numbers_{i} are not those of beats")
        if not there.ndim == here.ndim == 2 or there.shape != here.shape or len(there) != len(numbers):
            raise SchemaError(f"{ANSWERS}: outputs_{i} and against_{i} are not answers to the same beats")
    task, first = told["task"], flat(arrays["outputs_0"])
    if task["kind"] == "binary" and first.shape[1] == 2:
        return  # a file may give one for each class
    if reason := unanswered(first, x, task):
        raise SchemaError(f"{ANSWERS}: {reason}")


def check_ways(findings: Findings, told: dict[str, Any]) -> None:
    """Each way is told once, and by what its place and family say."""
    names = [f"{each['family']} on {each['place']}" for each in told["tried"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        findings.wrong(name, "it is told twice")
    for name, each in zip(names, told["tried"]):
        by = "emulator" if each["place"].endswith("emulated)") else "run"
        by = "model" if each["family"] in (PAIRS, FLOAT16) else by
        if each["by"] != by:
            findings.wrong(name, f"by is {each['by']}, its family and place say {by}")
    if told["tried"][0]["place"] != HERE:
        findings.wrong(names[0], f"the first way is not of {HERE}")


def check_left_out(findings: Findings, told: dict[str, Any]) -> None:
    """What every certificate was asked for is there, tried or not."""
    left = [each["what"] for each in told["not_tried"]]
    places = [each["place"] for each in told["tried"]] + [what.split(" on ", 1)[1] for what in left if " on " in what]
    cores = {place.split(" (", 1)[0] for place in places}
    lacking = [] if NEVER in left else [NEVER]
    if "x86-64 with fewer instructions, emulated" not in left:
        lacking += [core for core in CORES if core not in cores]
    modelled = [place for place in places if "VNNI" in place or FLOAT16 in place]
    boards = [each for each in places if each not in (HERE, *modelled) and each.split(" (", 1)[0] not in CORES]
    if "aarch64" not in left and not boards:
        lacking.append("aarch64, or a board")
    told_of = {f"{each['family']} on {each['place']}" for each in told["tried"]} | {*left}
    lacking += [f"{each} on {HERE}" for each in KERNELS.get(told["runtime"], ()) if f"{each} on {HERE}" not in told_of]
    for each in lacking:
        findings.wrong("not_tried", f"{each} was neither tried nor is it told why not")


def check_saturation(findings: Findings, told: dict[str, Any]) -> None:
    """The layers that can lose sums agree with the way that computes what becomes of them, and with themselves."""
    layers, left = told["saturation"], told["not_tried"]
    models = [each for each in told["tried"] if each["family"] == PAIRS]
    if models and not layers:
        findings.wrong("saturation", f"no layer is told, and {PAIRS} were tried")
    if layers and not models and not any(each["what"].startswith(PAIRS) for each in left):
        findings.wrong("saturation", f"layers are told, and {PAIRS} were neither tried nor is it told why not")
    cut = [layer for layer in layers if layer["cut"]]
    if models and models[0]["largest"] > 0 and layers and not cut:
        findings.wrong("saturation", f"no sum is cut off, and {PAIRS} differ")
    if cut and not any(each["text"].startswith("without VNNI") for each in told["findings"]):
        findings.wrong("findings", "none tells of the layers that lose sums")
    for layer in layers:
        for less, more in (("did", "can"), ("can", "pairs"), ("cut", "sums"), ("beats", "seen")):
            if not layer[less] <= layer[more]:
                findings.wrong(layer["layer"], f"{less} is {layer[less]}, {more} {layer[more]}")
        if layer["seen"] != (models[0]["beats"] if models else 0):
            findings.wrong(layer["layer"], f"seen is {layer['seen']}, {PAIRS} say otherwise")
        if len({bool(layer[name]) for name in ("did", "cut", "beats", "largest")}) > 1:
            findings.wrong(layer["layer"], "of did, cut, beats and largest some are 0, some are not")
        if layer["changed"] and not layer["cut"]:
            findings.wrong(layer["layer"], "values change, and no sum is cut off")


def check_overflow(findings: Findings, told: dict[str, Any]) -> None:
    """The layers that leave float16 agree with the way that computes what becomes of them, and with themselves."""
    layers = told["overflow"]
    models = [each for each in told["tried"] if each["family"] == FLOAT16]
    if models and not layers:
        findings.wrong("overflow", f"no layer is told, and {FLOAT16} was tried")
    words = [each["text"] for each in told["findings"]] + [each["what"] for each in told["not_tried"]]
    if layers and not any("leave float16" in each or each.startswith(FLOAT16) for each in words):
        findings.wrong("findings", "none tells of the layers that leave float16")
    for layer in layers:
        if layer["beats"] > layer["seen"] or layer["largest"] < 65_504:
            findings.wrong(layer["layer"], f"{layer['largest']:,.0f} on {layer['beats']} of {layer['seen']} beats")
        if models and layer["seen"] != models[0]["beats"]:
            findings.wrong(layer["layer"], f"seen is {layer['seen']}, {FLOAT16} says otherwise")
