"""From rows to a decision: which file to ship under given limits, or which ones no other beats.

Pure: it reads rows, and what a run's folder holds to compare two of them by, and measures nothing.
"""

from ecgedge.choice.decide import decide, settle
from ecgedge.choice.differences import Compare, Difference, by_figures, quick_blocks
from ecgedge.choice.evidence import Evidence
from ecgedge.choice.front import best_values
from ecgedge.choice.metrics import METRICS, QUALITY, Metric, find_metric
from ecgedge.choice.requirements import Limit, Requirement, Wanted, parse_requirement
from ecgedge.choice.result import Choice, Miss, Tie

__all__ = [
    "METRICS",
    "QUALITY",
    "Choice",
    "Compare",
    "Difference",
    "Evidence",
    "Limit",
    "Metric",
    "Miss",
    "Requirement",
    "Tie",
    "Wanted",
    "best_values",
    "by_figures",
    "decide",
    "find_metric",
    "parse_requirement",
    "quick_blocks",
    "settle",
]
