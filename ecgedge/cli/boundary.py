"""The boundary of the command line: streams, signals and the system's errors, in one line and with an exit code.

The user's errors exit 2, as do the system's: a full disk, a file that cannot be read, a name that is too long. A failed
conversion exits 1. Whoever is interrupted exits 130, by Ctrl-C, the end of a job or that of its terminal alike; whose
reader has gone exits 141, without a word. A bug keeps its traceback.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from ecgedge.cli.grouped import write_commands
from ecgedge.errors import ConversionError, EcgEdgeError, cut, remedy, told_by_system
from ecgedge.files import escape
from ecgedge.files.streams import Stream, stream_over

INTERRUPTED, NO_READER = 128 + 2, 128 + 13  # 128 and the number of the signal, as shells have it

NAME = re.compile(r"\S{160,}")
OUT: list[Stream] = []  # standard output

log = logging.getLogger(__name__)


class Front(click.Group):
    """A group whose commands end as this module says. All that is printed goes through ``escape.Shown``."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        hold_streams()
        escape.guard_streams()
        heed_signals()
        try:
            return super().main(*arguments, **more)
        except OSError as error:  # of help and version, which are printed before a command is invoked
            sys.exit(tell(error))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_commands(self, ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            check_folder()
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except click.NoSuchOption as error:
            if any(error.option_name in parameter.opts for parameter in self.params):
                say(f"{error.option_name} is for ecgedge itself, and stands before the command",
                    f"ecgedge {error.option_name} ... {ctx.invoked_subcommand or 'COMMAND'} ...")  # fmt: skip
                ctx.exit(2)
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except EcgEdgeError as error:
            say(error.message, error.hint)
            ctx.exit(2)
        except ConversionError as error:  # nobody's mistake: it was tried, and is wrong
            click.echo(escape.line(f"Failed: {error}"), err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except MemoryError:
            say("out of memory", "free some, then do it again")
            ctx.exit(2)
        except Exception as error:
            ctx.exit(tell(error))


def say(message: str, hint: str) -> None:
    """A user's error, in one or two lines; a name that is too long is cut."""
    click.echo(escape.line(f"Error: {NAME.sub(lambda found: cut(found[0]), message)}"), err=True)
    if hint:
        click.echo(escape.line(f"  {hint}"), err=True)


def tell(error: Exception) -> int:
    """Say what the system did, in one line; returns the exit code. Raises what is a bug."""
    said = told_by_system(error)
    if not said and not (isinstance(error, OSError) and error.errno):
        raise error
    log.info("this is what happened", exc_info=error)
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        give_up_stdout()
        return NO_READER
    said = said or os.strerror(getattr(error, "errno", 0))
    if any(raw.error for raw in OUT):
        give_up_stdout()
        say(f"standard output cannot be written: {said}", f"{remedy(said)}, or name a file with -o where there is one")
    elif isinstance(error, OSError) and error.filename:
        say(f"{cut(error.filename)}: {said}", f"{remedy(said)}, then do it again" if told_by_system(error) else "")
    else:
        say(cut(" ".join(f"{said}: {error}".split()), 300), f"{remedy(said)}, then do it again")
    return 2


def give_up_stdout() -> None:
    """Let what was printed go nowhere, or Python stumbles over it once more at its end."""
    for raw in OUT:
        os.dup2(os.open(os.devnull, os.O_WRONLY), raw.number)


def hold_streams() -> None:
    """Have standard streams that fail nothing.

    One that was closed is the null device: the next file that is opened would have its number else, and get what was
    meant for it. What cannot be written to standard error, or not in its encoding, is no reason to fail.
    """
    if os.name == "posix":
        for number in (0, 1, 2):
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # as long as the process
    if sys.stdout is None or sys.stdout is sys.__stdout__:  # a test has its own
        sys.stdout, raw = stream_over(1, sys.stdout, forgives=False)
        OUT[:] = [raw]
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr, _ = stream_over(2, sys.stderr, forgives=True)


def heed_signals() -> None:
    """What ends a job or closes its terminal ends it as Ctrl-C does; what is ignored, as by nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def check_folder() -> None:
    """Raise EcgEdgeError where the folder that we are in was deleted."""
    try:
        Path.cwd()
    except OSError as error:
        told = f"the working folder cannot be used: {error.strerror}"
        raise EcgEdgeError(told, "change to a folder that exists") from error
