"""Two runs, cell by cell: what has become better or worse, and what cannot be told from chance or noise."""

from ecgedge.comparison.junit import write_junit
from ecgedge.comparison.metrics import METRICS, read_tolerances
from ecgedge.comparison.pairs import Comparison, compare_runs
from ecgedge.comparison.runs import read_run
from ecgedge.comparison.words import as_data, markdown, render

__all__ = [
    "METRICS",
    "Comparison",
    "as_data",
    "compare_runs",
    "markdown",
    "read_run",
    "read_tolerances",
    "render",
    "write_junit",
]
