"""A model to hand over: the file, and all that it takes to run it, to check it and to know what it is."""

from ecgedge.bundle.contents import FOLDER, TARGETS, Target, contents, model_files
from ecgedge.bundle.facts import Facts
from ecgedge.bundle.place import check_target, place
from ecgedge.bundle.vectors import Portable, Vectors

__all__ = [
    "FOLDER", "TARGETS", "Facts", "Portable", "Target", "Vectors", "check_target", "contents", "model_files", "place",
]  # fmt: skip
