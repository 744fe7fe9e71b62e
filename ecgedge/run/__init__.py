"""The folder of a run, read as a stranger's: whoever made it, what is in it is checked before it is used."""

from ecgedge.files.arrays import read_array, read_arrays
from ecgedge.files.opening import is_name, open_inside, read_bytes, size_of
from ecgedge.run.folder import Beats, RunFolder
from ecgedge.run.layout import SCHEMA, check_about
from ecgedge.run.reading import RUN, TWIN, read_graph, read_records, read_samples
from ecgedge.run.request import MatrixRequest, Told

__all__ = [
    "RUN",
    "SCHEMA",
    "TWIN",
    "Beats",
    "MatrixRequest",
    "RunFolder",
    "Told",
    "check_about",
    "is_name",
    "open_inside",
    "read_array",
    "read_arrays",
    "read_bytes",
    "read_graph",
    "read_records",
    "read_samples",
    "size_of",
]
