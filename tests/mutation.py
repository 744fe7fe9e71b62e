"""Records with something wrong in them, and whether there is: mutated by schema, judged by rules of the tests' own.

``valid`` and ``valid_checkpoint`` know nothing of ecgedge's rules: what they say is what a reader must do.
``benchmarks/fuzz_records.py`` draws many more of these than the tests do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from hypothesis import strategies as st

Record = dict[str, Any]
Path = tuple[str | int, ...]

RANGES = {f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)}
RANGES |= {f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)}
FED = ("float16", "float32", "float64", "int8", "uint8", "int16")
KNOWN = (*FED, "uint16", "int32", "uint32", "int64", "uint64", "bfloat16", "bool")
AXES = {"NCL": 3, "NLC": 3, "NL": 2}
MILLION = 2**20


@dataclass(frozen=True)
class Tensor:
    """An input or output as the library that runs the file tells it; ``scale`` None: it does not tell."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class File:
    """What a file's own tensors are."""

    input: Tensor
    output: Tensor


# Judging


def valid(record: Any, file: File | None) -> bool:
    """Whether a record may be believed; ``file``: with these tensors, None: nobody tells them."""
    needed = {"format", "precision", "task", "input", "output", "name", "digest", "parents", "maker"}
    if not isinstance(record, dict) or not needed <= record.keys() <= needed | {"passes", "notes"}:
        return False
    words = all(is_text(record[key], 100) for key in ("format", "precision")) and is_text(record["name"], 255)
    parents, passes = record["parents"], record.get("passes", [])
    lists = is_list(parents, 100, is_digest) and is_list(passes, 1000, lambda value: is_text(value, 100))
    if not (words and lists and is_digest(record["digest"]) and is_plain(record["maker"])):
        return False
    if record["maker"].get("part") == "user" or not valid_notes(record.get("notes", {})):
        return False
    given, returned = record["input"], record["output"]
    if not (valid_tensor(given) and valid_tensor(returned) and valid_task(record["task"])):
        return False
    known = file is not None and None not in file.output.shape[1:]
    shape = list(file.output.shape) if file is not None and known else returned["shape"]
    return valid_input(given) and fits(record["task"], given, shape) and (file is None or same(record, file))


def is_text(value: Any, most: int, least: int = 1) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and value.isprintable()


def is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def is_list(value: Any, most: int, rule: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= most and all(map(rule, value))


def is_digest(value: Any) -> bool:
    return isinstance(value, str) and (not value or (len(value) == 64 and set(value) <= set("0123456789abcdef")))


def is_plain(value: Any) -> bool:
    """An object of JSON that is neither deep nor large."""
    return isinstance(value, dict) and depth(value) <= 16 and count(value) <= 100_000


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0)


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


NOTED = ("text", "left_out", "idle", "left", "trusted", "normalized", "recipe")


def valid_notes(notes: Any) -> bool:
    if not isinstance(notes, dict):
        return False
    free = {key: value for key, value in notes.items() if key not in NOTED}
    left_out = notes.get("left_out", {})
    return (
        is_plain(free)
        and isinstance(notes.get("text", ""), str)
        and len(notes.get("text", "")) <= 100_000
        and isinstance(left_out, dict)
        and len(left_out) <= 1000
        and all(isinstance(why, str) and len(why) <= 2000 for why in left_out.values())
        and is_list(notes.get("idle", []), 1000, lambda value: is_text(value, 100))
        and is_list(notes.get("left", []), 10_000, lambda value: isinstance(value, str) and len(value) <= 2000)
        and type(notes.get("trusted", False)) is bool
        and type(notes.get("normalized", False)) is bool
        and isinstance(notes.get("recipe", ""), str)
    )


def valid_tensor(spec: Any) -> bool:
    needed = {"name", "shape", "dtype", "layout"}
    if not isinstance(spec, dict) or not needed <= spec.keys() <= needed | {"scale", "zero_point"}:
        return False
    shape, scale, zero = spec["shape"], spec.get("scale"), spec.get("zero_point")
    if not isinstance(shape, list) or len(shape) not in (2, 3):
        return False
    if not all(axis is None or is_whole(axis, 1, MILLION) for axis in shape) or values(shape) > MILLION:
        return False
    if not is_text(spec["name"], 2000) or spec["dtype"] not in KNOWN or spec["layout"] not in (*AXES, "NC"):
        return False
    if scale is None and zero is None:
        return True
    if not is_number(scale) or not 2.0**-126 <= scale <= 2.0**128 - 2.0**104 or spec["dtype"] not in RANGES:
        return False
    return is_whole(zero, *RANGES[spec["dtype"]])


def valid_input(given: Record) -> bool:
    return (
        given["dtype"] in FED
        and AXES.get(given["layout"]) == len(given["shape"])
        and (given["dtype"].startswith("float") or given.get("scale") is not None)
    )


def valid_task(task: Any) -> bool:
    if not isinstance(task, dict) or not valid_labels(task.get("labels")):
        return False
    if task.get("kind") in ("classification", "binary"):
        scores = task.get("scores")
        known = task.keys() <= {"kind", "labels", "scores"} and scores in (None, "logits", "probabilities")
        return known and (task["kind"] == "classification" or len(task["labels"]) == 2)
    if task.get("kind") == "multilabel":
        limits = task.get("thresholds", [])
        return (
            task.keys() <= {"kind", "labels", "scores", "thresholds"}
            and task.get("scores") in (None, "logits", "probabilities")
            and is_list(limits, 1000, lambda value: is_number(value) and 0 <= value < 1)
            and len(limits) in (0, len(task["labels"]))
        )
    needed = {"kind", "labels", "normal", "threshold", "quantile"}
    if task.get("kind") != "anomaly" or not needed <= task.keys() <= needed | {"window"}:
        return False
    quantile = task["quantile"]
    return (
        is_number(task["threshold"])
        and task["threshold"] >= 0
        and (quantile is None or (is_number(quantile) and 0 < quantile < 1))
        and task["normal"] in task["labels"]
        and is_whole(task.get("window", 1), 1, MILLION)
    )


def valid_labels(labels: Any) -> bool:
    return is_list(labels, 1000, lambda label: is_text(label, 80)) and len({*labels}) == len(labels) > 0


def values(shape: list[int | None]) -> int:
    return math.prod(axis or 1 for axis in shape[1:])


def length_of(given: Record) -> int | None:
    axis: int | None = given["shape"][1 if given["layout"] in ("NL", "NLC") else 2]
    return axis


def fits(task: Record, given: Record, answer: list[int | None]) -> bool:
    """Whether outputs of that shape can be what the task says."""
    if None in answer[1:]:
        return True
    found, length = values(answer), length_of(given)
    if task["kind"] != "anomaly":
        return found == (1 if task["kind"] == "binary" else len(task["labels"]))
    return length is None or (found == values(given["shape"]) and task.get("window", 1) <= length)


def same(record: Record, file: File) -> bool:
    """Whether a record tells of the file's own tensors."""
    given, returned = record["input"], record["output"]
    for told, found in ((given, file.input), (returned, file.output)):
        if (told["name"], told["dtype"]) != (found.name, found.dtype):
            return False
        if found.scale is not None and (told.get("scale"), told.get("zero_point")) != (found.scale, found.zero_point):
            return False
    pairs = zip(given["shape"], file.input.shape)
    if len(given["shape"]) != len(file.input.shape) or not all(axis in (one, None) for one, axis in pairs):
        return False
    known = None not in (*returned["shape"][1:], *file.output.shape[1:])
    return not known or values(returned["shape"]) == values(list(file.output.shape))


def valid_checkpoint(record: Any) -> bool:
    needed = {"model", "files", "classes", "length", "options", "task"}
    free = {"training", "input_shape", "output_shape"}
    if not isinstance(record, dict) or not needed <= record.keys() <= needed | free:
        return False
    files, options, task = record["files"], record["options"], record["task"]
    if (
        not is_text(record["model"], 255)
        or not is_list(files, 100, is_file_name)
        or not 0 < len({*files}) == len(files)
    ):
        return False
    if not is_whole(record["classes"], 1, 1000) or not is_whole(record["length"], 1, MILLION):
        return False
    if (
        not isinstance(options, dict)
        or len(options) > 100
        or not all(count(each) <= 100 and depth(each) <= 16 for each in options.values())
    ):
        return False
    if not valid_task(task) or len(task["labels"]) != record["classes"] or task.get("window", 1) > record["length"]:
        return False
    if not valid_shapes(record):
        return False
    return depth(record.get("training")) <= 16 and count(record.get("training")) <= 100_000


def valid_shapes(record: Record) -> bool:
    """Whether the shapes of a checkpoint, where it tells them, are those of beats and of what its task wants."""
    given, returned = (record.get(f"{end}_shape") for end in ("input", "output"))
    for shape in (given, returned):
        if shape is not None and not (
            is_list(shape, 3, lambda axis: axis is None or is_whole(axis, 1, MILLION))
            and len(shape) >= 2
            and values(shape) <= MILLION
        ):
            return False
    if "input_shape" in record and (given is None or len(given) != 3):
        return False
    if given is not None and given[2] not in (None, record["length"]):
        return False
    if "output_shape" in record and returned is None:
        return False
    beat = record["length"] if given is None else values(given)
    kind = record["task"]["kind"]
    wanted = {"anomaly": beat, "binary": 1}.get(kind, len(record["task"]["labels"]))
    is_open = None in (*(given or [])[1:], *(returned or [])[1:])
    return is_open or returned is None or values(returned) == wanted


def is_file_name(value: Any) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or value[0] == "." or value == "model.json":
        return False
    return all(letter.isalnum() or letter in "_ .+-" for letter in value)


# Mutating

NASTY = [
    "", " ", "a\nb", "}; #include </etc/passwd>\n", "\x1b[2J", "\u202etxt.exe", "\ud800", "a\x00b", "\u200b",
    "=1+1", "<script>", "x" * 81, "x" * 256, "x" * 100_000, "../../etc/passwd", "/dev/zero", "é", "心", "NC", "NLC",
    "int8", "float32", "anomaly", "classification", "logits", "user", "1", "nan", "0" * 64, "F" * 64, "..",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 3, 5, 140, 141, 255, 256, 2**20, 2**20 + 1, 10**9, 2**31, 2**63, 2**64, 10**30, 0.0, -0.0, 0.5, 1.0,
    1.5, 2.0, 140.0, 1e-46, 1e39, 1e300, -5, 0.97, float("nan"), float("inf"), -float("inf"),
]  # fmt: skip
KEYS = ["part", "text", "left_out", "window", "scale", "trusted", "x", "__class__"]


def atom(rng: Random) -> Any:
    """A value that is neither a list nor an object."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(NASTY)
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return "".join(
            chr(rng.choice([rng.randrange(128), rng.randrange(0x3000), 0xD800])) for _ in range(rng.randrange(5))
        )
    return rng.choice([True, False, None]) if kind == 3 else rng.randint(-200, 200) if kind == 4 else rng.gauss(0, 100)


def junk(rng: Random, levels: int = 3) -> Any:
    """Anything, small."""
    kind = rng.randrange(4) if levels else 3
    if kind == 0:
        return [junk(rng, levels - 1) for _ in range(rng.randrange(4))]
    if kind == 1:
        return {str(atom(rng))[:3]: junk(rng, levels - 1) for _ in range(rng.randrange(4))}
    return atom(rng)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def large(rng: Random) -> Any:
    """Something deep or long."""
    many = range(1001)
    made = [lambda: nested(10), lambda: nested(20), lambda: nested(70), lambda: ["a"] * 1001, lambda: [*many],
            lambda: [str(n) for n in many], lambda: {str(n): n for n in many}]  # fmt: skip
    return rng.choice(made)()


def few(rng: Random, values: Sequence[Any], most: int = 6) -> list[Any]:
    return [rng.choice(values) for _ in range(rng.randint(0, most))]


NEAR: dict[str, Callable[[Random], Any]] = {  # what a field of that name may well be, rightly or wrongly
    "shape": lambda rng: few(rng, [None, 1, 2, 3, 5, 20, 140, 141, 0, -1, 2**20, 2**21], 4),
    "dtype": lambda rng: rng.choice([*KNOWN, "complex64", "object", "string", "float", "float32 "]),
    "layout": lambda rng: rng.choice([*AXES, "NC", "LCN", "nlc", "?"]),
    "scale": lambda rng: rng.choice([None, 0.5, 0.05, -0.5, 0.0, rng.random(), float("nan")]),
    "zero_point": lambda rng: rng.choice([None, rng.randint(-129, 256)]),
    "labels": lambda rng: few(rng, ["1", "2", "3", "4", "5", "é", "a b", "x" * 80]),
    "threshold": lambda rng: rng.choice([None, rng.gauss(1, 1), 0, 1e308, float("inf")]),
    "quantile": lambda rng: rng.choice([None, rng.uniform(-0.5, 1.5), 0.5, 1, 0]),
    "window": lambda rng: rng.randint(-2, 150),
    "normal": lambda rng: rng.choice("156"),
    "scores": lambda rng: rng.choice([None, "logits", "probabilities", "odds"]),
    "kind": lambda rng: rng.choice(["classification", "anomaly", "regression"]),
    "digest": lambda rng: "".join(rng.choice("0123456789abcdefF") for _ in range(rng.randint(63, 65))),
    "parents": lambda rng: few(rng, ["a" * 64, "", "b" * 63, "G" * 64], 3),
    "passes": lambda rng: few(rng, ["fold_norms", "", "a\nb"], 3),
    "files": lambda rng: few(rng, ["weights.npy", "w.bin", "../w", "a/b", "model.json", ".hidden"], 3),
    "classes": lambda rng: rng.randint(-1, 1001),
    "length": lambda rng: rng.randint(-1, 150),
    "name": lambda rng: rng.choice(["net", "another net", "x" * 255, "é", *NASTY]),
    "text": lambda rng: rng.choice(["a line", "two\nlines", "x" * 100_001]),
    "maker": lambda rng: rng.choice([{}, {"part": "exporter"}, {"part": "user"}, {"libraries": {"onnx": "1"}}]),
}


def places(record: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a record, itself first."""
    yield path
    inner = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def some(record: Any) -> list[Path]:
    return list(islice(places(record), 300))


def get(record: Any, path: Path) -> Any:
    for key in path:
        record = record[key]
    return record


def mutated(rng: Random, base: Record) -> Any:
    """A record after up to three changes; some of them harmless."""
    record: Any = deepcopy(base)
    for _ in range(rng.randint(1, 3)):
        if not isinstance(record, dict) or not record:
            return record
        path = rng.choice(some(record))
        kind = rng.choice(["near", "near", "near", "junk", "junk", "large", "delete", "add", "move"])
        if not path and kind != "add":
            record = junk(rng) if rng.randrange(10) == 0 else record
            continue
        holder = get(record, path[:-1]) if path else record
        if kind == "near":
            last = path[-1]
            holder[last] = NEAR[last](rng) if isinstance(last, str) and last in NEAR else atom(rng)
        elif kind == "junk":
            holder[path[-1]] = junk(rng)
        elif kind == "large":
            holder[path[-1]] = large(rng)
        elif kind == "delete":
            del holder[path[-1]]
        elif kind == "move":
            holder[path[-1]] = deepcopy(get(record, rng.choice(some(record))))
        elif isinstance(target := get(record, path), dict):
            target[rng.choice(KEYS)] = junk(rng)
        elif isinstance(target, list):
            target.append(junk(rng))
    return record


@dataclass(frozen=True)
class Mutant:
    """A record's text, and what it holds; None: it is no JSON, or more than JSON allows."""

    text: bytes
    record: Any


def mutant(rng: Random, base: Record) -> Mutant:
    """A mutated record as a file has it; some texts are damaged as such."""
    record = mutated(rng, base)
    text = json.dumps(record, ensure_ascii=rng.random() < 0.5)
    damage = rng.randrange(20)
    if damage == 0 and isinstance(record, dict) and record:
        key = rng.choice(sorted(record, key=str))
        return Mutant(encoded(f"{{{json.dumps(key)}: 1, {text[1:]}"), None)
    if damage == 1:
        return Mutant(encoded(text[: rng.randrange(len(text))]) + b"{", None)
    if damage == 2:
        return Mutant(b"[" * rng.choice([65, 1000, 100_000]), None)
    if damage == 3:
        return Mutant(encoded(text) + rng.choice([b"\xff", b"x", b"{}", b"\x00"]), None)
    plain = encoded(text)
    return Mutant(plain, record if is_json(record) and is_utf8(plain) else None)


def mutants(base: Record) -> st.SearchStrategy[Mutant]:
    """For hypothesis: each by a seed, since what hypothesis draws itself is seldom as harmless as a record may be."""
    return st.integers(0, 2**32 - 1).map(lambda seed: mutant(Random(seed), base))


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def is_utf8(text: bytes) -> bool:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except (UnicodeError, ValueError):
        return False
    return True


def is_json(value: Any) -> bool:
    """Whether JSON has such values: finite numbers of at most 64 bits, not nested out of all bounds."""
    return containers(value) <= 64 and all(map(is_number_of_json, leaves(value)))


def is_number_of_json(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float) else not isinstance(value, int) or abs(value) <= 2**64


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def containers(value: Any) -> int:
    """How many lists and objects are in each other."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(containers, value.values() if isinstance(value, dict) else value), default=0)


# Attempting


@dataclass
class Outcome:
    """What a reader did.

    Attributes:
        kind: ``"right"``, read and valid; ``"refused"``, in one clear line and not valid; else what is wrong with it.
        told: the line, or the error.
        made: what was read.
    """

    kind: str
    told: str = ""
    made: Any = None


GOOD = ("right", "refused")


def attempt(
    read: Callable[[bytes], Any], mutant: Mutant, is_valid: bool, clear: tuple[type[Exception], ...]
) -> Outcome:
    """Have a reader read a mutant; ``clear``: the errors that are the user's."""
    try:
        made = read(mutant.text)
    except clear as error:
        told = str(error)
        if not is_text(told, 1000):
            return Outcome("unclear", told)
        return Outcome("innocent refused" if is_valid else "refused", told)
    except Exception as error:
        return Outcome("traceback", f"{type(error).__name__}: {error}"[:200])
    return Outcome("right" if is_valid else "silent", made=made)
