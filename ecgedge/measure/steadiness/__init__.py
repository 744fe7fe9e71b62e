"""Was the machine as quick as it usually is while something was timed? A reference kernel, and what its times say."""

from ecgedge.measure.steadiness.kernel import about_block, reference
from ecgedge.measure.steadiness.states import (
    LEAST,
    Reading,
    enough_blocks,
    enough_pairs,
    lost_in,
    most_rounds,
    quick_readings,
    reading_of,
)

__all__ = [
    "LEAST",
    "Reading",
    "about_block",
    "enough_blocks",
    "enough_pairs",
    "lost_in",
    "most_rounds",
    "quick_readings",
    "reading_of",
    "reference",
]
