"""Options of commands that tell of a run: the choice, the reference of times, the form of what is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ecgedge.cli import common
from ecgedge.errors import EcgEdgeError, cut
from ecgedge.files import escape
from ecgedge.files.opening import ending_of
from ecgedge.report import FORMATS

if TYPE_CHECKING:
    from ecgedge.report import Report

VERBOSE = "ecgedge.verbose"  # in the context's meta: what -v says
FORMS = "ecgedge.forms"  # there: those in which the command prints

WORDS = {"markdown": "md", "text": "table"}  # that people say, for forms in which something is printed
ENDINGS = {
    ".html": "html", ".htm": "html", ".md": "md", ".markdown": "md", ".csv": "csv", ".json": "json", ".txt": "table",
    ".text": "table", "": "table",
}  # fmt: skip


def output_option(forms: Sequence[str], files: bool = False) -> Callable[..., Any]:
    """Add ``--output``, the form in which a command prints its result: the parameter ``printed``.

    Args:
        forms: those that there are, by the names that ``report.FORMATS`` has.
        files: the command has a ``--format`` too, for those of files; else that word leads to this one.
    """
    told = [next((word for word, name in WORDS.items() if name == form and form != "table"), form) for form in forms]

    def read(ctx: click.Context, _: click.Parameter, value: str) -> str:
        ctx.meta[FORMS] = forms
        if (name := WORDS.get(value, value)) in forms:
            return name
        hint = f"choose from: {', '.join(told)}"
        if any(parameter.name == "output" for parameter in ctx.command.params):
            hint += f"; --output-name {value} says which output of a file is the answer"
        elif any("-o" in parameter.opts for parameter in ctx.command.params):
            hint += f"; -o {value} names a file"
        raise EcgEdgeError(f"--output says how to print, and {cut(value)!r} is no such way", hint)

    def lead(_: click.Context, __: click.Parameter, value: str | None) -> None:
        if value is not None:
            said = next((word for word in told if WORDS.get(word, word) == WORDS.get(value, value)), "|".join(told))
            raise EcgEdgeError("--format is about files, and --output says how to print", f"--output {said}")

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        option = click.option(
            "--output", "printed", default="table", show_default=True, callback=read, metavar="|".join(told),
            help="Print the result in this form.",
        )  # fmt: skip
        return option(command if files else click.option("--format", hidden=True, expose_value=False,
                                                         callback=lead)(command))  # fmt: skip

    return add


out_option = click.option(
    "-o", "--out", type=click.Path(path_type=Path),
    help="Write it into this file, in the form that its ending says, such as .html or .json. Default: printed.",
)  # fmt: skip


def form_for(out: Path | None, printed: str) -> str:
    """The form of a result: as ``--output`` says; without it as the name of the file does that it goes to.

    A device, such as ``/dev/stdout``, says nothing by its name.

    Raises:
        EcgEdgeError: that name says a form that the command has not, or none that is known.
    """
    context = click.get_current_context()
    said = context.get_parameter_source("printed") is not ParameterSource.DEFAULT
    if out is None or said or (out.exists() and not out.is_file()):
        return printed
    form = ENDINGS.get(ending_of(out), "")
    if form not in context.meta[FORMS]:
        endings = ", ".join(ending for ending, name in ENDINGS.items() if ending and name in context.meta[FORMS])
        told = f"{cut(out)} cannot be written: no form of this result ends with {cut(ending_of(out))}"
        raise EcgEdgeError(told, f"name a file with one of these endings: {endings}; or say the form with --output")
    return form


def write(out: Path, text: str) -> None:
    """Write a result into a file, whole or not at all, without what only a terminal shows."""
    with common.written(out, "w", encoding="utf-8", newline="") as file:
        file.write(escape.terminal(escape.unstyle(text.rstrip("\n"))) + "\n")


def formats_of_files(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats of files that are asked for. Raises EcgEdgeError where one is a way to print."""
    if word := next((name for name in formats if name in (*FORMATS, *WORDS)), None):
        told = f"--format names formats of files, and {word} is a way to print"
        raise EcgEdgeError(told, f"--output {'markdown' if word == 'md' else word}")
    return tuple(formats)


def told_as_asked(report: Report) -> Report:
    """For the terminal that is there, with the name and the file of each row where ``-v`` asks for them."""
    with_files = bool(click.get_current_context().meta.get(VERBOSE))
    return replace(report, with_files=with_files, columns=common.columns(sys.stdout))


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
        help='Ship a row only if it meets this, such as "accuracy>=0.94", "size<=200KB" or "format==tflite".',
    )  # fmt: skip
    optimized = click.option(
        "--optimize", metavar="METRIC",
        help="Name the best row in this: latency_p50, size, accuracy, ... Else: the Pareto front.",
    )  # fmt: skip
    return required(optimized(command))
