"""A model to hand over: the file, and all that it takes to run it, to check it and to know what it is."""

from ecgedge.bundle.contents import TARGETS, Facts, Target, contents
from ecgedge.bundle.place import check_target, place
from ecgedge.bundle.vectors import Portable, Vectors

__all__ = ["TARGETS", "Facts", "Portable", "Target", "Vectors", "check_target", "contents", "place"]
