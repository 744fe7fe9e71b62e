"""What every command begins with: the parts of all plugins, and the data."""

from __future__ import annotations

from ecgedge import plugins
from ecgedge.data import dataset
from ecgedge.data.dataset import Dataset
from ecgedge.data.readers import ANY_COLUMNS, Columns
from ecgedge.files.notices import note, warn
from ecgedge.plugins import Parts


def load_parts() -> Parts:
    """All parts; a plugin that was left out is a warning."""
    parts = plugins.load()
    for owner, reason in parts.broken:
        warn(f"plugin {owner} is left out: {reason} (ecgedge plugins)")
    for told in parts.warnings:
        warn(told)
    return parts


def load_data(location: str | None, normalize: bool = False, columns: Columns = ANY_COLUMNS) -> Dataset:
    """The data of a place, as ``dataset.load`` has it; how a table was read is a note, a guess a warning."""
    data, warning = dataset.load(location, normalize, columns)
    if data.told:
        note(data.told)
    if warning:
        warn(warning)
    return data
