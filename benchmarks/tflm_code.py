"""How many bytes of machine code does TFLM take for a TFLite file? Counted in the library of its own wheel, x86-64.

``python benchmarks/tflm_code.py FILE.tflite...``

The wheel ``tflite-micro`` holds TFLM as its makers compiled it, with the names of all functions. Counted are those that
a program with the file's operations alone would keep: what the interpreter and each operation's registration and parser
call, or take the address of, and so on. A registration leads to the kernels of all types, as in any program that uses
TFLM's resolver. Left out are reading of compressed weights, profiling, printing of plans, what Python needs, constants,
and the C library, so it is rather too few. A microcontroller's code is smaller: by how much is seen on C of one's own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ecgedge_c import tflite

LEFT_OUT = re.compile(r"ompress|PrintMemoryPlan|Python|pybind|Profil|RecordingMicro")
CORE = (
    r"MicroInterpreter::",
    r"MicroInterpreterContext::",
    r"MicroAllocator::",
    r"(SingleArena|NonPersistent|Persistent)\w*::",
    r"GreedyMemoryPlanner::",
)
PARSERS = {
    "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected",
    "MAX_POOL_2D": "Pool", "AVERAGE_POOL_2D": "Pool", "MEAN": "Reducer", "CONCATENATION": "Concatenation", "ADD": "Add",
    "SUB": "Sub", "MUL": "Mul", "RESHAPE": "Reshape", "STRIDED_SLICE": "StridedSlice",
}  # fmt: skip
SYMBOL = re.compile(r"([0-9a-f]{16}) ([0-9a-f]{16}) [tTwW] (.*)")
FUNCTION = re.compile(r"([0-9a-f]{16}) <(.*)>:$")
TARGET = re.compile(r"\b([0-9a-f]{4,}) <|# ([0-9a-f]{4,})\b")
RELOCATED = re.compile(r"([0-9a-f]{16})\s+\S+\s+R_X86_64_(?:RELATIVE|64|GLOB_DAT|JUMP_SLOT)\s+([0-9a-f]+)")


@dataclass(frozen=True)
class Code:
    """The functions of a library by their address: bytes, name, and the addresses that each refers to."""

    sizes: dict[int, int]
    names: dict[int, str]
    refers: dict[int, set[int]]
    pointers: dict[int, int]
    imported: dict[int, str]

    def named(self, pattern: str) -> set[int]:
        return {at for at, name in self.names.items() if re.search(rf"^tflite::(micro::)?{pattern}", name)}

    def reached(self, roots: set[int]) -> set[int]:
        """All functions that these lead to, they themselves among them."""
        starts, by_name = sorted(self.sizes), {name: at for at, name in self.names.items()}
        seen, left = set[int](), list(roots)
        while left:
            at = left.pop()
            begin = starts[max(0, bisect_right(starts, at) - 1)]
            if at >= begin + self.sizes[begin]:  # no function: an import, or a pointer to one
                left += [by_name[name] for name in [self.imported.get(at)] if name in by_name]
                left += [self.pointers[at]] if self.pointers.get(at, at) != at else []
            elif begin not in seen and not LEFT_OUT.search(self.names[begin]):
                seen.add(begin)
                left += self.refers[begin]
        return seen

    def bytes_of(self, functions: set[int]) -> int:
        return sum(self.sizes[at] for at in functions)


def told(*command: str | Path) -> list[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout.splitlines()


def read(library: Path) -> Code:
    """The functions of a shared library, by binutils."""
    found = [match for line in told("nm", "-S", "-C", library) if (match := SYMBOL.match(line))]
    sizes = {int(one[1], 16): int(one[2], 16) for one in found}
    names = {int(one[1], 16): one[3] for one in found}
    refers, imported, now = defaultdict[int, set[int]](set), dict[int, str](), 0
    for line in told("objdump", "-d", "-C", "--no-show-raw-insn", library):
        if begins := FUNCTION.match(line):
            now = int(begins[1], 16)
            if begins[2].endswith("@plt"):
                imported[now] = begins[2].removesuffix("@plt")
        else:
            refers[now] |= {int(one[0] or one[1], 16) for one in TARGET.findall(line)}
    relocated = [match for line in told("readelf", "-rW", library) if (match := RELOCATED.match(line))]
    return Code(sizes, names, refers, {int(one[1], 16): int(one[2], 16) for one in relocated}, imported)


def main(files: list[str]) -> None:
    spec = find_spec("tflite_micro")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("tflite-micro is not installed: pip install tflite-micro")
    [library] = Path(next(iter(spec.submodule_search_locations))).rglob("_runtime*.so")
    code = read(library)
    core = code.reached(set[int]().union(*map(code.named, CORE)))
    print(f"interpreter {code.bytes_of(core):,} bytes")
    for file in map(Path, files):
        whole = set(core)
        for kind in sorted({op.kind for op in tflite.read(file).ops}):
            roots = code.named(rf"Register_{kind}\(\)$") | code.named(rf"Parse{PARSERS.get(kind, kind)}\(")
            own = code.reached(roots)
            print(f"  {kind:<16} {code.bytes_of(own - core):>8,}")
            whole |= own
        print(f"{file.name}: {code.bytes_of(whole):,} bytes of code beside {file.stat().st_size:,} of the file")


if __name__ == "__main__":
    main(sys.argv[1:])
