"""Two runs, cell by cell: what has become better or worse, and what cannot be told from chance or noise."""

from ecgedge.compare.junit import write_junit
from ecgedge.compare.metrics import METRICS, read_tolerances
from ecgedge.compare.pairs import Comparison, compare_runs, metrics_of
from ecgedge.compare.runs import read_run

__all__ = [
    "METRICS",
    "Comparison",
    "compare_runs",
    "metrics_of",
    "read_run",
    "read_tolerances",
    "write_junit",
]
