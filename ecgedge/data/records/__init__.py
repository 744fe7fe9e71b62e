"""Continuous records, WFDB and EDF: opened, filtered, and cut into beats or segments, a piece at a time."""

from __future__ import annotations

from ecgedge.data.records.cut import Left, Piece, Way, pieces, way_of
from ecgedge.data.records.opening import is_record, open_record, records_in
from ecgedge.data.records.recipe import CLASSES, Recipe
from ecgedge.data.records.record import Marks, Record

__all__ = [
    "CLASSES",
    "Left",
    "Marks",
    "Piece",
    "Recipe",
    "Record",
    "Way",
    "is_record",
    "open_record",
    "pieces",
    "records_in",
    "way_of",
]
