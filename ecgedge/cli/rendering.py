"""Options of commands that tell of a run: the choice, the reference of times, the form of what is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError, cut
from ecgedge.files import escape
from ecgedge.report import FORMATS

if TYPE_CHECKING:
    from ecgedge.report import Report

VERBOSE = "ecgedge.verbose"  # in the context's meta: what -v says

WORDS = {"markdown": "md", "text": "table"}  # that people say, for forms in which something is printed


def output_option(forms: Sequence[str], files: bool = False) -> Callable[..., Any]:
    """Add ``--output``, the form in which a command prints its result: the parameter ``printed``.

    Args:
        forms: those that there are, by the names that ``report.FORMATS`` has.
        files: the command has a ``--format`` too, for those of files; else that word leads to this one.
    """
    told = [next((word for word, name in WORDS.items() if name == form and form != "table"), form) for form in forms]

    def read(ctx: click.Context, _: click.Parameter, value: str) -> str:
        if (name := WORDS.get(value, value)) in forms:
            return name
        hint = f"choose from: {', '.join(told)}"
        if any(parameter.name == "output" for parameter in ctx.command.params):
            hint += f"; which output of a file is the answer is said by --output-name {value}"
        elif any("-o" in parameter.opts for parameter in ctx.command.params):
            hint += f"; -o {value} names a file"
        raise EcgEdgeError(f"--output says how to print, and {cut(value)!r} is no such way", hint)

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        option = click.option(
            "--output", "printed", default="table", show_default=True, callback=read, metavar="|".join(told),
            help="Print the result in this form.",
        )  # fmt: skip
        return option(command if files else click.option("--format", hidden=True, expose_value=False,
                                                         callback=lead_to_output)(command))  # fmt: skip

    return add


out_option = click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="Write it into this file, in the form that .html, .md, .csv or .json says. Default: printed.",
)  # fmt: skip


def form_for(out: Path | None, printed: str) -> str:
    """The form of a result: as ``--output`` says; without it as the name of the file does that it goes to."""
    context = click.get_current_context()
    said = context.get_parameter_source("printed") is not ParameterSource.DEFAULT
    form = out.suffix.lower().removeprefix(".") if out and not said else ""
    return form if form in ("html", "md", "csv", "json") else printed


def write(out: Path, text: str) -> None:
    """Write a result into a file, whole or not at all, without what only a terminal shows."""
    with common.written(out, "w", encoding="utf-8", newline="") as file:
        file.write(escape.terminal(escape.unstyle(text.rstrip("\n"))) + "\n")


def lead_to_output(_: click.Context, __: click.Parameter, value: str | None) -> None:
    """Raise EcgEdgeError for a ``--format`` where nothing but the print has one."""
    if value is not None:
        told = "--format is about files, and how to print is said by --output"
        raise EcgEdgeError(told, f"--output {'markdown' if value == 'md' else cut(value)}")


def formats_of_files(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats of files that are asked for. Raises EcgEdgeError where one is a way to print."""
    if word := next((name for name in formats if name in (*FORMATS, *WORDS)), None):
        told = f"--format names formats of files, and {word} is a way to print"
        raise EcgEdgeError(told, f"--output {'markdown' if word == 'md' else word}")
    return tuple(formats)


def told_as_asked(report: Report) -> Report:
    """With the name and the file of each row, where ``-v`` asks for them."""
    return replace(report, with_files=bool(click.get_current_context().meta.get(VERBOSE)))


def relative_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--relative-to``."""
    option = click.option(
        "--relative-to", metavar="ROW|FORMAT/PRECISION/RUNTIME",
        help="Tell times against this row, or this form of each model, such as onnx/fp32/cpu. Default: each against "
        "its fp32 form.",
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
