"""What each worker of a cluster on this machine imports first: Ctrl-C is for who started it, and ends its workers.

A terminal gives it to all processes, and each worker would tell of it at length.
"""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Called by Dask in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
