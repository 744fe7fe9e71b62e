"""What was asked of whom when plugins were loaded: pluggy's monitoring of hook calls, as data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import pluggy

from ecgedge.plugins.sources import Owner


@dataclass(frozen=True)
class Step:
    """One thing that a plugin was asked.

    Attributes:
        asked: ``"import"``, or a hook's name.
        gave: parts, a module or an error, in words.
        milliseconds: that it took.
    """

    owner: Owner
    asked: str
    gave: str
    milliseconds: float


@contextlib.contextmanager
def tracing(steps: list[Step] | None, owner: Owner, manager: pluggy.PluginManager) -> Iterator[Callable[..., Any]]:
    """Note in ``steps`` what a plugin is asked; ``None``: nothing is noted.

    Gives a function ``do(what, work)`` that does some work of another kind than a hook call and notes it too.
    """
    if steps is None:
        yield lambda what, work: work()
        return
    started = perf_counter()

    def note(what: str, gave: str) -> None:
        steps.append(Step(owner, what, gave, 1e3 * (perf_counter() - started)))

    def do(what: str, work: Callable[[], Any]) -> Any:
        nonlocal started
        started = perf_counter()
        try:
            done = work()
        except BaseException as error:
            note(what, f"raised {error!r}")
            raise
        note(what, done.__name__)
        return done

    def before(*_: object) -> None:
        nonlocal started
        started = perf_counter()

    def after(outcome: pluggy.Result[Any], hook: str, implementations: Sequence[Any], _: object) -> None:
        if not implementations:
            return
        try:
            parts = [list(given) for given in outcome.get_result()]  # a generator works only here
        except BaseException as error:
            outcome.force_exception(error)
            note(hook, f"raised {error!r}")
            return
        outcome.force_result(parts)
        note(hook, ", ".join(words(part) for given in parts for part in given) or "nothing")

    stop = manager.add_hookcall_monitoring(before, after)
    try:
        yield do
    finally:
        stop()


def words(part: object) -> str:
    """A part by kind and name; what is none as Python shows it."""
    kind, name = getattr(part, "kind", None), getattr(part, "name", None)
    return f"{kind} {name}" if kind and name else repr(part)
