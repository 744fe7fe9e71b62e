"""``ecgedge``, whose runs measure briefly, and whose workers are forked: ``python -P brief.py ARGUMENTS``.

Where tests are not about times, blocks are short, and there are as many rounds as on a quiet machine, whatever other
tests do to this one meanwhile. See ``workers.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from ecgedge.measure import bench
from ecgedge.measure.steadiness import states

ECGEDGE = (sys.executable, "-P", __file__)
SHORT = 0.005  # seconds of a timed block, of which a fake's 100 calls take a tenth
BRIEFLY = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tests.brief import measure_briefly
sys.path.pop(0)
measure_briefly()
"""  # a script that begins so measures briefly


def measure_briefly() -> None:
    """From now on, in this process and those that it forks."""
    states.MOST, bench.WARM_UP_SECONDS = 1, SHORT
    for name, profile in bench.PROFILES.items():
        bench.PROFILES[name] = replace(profile, block_seconds=SHORT, bulk_seconds=SHORT)


@contextmanager
def measuring_briefly() -> Iterator[None]:
    """Meanwhile what this process has timed is timed briefly."""
    with (
        mock.patch.object(states, "MOST", states.MOST),
        mock.patch.object(bench, "WARM_UP_SECONDS", bench.WARM_UP_SECONDS),
        mock.patch.dict(bench.PROFILES),
    ):
        measure_briefly()
        yield


if __name__ == "__main__":
    from ecgedge.cli import main

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests import workers

    sys.path.pop(0)  # a command finds what it always finds
    workers.load()
    measure_briefly()
    workers.fork_them()
    main(prog_name="ecgedge")
