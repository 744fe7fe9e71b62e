"""Read files of beats: one small file a format, one way in.

Whatever is wrong in a file is told with its line and column, or its array and index.
"""

from __future__ import annotations

from ecgedge.data.readers.archive import unpack
from ecgedge.data.readers.bits import check_labels, renamed
from ecgedge.data.readers.classes import check_classes
from ecgedge.data.readers.columns import Columns, Part
from ecgedge.data.readers.fields import WAYS_TO_NAME_DATA, check_file, order_labels
from ecgedge.data.readers.names import named, read_names
from ecgedge.data.readers.places import Files, find_beside, find_in_folder
from ecgedge.data.readers.split import ANY_COLUMNS, SUFFIXES, read_pair, read_part, read_split
from ecgedge.data.readers.stream import read_stream
from ecgedge.data.readers.unlabelled import WHOLE, read_unlabelled

__all__ = [
    "ANY_COLUMNS",
    "SUFFIXES",
    "WAYS_TO_NAME_DATA",
    "WHOLE",
    "Columns",
    "Files",
    "Part",
    "check_classes",
    "check_file",
    "check_labels",
    "find_beside",
    "find_in_folder",
    "named",
    "order_labels",
    "read_names",
    "read_pair",
    "read_part",
    "read_split",
    "read_stream",
    "read_unlabelled",
    "renamed",
    "unpack",
]
