"""What a worker of a cluster does, by functions that it knows by their names."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ecgedge import plugins
from ecgedge.cluster import conversions
from ecgedge.cluster.conversions import Conversions, Converted
from ecgedge.cluster.crew import Lacks
from ecgedge.cluster.workplace import Workplace
from ecgedge.convert.store import code_digest
from ecgedge.environments.versions import version_of
from ecgedge.errors import EcgEdgeError
from ecgedge.measure.machine import versions
from ecgedge.plugins import Parts
from ecgedge.sweep import work
from ecgedge.sweep.job import Job, Made

MOVERS = ("distributed", "dask", "cloudpickle", "msgpack")  # what carries jobs and answers
mine = threading.local()  # the workplace of each thread that jobs come to


@cache
def parts() -> Parts:
    return plugins.load()


def carry_out(job: Job) -> Made | Lacks:
    """Carry out a job of a sweep where it was sent.

    Raises:
        EcgEdgeError: this machine has other versions than who sent it.
        MachineError: the machine is at fault.
    """
    found = work.carry_out(place(job.terms.versions, work.workplace), job)
    if isinstance(found, Lacks):
        return replace(found, worker=address())
    return replace(found, worker=address(), pid=os.getpid())


def convert(job: Conversions) -> Converted | Lacks:
    """Carry out conversions of a matrix where they were sent. Raises as ``carry_out``."""
    return replace(conversions.carry_out(place(job.terms.versions, Workplace), job), worker=address())


def place(wanted: str, make: Callable[[Parts, str], Workplace]) -> Workplace:
    """Where this thread works.

    Args:
        wanted: the digest of ``facts`` of who sent the job.

    Raises:
        EcgEdgeError: this machine has others.
    """
    if digest_of_facts() != wanted:
        told = f"worker {address()} joined later and has other versions"
        raise EcgEdgeError(told, "install the same versions there as here")
    if not hasattr(mine, "places"):
        mine.places = {}
    if make not in mine.places:
        mine.places[make] = make(parts(), f"worker-{os.getpid()}-{threading.get_ident()}")
    found: Workplace = mine.places[make]
    return found


def address() -> str:
    """By which the cluster knows this worker."""
    from distributed import get_worker  # here, since it is an extra

    return str(get_worker().address)


@cache
def facts() -> Mapping[str, str]:
    """What has to be the same on all machines that work together: versions of libraries, plugins, our own code."""
    found = {**versions(), "code of ecgedge": code_digest(EcgEdgeError)}
    found |= {name: version for name in MOVERS if (version := version_of(name)) is not None}
    known = parts()
    for (kind, name), owner in sorted(known.owners.items()):
        if owner.distribution != "ecgedge":
            part: Any = type(known.of(kind)[name])
            found[f"{kind} {name} of {owner.plugin}"] = f"{owner.version} {code_digest(part)}"
    for owner, reason in known.broken:
        found[f"plugin {owner}"] = f"left out: {reason}"
    return found


def digest_of_facts() -> str:
    """Of ``facts``, as a job brings it."""
    return hashlib.sha256(json.dumps(facts(), sort_keys=True).encode()).hexdigest()
