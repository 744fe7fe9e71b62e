"""What the processor can do, by its instruction sets."""

from __future__ import annotations

import platform
from pathlib import Path

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
