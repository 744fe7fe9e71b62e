"""What the processor can do, by its instruction sets, and what float32 means on a GPU."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "asimddp")


def cpu_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def instruction_flags() -> set[str]:
    """The processor's instruction sets, by Linux's names; empty where the system does not tell."""
    info = cpu_info()
    return set(info.get("flags", info.get("Features", "")).split())


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    return not instruction_flags().isdisjoint(BFLOAT16_FLAGS)


def int8_products() -> str | None:
    """The instructions that add products of 8-bit integers up in 32 bits: VNNI on x86-64, dotprod on ARM.

    None where there are none, or the system does not tell. Without them x86-64 adds two products of u8 and s8 in
    16 bits, and what is larger is cut off.
    """
    if (platform.system(), platform.machine()) == ("Darwin", "arm64"):  # tells no flags, and always has it
        return "asimddp"
    return next((flag for flag in INT8_FLAGS if flag in instruction_flags()), None)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Keep torch on a GPU from multiplying float32 in TF32, whose mantissa has ten bits; afterwards it is as before.

    Its convolutions do so by default. The switches are the process's: where several hold them, the last one that ends
    restores them.
    """
    if not held:
        held.extend(switch_tf32_off())
    holders.append(None)
    try:
        yield
    finally:
        holders.pop()
        if not holders:
            for place, name, value in held:
                setattr(place, name, value)
            held.clear()


holders: list[None] = []  # one for each ``without_tf32`` that has not ended
held: list[tuple[Any, str, Any]] = []  # the switches as they were before the first of them


def switch_tf32_off() -> Iterator[tuple[Any, str, Any]]:
    """Turn each of torch's switches, and tell what it was: its place, its name, its value."""
    import torch  # heavy

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    name, places = "allow_tf32", [matmul, cudnn]
    exact: str | bool = False
    if hasattr(cudnn, "conv"):  # torch 2.9 and later
        name, exact, places = "fp32_precision", "ieee", [matmul, cudnn.conv, cudnn.rnn]
    for place in places:
        yield place, name, getattr(place, name)
        setattr(place, name, exact)
