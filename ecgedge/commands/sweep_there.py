"""What a worker of a cluster does of a sweep, by functions that it knows by their names."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ecgedge import plugins
from ecgedge.convert.store import code_digest
from ecgedge.environments.versions import version_of
from ecgedge.errors import EcgEdgeError
from ecgedge.measure.machine import versions
from ecgedge.plugins import Parts
from ecgedge.sweep.job import Job, Lacks, Made
from ecgedge.sweep.work import Workplace

MOVERS = ("distributed", "dask", "cloudpickle", "msgpack")  # what carries jobs and answers
mine = threading.local()  # the workplace of each thread that jobs come to


@cache
def parts() -> Parts:
    return plugins.load()


def carry_out(job: Job) -> Made | Lacks:
    """Carry out a job where it was sent.

    Raises:
        EcgEdgeError: this machine has other versions than who sent it.
        MachineError: the machine is at fault.
    """
    from distributed import get_worker  # here, since it is an extra

    address = str(get_worker().address)
    if digest_of_facts() != job.terms.versions:
        raise EcgEdgeError(f"worker {address} came later and has other versions", "install the same there as here")
    if not hasattr(mine, "place"):
        mine.place = Workplace(parts(), f"worker-{os.getpid()}-{threading.get_ident()}")
    found: Made | Lacks = mine.place.carry_out(job)
    if isinstance(found, Lacks):
        return replace(found, worker=address)
    return replace(found, worker=address, pid=os.getpid())


@cache
def facts() -> Mapping[str, str]:
    """What has to be the same on all machines of a sweep: versions of libraries and plugins, and our own code."""
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
