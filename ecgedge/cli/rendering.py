"""Options of commands that tell of a run: the choice, the formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ecgedge.errors import EcgEdgeError
from ecgedge.report import FORMATS

if TYPE_CHECKING:
    from ecgedge.report import Report

VERBOSE = "ecgedge.verbose"  # in the context's meta: what -v says

format_option = click.option(
    "--format", type=click.Choice(list(FORMATS)), default="table", show_default=True, help="Of what is printed."
)


def printed_format(formats: Sequence[str]) -> str:
    """The one of ``--format`` that says how to print; the others say which files are wanted."""
    told = [name for name in formats if name in FORMATS]
    if len(told) > 1:
        raise EcgEdgeError(f"--format names two ways to print: {' and '.join(told)}", "leave one of them out")
    return told[0] if told else "table"


def told_as_asked(report: Report) -> Report:
    """With the name and the file of each row, where ``-v`` asks for them."""
    return replace(report, with_files=bool(click.get_current_context().meta.get(VERBOSE)))


def relative_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--relative-to``."""
    option = click.option(
        "--relative-to", metavar="ROW|FORMAT/PRECISION/RUNTIME",
        help="Tell times against this row, or this form of each model, such as onnx/fp32/cpu. Default: each against its "
        "fp32 form.",
    )  # fmt: skip
    return option(command)


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--require`` and ``--optimize``."""
    required = click.option(
        "--require", "requirements", multiple=True, metavar="EXPR",
        help='Of a row, such as "accuracy>=0.94", "size<=200KB" or "format==tflite".',
    )  # fmt: skip
    optimized = click.option(
        "--optimize", metavar="METRIC",
        help="Name the best row in this: latency_p50, size, accuracy, ... Else: the Pareto front.",
    )  # fmt: skip
    return required(optimized(command))
