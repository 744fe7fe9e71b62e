"""A crew of Dask workers: of a cluster that runs somewhere, or of one that is started here.

Dask moves the jobs, tries those of a lost worker again, and gives up on one that takes several workers with it. Files
travel by digest: who has no access to this machine's cache is sent them, and what it makes is fetched.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import re
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import Any, Generic

from ecgedge.cluster import travel
from ecgedge.cluster.crew import J, Lacks, Lost, M
from ecgedge.errors import EcgEdgeError, MachineError, cut
from ecgedge.files.notices import warn

TRIES = 3  # of a job that takes its worker with it, on a cluster that is started here
WAIT = 30  # seconds for a scheduler, and for the first worker
LOOK = 1.0  # seconds between looks at who is there
PATIENCE = 5.0  # seconds without an answer before one looks
FORMS = "name it as tcp://HOST:8786, tls://HOST:8786 or local:N"


@dataclass(frozen=True)
class Errands(Generic[J, M]):
    """Functions that workers carry out; they are known there by their names.

    Attributes:
        carry_out: a job.
        facts: what has to be the same there as here.
    """

    carry_out: Callable[[J], M | Lacks]
    facts: Callable[[], Mapping[str, str]]


class Cluster(Generic[J, M]):
    """A crew, see ``crew.Crew``.

    Args:
        address: ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` of a scheduler, or ``local:N``.

    Raises:
        EcgEdgeError: there is no such cluster, or its workers are not as this machine is.
    """

    def __init__(self, address: str, errands: Errands[J, M]):
        count = workers_of(address)
        import distributed  # heavy, and an extra

        self.errands, self.lost, self.looked = errands, 0, 0.0
        self.done: SimpleQueue[tuple[J, Any]] = SimpleQueue()
        self.closing = contextlib.ExitStack()
        try:
            self.client = self.join(distributed, address, count)
            self.known = self.workers()
            self.size = max(sum(self.known.values()), 1)
            self.compare()
        except BaseException:
            self.close()
            raise

    def join(self, distributed: Any, address: str, count: int) -> Any:
        """The client of a cluster; of none that runs, one is started here."""
        from distributed.versions import VersionMismatchWarning

        for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what becomes of workers is told here
        warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # so is what differs
        if count:
            import dask

            settings = {"distributed.scheduler.allowed-failures": TRIES - 1, "distributed.comm.timeouts.connect": WAIT}
            self.closing.enter_context(dask.config.set(settings))
            cluster = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, memory_limit=None, security=security(),
                dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL, preload=["ecgedge.cluster.interrupts"],
            )  # fmt: skip
            self.closing.callback(cluster.close, timeout=WAIT)
            client = distributed.Client(cluster, set_as_default=False)
        else:
            try:
                client = distributed.Client(address, timeout=WAIT, set_as_default=False)
            except (OSError, TimeoutError) as error:
                hint = "start one: dask scheduler, and dask worker ADDRESS on each machine"
                raise EcgEdgeError(f"no scheduler answers at {address}", hint) from error
        self.closing.callback(client.close, timeout=WAIT)
        try:
            client.wait_for_workers(count or 1, timeout=WAIT)
        except TimeoutError:
            raise EcgEdgeError(f"{address} has no worker", f"start one: dask worker {address}") from None
        return client

    def workers(self) -> dict[str, int]:
        """Threads of each worker that there is, by its address."""
        return dict(self.client.nthreads())

    def compare(self) -> None:
        """Raise EcgEdgeError where a worker has other versions than this machine."""
        from importlib.metadata import version

        bare = self.client.run(version, "ecgedge", on_error="return")
        for worker, found in bare.items():
            if isinstance(found, Exception):
                raise EcgEdgeError(f"worker {worker} has no ecgedge: {found}", "install it there, in this version")
        ours = self.errands.facts()
        for worker, theirs in self.client.run(self.errands.facts, on_error="return").items():
            if isinstance(theirs, Exception):
                raise EcgEdgeError(f"worker {worker} cannot be used: {theirs}", "install the same there as here")
            if reason := difference(ours, theirs):
                raise EcgEdgeError(f"worker {worker} differs: {reason}", "install the same there as here")

    def begin(self, job: J) -> None:
        name = f"ecgedge-{job.id}-{uuid.uuid4().hex}"
        future = self.client.submit(self.errands.carry_out, job, key=name, pure=False)
        future.add_done_callback(lambda ended: self.done.put((job, ended)))

    def ended(self) -> tuple[J, M | Lacks | Lost]:
        job, future = self.next()
        self.look()
        try:
            return job, future.result()
        except EcgEdgeError:
            raise
        except (concurrent.futures.CancelledError, asyncio.CancelledError) as error:
            raise self.gone() from error
        except Exception as error:
            if type(error).__name__ == "KilledWorker":
                return job, Lost("each worker that was given it died")
            if self.client.status != "running":
                raise self.gone() from error
            raise
        finally:
            future.release()

    def next(self) -> tuple[J, Any]:
        """The next job that ends; it is told where all workers go meanwhile."""
        while True:
            try:
                return self.done.get(timeout=PATIENCE)
            except Empty:
                self.look()

    def gone(self) -> MachineError:
        return MachineError("the scheduler of the cluster is gone", "start it")

    def look(self) -> None:
        """Tell of workers that are gone: their jobs are tried again."""
        if time.monotonic() - self.looked < LOOK or self.client.status != "running":
            return
        self.looked = time.monotonic()
        now = self.workers()
        if gone := self.known.keys() - now.keys():
            self.lost += len(gone)
            warn(f"{len(gone)} worker{'s' if len(gone) > 1 else ''} lost; what they were doing is tried again")
            if not now:
                warn("no worker is left: the work waits for one")
        self.known = now

    def give(self, lacks: Lacks) -> None:
        """Send files to a worker; one that is gone meanwhile needs none."""
        if lacks.worker not in self.workers():
            return
        for digest in lacks.data:
            self.on(lacks.worker, travel.write_data, travel.read_data(digest))
        for key in lacks.entries:
            if files := travel.read_files(key):
                self.on(lacks.worker, travel.write_files, key, files)

    def take(self, made: M) -> None:
        for key in made.entries:
            if not travel.has_entry(key) and (files := self.on(made.worker, travel.read_files, key)):
                travel.write_files(key, files)

    def on(self, worker: str, errand: Callable[..., Any], *arguments: Any) -> Any:
        """Have one worker do something beside its jobs; None where it is gone."""
        try:
            return self.client.run(errand, *arguments, workers=[worker]).get(worker)
        except EcgEdgeError:
            raise
        except (OSError, ValueError, KeyError):  # it is gone, whatever is said of that
            if worker in self.workers():
                raise
            return None

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it ends; what it was doing is done again when the work goes on
            self.closing.close()


def workers_of(address: str) -> int:
    """How many workers are started here for a cluster; 0: it runs somewhere.

    Raises:
        EcgEdgeError: that is no cluster, or Dask is not installed.
    """
    local = re.fullmatch(r"local:([1-9]\d{0,3})", address)
    if not local and not re.fullmatch(r"(tcp|tls)://\S+:\d+", address):
        raise EcgEdgeError(f"--cluster {cut(address)} is no cluster", FORMS)
    if not find_spec("distributed"):
        raise EcgEdgeError("--cluster needs distributed", "pip install 'ecgedge[cluster]'")
    return int(local[1]) if local else 0


def security() -> bool | None:
    """Whether a cluster that is started here is for this process alone: others of this machine could else use it."""
    return True if find_spec("cryptography") else None


def difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """The first thing that differs, in words; empty where nothing does."""
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            return f"{name} is {theirs.get(name, 'not installed')} there, {ours.get(name, 'not installed')} here"
    return ""
