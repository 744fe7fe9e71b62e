"""The interpreters of parts that work in environments of their own, and what is lent to them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from ecgedge import environments
from ecgedge.devices.host import Host
from ecgedge.plugins import Parts, installed


def hosts(parts: Parts) -> dict[str, Host]:
    """The interpreters of the environments that are not this one, by name; those that are seen to be broken too."""
    lent = guests(parts)
    elsewhere = {name: one for name, one in parts.environments.items() if name not in environments.here()}
    return {name: Host(name, one.python, lent) for name, one in elsewhere.items()}


def runtime_hosts(parts: Parts) -> dict[str, Host]:
    """The interpreters of the runtimes that do not work in ours, by the runtime's name."""
    found = hosts(parts)
    return {name: found[part.environment] for name, part in parts.runtimes.items() if part.environment in found}


def networked(parts: Parts) -> frozenset[str]:
    """The runtimes whose processes keep the network, by name."""
    return frozenset(name for name, part in parts.runtimes.items() if part.needs_network)


def guests(parts: Parts) -> str:
    """ecgedge and the plugins that are loaded, for a process in an environment of its own: what lies where, JSON."""
    broken = {owner for owner, _ in parts.broken}
    points = [(owner, point) for owner, point in installed() if owner not in broken]
    names = ["ecgedge", *(point.module.partition(".")[0] for _, point in points)]
    told = [[[owner.plugin, owner.distribution, owner.version], point.value] for owner, point in points]
    return json.dumps({"places": {name: place_of(name) for name in names}, "points": told})


def place_of(name: str) -> str:
    """The folder that holds a top-level package or module."""
    spec = importlib.util.find_spec(name)
    assert spec, f"{name} was imported"
    if spec.submodule_search_locations:
        return str(Path(next(iter(spec.submodule_search_locations))).parent)
    return str(Path(spec.origin or "").parent)
