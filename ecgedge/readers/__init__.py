"""Read files of beats: one small file a format, one way in.

Whatever is wrong in a file is told with its line and column, or its array and index.
"""

from __future__ import annotations

from ecgedge.readers.archive import unpack
from ecgedge.readers.fields import WAYS_TO_NAME_DATA, order_labels
from ecgedge.readers.places import Files, find_beside, find_in_folder
from ecgedge.readers.split import SUFFIXES, Beats, read_pair, read_split

__all__ = [
    "SUFFIXES",
    "WAYS_TO_NAME_DATA",
    "Beats",
    "Files",
    "find_beside",
    "find_in_folder",
    "order_labels",
    "read_pair",
    "read_split",
    "unpack",
]
