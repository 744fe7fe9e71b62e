"""What a file of torch is, and what loading it would run, told from the archive without loading it.

``torch.export.load`` unpickles without limits what it cannot read otherwise, evaluates the expressions of symbolic
shapes, and calls whatever function of torch's modules the graph names. So all three are looked at first: a file with
tensors, shapes and aten operations alone is data; anything else has to be trusted.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgedge import EcgEdgeError, loads_json

SAVE_IT = "save the network itself: torch.export.save (.pt2), or torch.onnx.export"
WRITE_A_MODEL = "weights need the code of their network: a plugin with a Model (ecgedge plugins new NAME --kind model)"

# An operation of the graph: of aten, or arithmetic on sizes. Two underscores only as Python's operators have them.
CALLS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)(?:(?!\w*__)\w+|__i?(?:and|or|xor|lshift|rshift)__)\.(?!\w*__)\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(?:set_grad_enabled|autocast)"
    r"|_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(?:ceil|floor|trunc|sqrt)|torch\.sym_(?:int|float|max|min|not|ite|sqrt)"
)
EXPRESSIONS = frozenset({
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "PythonMod", "FloorDiv", "CleanDiv",
    "CeilDiv", "CeilToInt", "FloorToInt", "TruncToInt", "IntTrueDiv", "FloatTrueDiv", "ToFloat", "ModularIndexing",
    "Max", "Min", "Abs", "floor", "ceiling", "Eq", "Ne", "Ge", "Gt", "Le", "Lt", "Equality", "Unequality",
    "GreaterThan", "StrictGreaterThan", "LessThan", "StrictLessThan", "And", "Or", "Not", "Identity",
})  # fmt: skip
SYNTAX = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip
SIZE = re.compile(r"L\['\w+'\]\.size\(\)\[\d+\]")  # an input's, as guards spell it
MOST_JSON = 2**26  # bytes of a graph's description: that of a network for the edge has a few hundred thousand
CONTAINERS = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None})


def kind_of(path: Path) -> str:
    """``"pt2"`` or ``"torchscript"``.

    Raises:
        EcgEdgeError: it is missing, damaged, or neither: weights, a pickled network, a compiled one.
    """
    if not path.is_file() or not path.stat().st_size:
        raise EcgEdgeError(f"{path} is {'empty' if path.is_file() else 'missing'}", "name a file of torch")
    if path.suffix.lower() == ".safetensors":
        raise EcgEdgeError(f"{path} holds weights without their network", WRITE_A_MODEL)
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(1) == b"\x80":  # a pickle, as torch wrote them before 1.6
                raise pickled(path)
        raise EcgEdgeError(f"{path} is not a readable file of torch: no zip archive", "save it again")
    with zipfile.ZipFile(path) as archive:
        names = {inner(name) for name in archive.namelist()} | {*archive.namelist()}
    if "archive_format" in names and any(name.startswith("models/") for name in names):
        return "pt2"
    if "serialized_exported_program.json" in names:  # of torch before 2.8
        return "pt2"
    if any(name.startswith("data/aotinductor/") for name in names):
        raise EcgEdgeError(f"{path} holds machine code of AOTInductor, not a network", SAVE_IT)
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if "data.pkl" in names:
        raise pickled(path)
    raise EcgEdgeError(f"{path} is a zip archive, but none of torch", "save it again")


def pickled(path: Path) -> EcgEdgeError:
    """The error for what ``torch.save`` wrote, which is not looked into: to unpickle it is to run it."""
    return EcgEdgeError(f"{path} holds pickled weights, or a pickled network", f"{WRITE_A_MODEL}; or {SAVE_IT}")


def inner(name: str) -> str:
    """A member's name without the archive's own, which torch puts before each."""
    return name.partition("/")[2]


def code_in(path: Path) -> str | None:
    """What code a file would run, as ``Runtime.code_in`` says it."""
    if kind_of(path) == "torchscript":
        return "TorchScript: a program that torch would run"
    try:
        with zipfile.ZipFile(path) as archive:
            return next(code_in_archive(archive), None)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> EcgEdgeError:
    told = (str(error).splitlines() or [type(error).__name__])[0]
    return EcgEdgeError(f"{path} is not a readable torch.export archive: {told}"[:300], "save it again")


def code_in_archive(archive: zipfile.ZipFile) -> Iterator[str]:
    """Each reason against loading an archive of ``torch.export.save``."""
    for entry in archive.infolist():
        member, name = entry.filename, inner(entry.filename)
        if member.endswith(".json") and entry.file_size > MOST_JSON:
            raise ValueError(f"{member} has {entry.file_size:,} bytes")
        content = archive.read(entry)
        if name.startswith("data/aotinductor/") and content:
            yield "machine code of AOTInductor"
        elif name.startswith("models/") or member == "serialized_exported_program.json":
            yield from code_in_program(loads_json(content, member))
        elif name.endswith("_config.json"):
            yield from code_in_payload(loads_json(content, member)["config"], archive, member.rpartition("/")[0])
        elif member.endswith(".pt") and not is_data(content):
            yield f"pickled objects ({name or member})"


def code_in_payload(config: dict[str, Any], archive: zipfile.ZipFile, folder: str) -> Iterator[str]:
    """Of weights or constants that are no plain tensors."""
    for key, payload in config.items():
        file = payload["path_name"]
        if file.startswith(("custom_obj_", "opaque_obj_")):
            yield f"a pickled object ({key})"
        elif payload["use_pickle"] and not is_data(archive.read(f"{folder}/{file}")):
            yield f"pickled objects ({key})"


def is_data(pickled: bytes) -> bool:
    """Whether a pickle holds tensors and plain containers alone: torch's reader of weights takes nothing else."""
    import torch  # heavy

    if not pickled:
        return True
    try:
        torch.load(io.BytesIO(pickled), weights_only=True, map_location="cpu")
        return True
    except Exception:  # of its many kinds: whatever it cannot read so, it would unpickle without limits
        return False


def code_in_program(program: dict[str, Any]) -> Iterator[str]:
    """Of a graph that calls other functions than aten's, or whose sizes are no arithmetic."""
    for key, value in strings_in(program):
        if key in ("target", "as_operator") and not CALLS.fullmatch(value):
            yield f"a call of {value[:60]}"
        elif key in ("expr_str", "guards_code") and not is_arithmetic(SIZE.sub("size", value)):
            yield f"an expression that is no arithmetic: {value[:60]}"
        elif key in ("in_spec", "out_spec"):
            kinds = {str(kind) if kind else None for _, kind in types_in(loads_json(value, key))}
            if not kinds <= CONTAINERS:
                yield "inputs or outputs of a type of its own"


def strings_in(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string with the key that it, or the list around it, stands under."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from strings_in(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from strings_in(value, key)
    elif isinstance(node, str):
        yield key, node


def types_in(spec: Any) -> Iterator[tuple[str, Any]]:
    """The containers that a description of inputs or outputs names."""
    if isinstance(spec, dict):
        if "type" in spec:
            yield "type", spec["type"]
        for value in spec.values():
            yield from types_in(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from types_in(value)


def is_arithmetic(expression: str) -> bool:
    """Whether an expression is made of numbers, symbols and known functions: it is parsed, not evaluated."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, SYNTAX):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in EXPRESSIONS):
            return False
        if isinstance(node, ast.Name) and "__" in node.id:
            return False
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and not re.fullmatch(r"[\w.]{1,40}", node.value)
        ):
            return False
    return True
