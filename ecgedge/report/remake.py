"""The file of a row, or the command that makes it again."""

from __future__ import annotations

import shlex
from pathlib import Path

from ecgedge.report.document import Report, Row

DEFAULTS = {"calibration": 400, "seed": 0, "normal": "1", "window": 1, "input_zero_point": 0}  # of ``ecgedge convert``


def remake(row: Row, report: Report) -> str:
    """The path of the file that was measured; where it is gone, ``ecgedge convert`` as the run was asked."""
    file = report.folder / row["artifact"]
    return str(file) if file.exists() else convert_command(row, report)


def convert_command(row: Row, report: Report) -> str:
    """The command line that makes a row's file again."""
    asked = report.run["asked"]
    options, told = asked["options"], asked["meta"].get("ecgedge.told", {})
    source = next(
        (each for each in [*options["models"], *options["files"]] if Path(each).name == row["model"]), row["model"]
    )
    line = ["ecgedge", "convert", source, "--to", row["format"], "--quantize", row["quantizer"]]
    given = {name: options.get(name) for name in ("dataset", "calibration", "opset", "seed")} | told
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            line += [option] * value
        elif value is not None and value != DEFAULTS.get(name):
            line += [option, str(value)]
    columns = asked["meta"].get("ecgedge.columns", {})  # older runs know none
    if columns.get("label_column"):
        line += ["--label-column", columns["label_column"]]
    line += [word for name in columns.get("ignore_column") or () for word in ("--ignore-column", name)]
    if options.get("passes") is not None:
        line += ["--passes", ",".join(options["passes"])]
    line += ["--no-optimize"] * bool(options.get("no_optimize"))
    line += ["--normalize"] * bool(asked["meta"].get("ecgedge.normalize"))
    return shlex.join(line)
