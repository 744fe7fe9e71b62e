"""The file of a row, or the command that makes it again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ecgedge.api.artifact import file_name
from ecgedge.report.document import Report
from ecgedge.run import MatrixRequest, Told
from ecgedge.run.row import Row

DEFAULTS = {"calibration": 400, "seed": 0} | {  # of ``ecgedge convert``
    "normal": Told.normal, "window": Told.window, "input_zero_point": Told.input_zero_point, "max_drop": 0.1,
}  # fmt: skip


def remake(row: Row, report: Report) -> str:
    """The path of the file that was measured; where it is gone, ``ecgedge convert`` as the run was asked."""
    assert row.file is not None and row.file.path is not None, "it was measured"
    file = report.folder / row.file.path
    return str(file) if file.exists() else convert_command(row, MatrixRequest.from_record(report.run["request"]))


def convert_command(row: Row, request: MatrixRequest) -> str:
    """The command line that makes a row's file again: on the same route, for the same runtime, with the same options.

    Which graph passes are used without ``--passes`` is decided by these, as it was in the run.
    """
    named = (each for each in [*request.models, *request.files] if file_name(Path(each).name) == row.model)
    source = next(named, row.model)
    line = ["ecgedge", "convert", source, "--to", row.format, "--quantize", row.quantizer or ""]
    line += ["--exporter", ",".join(row.route)] if row.route else []
    line += ["--runtime", row.runtime]
    line += words("dataset", request.data)
    line += words("calibration", request.calibration)
    line += words("seed", request.seed)
    for name in ("opset", "max_drop"):
        line += words(name, request.options.get(name))
    if (narrow := request.options.get("reduce_range")) is not None:
        line += ["--reduce-range" if narrow else "--no-reduce-range"]
    for key, value in request.options.items():
        if "." in key and key.rpartition(".")[0] in (*row.route, row.quantizer, row.runtime):
            line += ["--option", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
    for name in ("task", "normal", "window", "input_scale", "input_zero_point"):
        line += words(name, getattr(request.told, name))
    line += words("output_name", request.told.output)
    line += words("label_column", request.label_column)
    line += [word for name in request.ignore_columns for word in ("--ignore-column", name)]
    line += ["--leads", ",".join(request.leads)] if request.leads else []
    line += words("layout", request.layout)
    line += words("group", request.group_column)
    line += words("label_file", request.label_file)
    line += words("class_names", request.class_names)
    if request.passes is not None:
        line += ["--passes", ",".join(request.passes)] if request.passes else ["--no-optimize"]
    line += ["--normalize"] * request.normalize
    return shlex.join(line)


def words(name: str, value: Any) -> list[str]:
    """An option with its value; nothing where that is the usual one."""
    return [] if value in (None, DEFAULTS.get(name)) else [f"--{name.replace('_', '-')}", str(value)]
