"""What the domain tells through ``logging``, as the command line prints it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import click

from ecgedge.cli import common
from ecgedge.files.notices import NOTE, log


class Printed(logging.Handler):
    """Prints what is told to standard error: warnings and notes in a line each, and what ``-v`` asks for."""

    prints = True

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            common.warn(record.getMessage())
        elif record.levelno >= NOTE:
            common.note(record.getMessage())
        else:
            click.echo(self.format(record), err=True)


@contextlib.contextmanager
def printed_notices(verbose: bool) -> Iterator[None]:
    """Have what is told printed meanwhile; ``verbose``: also what is converted, and what the store had."""
    printed, before = Printed(), log.level
    printed.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    log.addHandler(printed)
    log.setLevel(logging.INFO if verbose else NOTE)
    try:
        yield
    finally:
        log.removeHandler(printed)
        log.setLevel(before)
