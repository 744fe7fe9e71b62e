"""Machines in words: this one, and boards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def machine_of(machine: Mapping[str, Any]) -> list[str]:
    """Processor, cores, system, instruction sets and governor of this machine, or of a board."""
    if machine.get("emulated"):
        return [f"emulated, {machine['emulated']}", machine["system"], " ".join(machine["isa"])]
    return [
        machine["cpu"],
        f"{machine['cores']} cores",
        *([machine["gpu"]] if machine.get("gpu") else []),
        machine["system"],
        " ".join(machine["isa"]),
        f"governor {machine['governor'] or 'unknown'}",
    ]


def machine_words(machine: Mapping[str, Any]) -> list[str]:
    """As ``machine_of``, with its load and energy counter."""
    energy = machine["energy"]
    return [
        *machine_of(machine),
        f"load {machine['load']} before",
        f"energy {energy if isinstance(energy, str) else energy['counter']}",
    ]
