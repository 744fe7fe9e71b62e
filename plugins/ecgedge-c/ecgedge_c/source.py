"""The C of a network: ``model.h`` and ``model.c``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from string import Template

import numpy as np

from ecgedge import Anomaly, Artifact, Multilabel
from ecgedge_c import arena
from ecgedge_c.lower import Lowering
from ecgedge_c.net import Net
from ecgedge_c.steps import Constant, Step

A_LINE = 20  # numbers
KERNEL = re.compile(r"^/\*= (\w+)((?: \w+)*) \*/\n", re.MULTILINE)
WITHOUT_CMSIS_NN = """\
#ifdef ECGEDGE_CMSIS_NN
#error "the weights are not in the order of CMSIS-NN: convert it with the option cmsis_nn=true"
#endif
"""  # or its answers were wrong
KEYWORDS = frozenset({
    "auto", "break", "case", "char", "class", "const", "continue", "default", "delete", "do", "double", "else", "enum",
    "extern", "float", "for", "friend", "goto", "if", "inline", "int", "long", "main", "namespace", "new", "operator",
    "private", "protected", "public", "register", "return", "short", "signed", "sizeof", "static", "struct", "switch",
    "template", "this", "throw", "try", "typedef", "union", "unsigned", "using", "virtual", "void", "volatile", "while",
})  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """The text of a kernel, and the names of those that it needs."""

    text: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Sources:
    """The C of a network.

    Attributes:
        name: before all that other files see.
        header, code: the texts of ``model.h`` and ``model.c``.
        arena: bytes of activations.
    """

    name: str
    header: str
    code: str
    arena: int


@cache
def kernels() -> dict[str, Kernel]:
    """All kernels by name: pieces of files, each after a line ``/*= NAME NEEDED ... */``."""
    files = resources.files("ecgedge_c").joinpath("templates").joinpath("kernels").iterdir()
    found: dict[str, Kernel] = {}
    for file in sorted(files, key=lambda file: file.name):
        parts = KERNEL.split(file.read_text(encoding="utf-8"))[1:]
        for name, needs, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            assert name not in found, name
            found[name] = Kernel(body, tuple(needs.split()))
    theirs, ours = found["conv_by_cmsis_nn"], found["conv"]
    either = f"#ifdef ECGEDGE_CMSIS_NN\n{theirs.text}#else\n{ours.text}#endif\n"
    return found | {"conv_or_cmsis_nn": Kernel(either, (*theirs.needs, *ours.needs))}


def identifier(name: str) -> str:
    """A name for C: letters, digits and underscores, no keyword."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "model"
    return f"{plain}_model" if plain[0].isdigit() or plain in KEYWORDS else plain


def write(net: Net, work: Lowering, artifact: Artifact, version: str) -> Sources:
    """The C of a network whose operations were lowered.

    Args:
        artifact: the TFLite file's: what goes in and comes out, and what it means.
        version: of the exporter.
    """
    steps = [placed(step, work) for step in work.steps]
    source, result = work.place(net.input), work.place(net.output)
    width = 4 if net.is_float else 1
    used = {source, result} | {index for step in steps for index in (*step.reads, step.writes)}
    planned = arena.plan(steps, {index: net.tensors[index].count * width for index in used}, source, result, width)
    name = identifier(f"{artifact.name}_{artifact.precision}")
    code = code_of(net, planned, name, source, result, width)
    if not work.cmsis_nn:
        code = WITHOUT_CMSIS_NN + code
    return Sources(name, header_of(net, artifact, name, version, planned.size), code, planned.size)


def placed(step: Step, work: Lowering) -> Step:
    """A step with the tensors in whose place its own lie."""
    return replace(step, reads=tuple(work.place(index) for index in step.reads), writes=work.place(step.writes))


def code_of(net: Net, planned: arena.Plan, name: str, source: int, result: int, width: int) -> str:
    ctype, suffix = ("float", "_float") if net.is_float else ("uint8_t", "")
    io = "float" if net.is_float else "int8_t"
    given, returned = net.tensors[net.input].count, net.tensors[net.output].count

    def pointer(index: int) -> str:
        return f"arena + {planned.places[index] // width}"

    lines = [f"  take{suffix}({given}, input, {pointer(source)});"]
    for step in planned.steps:
        arguments = [pointer(index) for index in step.reads]
        to = f"arena + {planned.places[step.writes] // width + step.offset}"
        lines.append(f"  {step.call.format(*arguments, y=to, pitch=pitch_of(step))} /* {step.told} */")
    lines.append(f"  give{suffix}({returned}, {pointer(result)}, output);")
    parts = [
        f'#include "model.h"\n\n#include <stddef.h>\n#include <string.h>\n\n'
        f"/* Activations lie where others are no longer needed. */\n"
        f"static {ctype} arena[{planned.size // width + 4}];\n",
        *functions(planned.steps, (f"take{suffix}", f"give{suffix}")),
        *(array(constant) for step in planned.steps for constant in step.constants),
        *(struct(step) for step in planned.steps if step.struct),
        f"void {name}_run(const {io} input[{given}], {io} output[{returned}]) {{\n" + "\n".join(lines) + "\n}\n",
    ]
    return "\n".join(parts)


def functions(steps: Iterable[Step], more: Sequence[str]) -> list[str]:
    """The kernels that steps call, each once, those that they need before them."""
    known = kernels()
    wanted: dict[str, list[Step]] = {name: [] for name in more}
    for step in steps:
        if step.kernel:
            wanted.setdefault(step.kernel, []).append(step)
    texts = []
    for name in with_needed(wanted):
        instances = {step.function: step.fill for step in wanted.get(name, [])}
        if not instances or all(not fill for fill in instances.values()):
            texts.append(known[name].text)
            continue
        texts += [Template(known[name].text).substitute(fill, name=function) for function, fill in instances.items()]
    return texts


def with_needed(names: Iterable[str]) -> list[str]:
    """These kernels and all that they need, each once, after what it needs."""
    known, ordered = kernels(), list[str]()

    def add(name: str) -> None:
        if name not in ordered:
            for needed in known[name].needs:
                add(needed)
            ordered.append(name)

    for name in names:
        add(name)
    return ordered


def array(constant: Constant) -> str:
    if constant.cmsis_nn is not None:
        ours = replace(constant, cmsis_nn=None)
        theirs = replace(ours, values=constant.cmsis_nn)
        return f"#ifdef ECGEDGE_CMSIS_NN\n{array(theirs)}#else\n{array(ours)}#endif\n"
    values = constant.values.reshape(-1)
    return (
        f"static const {constant.ctype} {constant.name}[{len(values)}] = {{\n{numbers(values, constant.ctype)}\n}};\n"
    )


def numbers(values: np.ndarray, ctype: str) -> str:
    """Values in rows, as C reads them back exactly."""
    texts = [f"{value:.9g}" for value in values.tolist()] if ctype == "float" else list(map(str, values.tolist()))
    if ctype == "float":
        texts = [f"{text}f" if set(text) & set(".e") else f"{text}.0f" for text in texts]
    return ",\n".join("  " + ", ".join(texts[i : i + A_LINE]) for i in range(0, len(texts), A_LINE))


def struct(step: Step) -> str:
    assert step.struct
    kind, texts = step.struct
    number = step.told.rpartition(" ")[2].rstrip(")")
    values = ", ".join(texts).format(pitch=pitch_of(step))
    return f"static const struct {kind} {kind}_{number} = {{{values}}};\n"


def pitch_of(step: Step) -> int:
    """From a row of its output to the next one, in values."""
    return step.pitch or (step.rows.width if step.rows else 0)


def header_of(net: Net, artifact: Artifact, name: str, version: str, size: int) -> str:
    """``model.h``: the function, and all that one needs to know to call it and to read its answer."""
    task, upper = artifact.task, name.upper()
    io = "float" if net.is_float else "int8_t"
    facts = [("INPUTS", str(net.tensors[net.input].count)), ("OUTPUTS", str(net.tensors[net.output].count))]
    for kind, spec in (("INPUT", artifact.input), ("OUTPUT", artifact.output)):
        if spec.scale is not None:
            facts += [(f"{kind}_SCALE", f"{spec.scale:.9e}f"), (f"{kind}_ZERO_POINT", f"({spec.zero_point})")]
    if isinstance(task, Anomaly):
        facts += [("THRESHOLD", f"{task.threshold:.9e}"), ("WINDOW", str(task.window))]
        meaning = "a beat given back; an anomaly is what differs from it by more than the threshold"
    else:
        labels = ", ".join('"' + re.sub(r'[\\"?]|[^ -~]', "_", label) + '"' for label in task.labels)
        facts += [("CLASSES", str(len(task.labels))), ("LABELS", f"{{{labels}}}")]
        meaning = "a score for each class, the largest is the answer"
        if task.kind == "binary":
            meaning = "a score of the second class"
        if isinstance(task, Multilabel):
            meaning = "a score for each label, of which several may hold"
            limits = ", ".join(f"{limit:.9e}" for limit in task.thresholds or [0.5] * len(task.labels))
            facts += [("THRESHOLDS", f"{{{limits}}}")]
    facts += [("ARENA_BYTES", str(size)), ("DIGEST", f'"{net.digest}"'), ("EXPORTER", f'"ecgedge-c {version}"')]
    scaled = "\n   A value is (stored - ZERO_POINT) * SCALE." if artifact.input.scale is not None else ""
    title = re.sub(r"\*/|[^ -~]", "_", f"{artifact.name}, {artifact.precision}")
    defines = "\n".join(f"#define {upper}_{key} {value}" for key, value in facts)
    return (
        f"/* {title}: in goes a beat, out comes {meaning}.{scaled}\n"
        f"   DIGEST is the SHA-256 of the TFLite file that it was made of. Not for several threads at once. */\n"
        f"#ifndef {upper}_MODEL_H\n#define {upper}_MODEL_H\n\n#include <stdint.h>\n\n{defines}\n\n"
        f'#ifdef __cplusplus\nextern "C" {{\n#endif\n\n'
        f"void {name}_run(const {io} input[{upper}_INPUTS], {io} output[{upper}_OUTPUTS]);\n\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )
