"""What every command begins with: the parts of all plugins, and the data."""

from __future__ import annotations

from typing import Any

from ecgedge import plugins
from ecgedge.data import finding
from ecgedge.data.dataset import Dataset
from ecgedge.data.patients import warnings
from ecgedge.data.readers import ANY_COLUMNS, Columns
from ecgedge.errors import EcgEdgeError
from ecgedge.files.notices import note, warn
from ecgedge.plugins import Parts
from ecgedge.run.request import MatrixRequest
from ecgedge.workers.client import Limits


def load_parts() -> Parts:
    """All parts; a plugin that was left out is a warning."""
    parts = plugins.load()
    for owner, reason in parts.broken:
        warn(f"plugin {owner} is left out: {reason} (ecgedge plugins)")
    for told in parts.warnings:
        warn(told)
    return parts


def settled(**asked: Any) -> MatrixRequest:
    """What a function is asked for beside a file, named and checked as the fields of ``MatrixRequest``.

    Raises:
        EcgEdgeError: a value is none that it can have.
    """
    try:
        return MatrixRequest(**asked)
    except EcgEdgeError as error:
        told = str(error.__cause__) if error.__cause__ else error.message
        raise EcgEdgeError(
            f"no such value: {told}", "see ecgedge.MatrixRequest, whose fields have these names"
        ) from error


def data_of(request: MatrixRequest) -> Dataset:
    """The data that is asked for, as ``load_data`` has it."""
    return load_data(request.data, request.normalize, columns_of(request))


def columns_of(request: MatrixRequest) -> Columns:
    """What is asked of the columns of a table, and of leads."""
    return Columns(
        request.label_column, tuple(request.ignore_columns), tuple(request.leads), request.layout, request.group_column,
        request.label_file, request.class_names,
    )  # fmt: skip


def limits_of(request: MatrixRequest) -> Limits:
    """What a child process may take."""
    return Limits(request.timeout, request.memory and request.memory * 1_000_000)


def load_data(location: str | None, normalize: bool = False, columns: Columns = ANY_COLUMNS) -> Dataset:
    """The data of a place, as ``finding.load`` has it; how a table was read is a note, a guess a warning.

    A beat or a patient that is in both parts is a warning, too.
    """
    data, warning = finding.load(location, normalize, columns)
    if data.told:
        note(data.told)
    if warning:
        warn(warning)
    for each in warnings(data):
        warn(each)
    return data
