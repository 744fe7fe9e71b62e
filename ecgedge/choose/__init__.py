"""From rows to a decision: which file to ship under given limits, or which ones no other beats.

Pure: it reads rows, and what a run's folder holds to compare two of them by, and measures nothing.
"""

from ecgedge.choose.decide import decide, settle
from ecgedge.choose.differences import Compare, Difference, by_figures
from ecgedge.choose.evidence import Evidence
from ecgedge.choose.front import best_values
from ecgedge.choose.requirements import Limit, Requirement, Wanted, parse_optimize, parse_requirement
from ecgedge.choose.result import Choice, Miss, Suggestion, Tie, doubt, is_sound
from ecgedge.evaluate.metric import Metric
from ecgedge.run.metrics import METRICS, QUALITY, find_metric, metrics_of

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
    "Suggestion",
    "Tie",
    "Wanted",
    "best_values",
    "by_figures",
    "decide",
    "doubt",
    "find_metric",
    "is_sound",
    "metrics_of",
    "parse_optimize",
    "parse_requirement",
    "settle",
]
