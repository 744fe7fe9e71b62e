"""What the domain tells through ``logging``, as the command line prints it."""

from __future__ import annotations

import logging

import click

from ecgedge.cli import common
from ecgedge.files.notices import NOTE, log


class Printed(logging.Handler):
    """Prints what is told to standard error: warnings and notes in a line each, and what ``-v`` asks for."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            common.warn(record.getMessage())
        elif record.levelno >= NOTE:
            common.note(record.getMessage())
        else:
            click.echo(self.format(record), err=True)


def print_notices(verbose: bool) -> None:
    """Have what is told printed from here on; ``verbose``: also what is converted, and what the store had."""
    if not any(isinstance(handler, Printed) for handler in log.handlers):
        printed = Printed()
        printed.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        log.addHandler(printed)
    log.setLevel(logging.INFO if verbose else NOTE)
