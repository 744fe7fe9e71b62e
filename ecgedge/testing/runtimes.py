"""The contract of a runtime and its sessions."""

from __future__ import annotations

import json
import math
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ecgedge.api.artifact import Anomaly, Artifact
from ecgedge.api.graph import Graph
from ecgedge.api.parts import Runtime, Session
from ecgedge.api.profile import Profile
from ecgedge.choose.requirements import FIELDS
from ecgedge.errors import ConversionError, EcgEdgeError
from ecgedge.measure import meters
from ecgedge.measure.bench import infer
from ecgedge.run.metrics import METRICS
from ecgedge.testing.contract import Contract, draw_for, nearly


class RuntimeContract(Contract):
    """Set ``part``, and give ``artifact`` something that it can load.

    Where ``available()`` gives a reason, whatever needs a session is skipped with it.

    Attributes:
        tolerance: between answers that should be the same, relative where they are above 1.
        batches: beats a call that are tried where the batch is free.
    """

    kind = "runtime"
    part: Runtime
    tolerance: float = 1e-4
    batches: tuple[int, ...] = (1, 3, 64)

    def artifact(self, folder: Path) -> Artifact:
        """An fp32 artifact that the runtime can load; files may be left in ``folder``. Called once a class."""
        raise NotImplementedError

    def test_available_is_none_or_one_line(self) -> None:
        reason = self.part.available()
        assert reason is None or (isinstance(reason, str) and reason.strip() and len(reason.splitlines()) == 1), (
            f"available() gave {reason!r}: None, or one line with the reason"
        )

    def test_it_accepts_what_it_is_tested_with(self) -> None:
        accepts, format = self.part.accepts, self.loaded.format
        assert format in accepts or "*" in accepts, f"accepts {accepts}, the artifact is {format}"

    def test_answers_have_the_right_shape_and_type(self) -> None:
        """float32, ``(N, classes)`` or ``(N, C, L)``, for each batch."""
        with self.session() as session:
            assert session.batch == self.loaded.input.batch, f"batch {session.batch}, the file's is {self.loaded.input}"
            for count in (session.batch,) if session.batch else self.batches:
                x = self.beats(count)
                y = call(session, x)
                task = self.loaded.task
                shape = x.shape if isinstance(task, Anomaly) else (count, task.values(0))
                assert isinstance(y, np.ndarray), f"fetch() gave {type(y).__name__}"
                assert y.dtype == np.float32, f"fetch() gave {y.dtype}, float32 is expected"
                assert y.shape == shape, f"{count} beats gave {y.shape}, {shape} is expected"
                assert np.isfinite(y).all(), "an answer is not finite"

    def test_different_beats_have_different_answers(self) -> None:
        with self.session() as session:
            y = infer(session, self.beats(10))
        assert not np.allclose(y[0], y[1:], atol=1e-6), "ten beats have one answer"

    def test_the_same_beats_have_the_same_answers(self) -> None:
        """Bound again, invoked again, and after other beats."""
        with self.session() as session:
            x, other = self.beats(size_of(session)), self.beats(size_of(session), seed=1)
            first = np.array(call(session, x))
            session.invoke()
            np.testing.assert_array_equal(first, session.fetch(), "invoked twice")
            call(session, other)
            np.testing.assert_array_equal(first, call(session, x), "after other beats")

    def test_the_order_of_beats_does_not_matter(self) -> None:
        """Nothing of a beat is remembered in those that follow, as a recurrent network's state would be."""
        with self.session() as session:
            size = size_of(session)
            parts = np.split(self.beats(3 * size), 3)
            forth = np.array([call(session, part) for part in parts])
            back = np.array([call(session, part) for part in parts[::-1]])[::-1]
        np.testing.assert_array_equal(forth, back, "the same beats in another order")

    def test_neighbours_in_a_batch_do_not_matter(self) -> None:
        with self.session() as session:
            size = size_of(session)
            x, changed = self.beats(size), self.beats(size, seed=1)
            changed[0] = x[0]
            among = np.array(call(session, x))
            nearly(among[:1], call(session, changed)[:1], self.tolerance, "a beat among others")
            if session.batch is None:
                alone = np.concatenate([call(session, beat[None]) for beat in x])
                nearly(among, alone, self.tolerance, "beats one by one")

    def test_beats_are_not_modified(self) -> None:
        with self.session() as session:
            x = self.beats(size_of(session))
            before = x.copy()
            call(session, x)
        np.testing.assert_array_equal(before, x, "the caller's array was written to")

    def test_fetched_answers_stay(self) -> None:
        """An array that was fetched is the caller's: the next call must not write to it."""
        with self.session() as session:
            first = call(session, self.beats(size_of(session)))
            before = first.copy()
            call(session, self.beats(size_of(session), seed=1))
        np.testing.assert_array_equal(before, first, "the next call changed what was fetched before")

    def test_two_sessions_do_not_disturb_each_other(self) -> None:
        with self.session() as one, self.session() as two:
            x, other = self.beats(size_of(one)), self.beats(size_of(one), seed=1)
            expected = np.array(call(one, x)), np.array(call(one, other))
            one.bind(x)
            two.bind(other)
            one.invoke()
            two.invoke()
            nearly(expected[0], one.fetch(), self.tolerance, "the first of two sessions")
            nearly(expected[1], two.fetch(), self.tolerance, "the second of two sessions")

    def test_threads_do_not_change_answers(self) -> None:
        with self.session(1) as one, self.session(2) as two:
            x = self.beats(size_of(one))
            nearly(call(one, x), call(two, x), self.tolerance, "1 and 2 threads")

    def test_one_thread_is_one_thread(self) -> None:
        """With ``threads=1`` one thread computes; told from their processor times, in a fresh process."""
        self.need_it()
        size = self.loaded.input.batch or max(self.batches)
        busy = self.in_a_child("busy_threads", {"artifact": self.loaded, "beats": self.beats(size), "threads": 1})
        if busy < 0:
            raise unittest.SkipTest("this system does not tell the processor time of threads")
        assert busy == 1, f"with threads=1, {busy} threads compute"

    def test_the_graph_is_told_or_none(self) -> None:
        """``graph()`` gives None, or a ``Graph`` as JSON can hold it, of nodes that ran somewhere. Answers stay."""
        with self.session() as session:
            x = self.beats(size_of(session))
            before = np.array(call(session, x))
            graph = session.graph()
            nearly(before, call(session, x), self.tolerance, "after graph()")
        if graph is None:
            return
        assert isinstance(graph, Graph), f"graph() gave {graph!r}: a Graph, or None"
        try:
            again = Graph.from_record(json.loads(json.dumps(graph.record(), allow_nan=False)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AssertionError(f"the graph's record is no JSON: {error}") from error
        assert again == graph, f"the graph {graph!r} reads as {again!r}: use tuples and plain names"
        assert graph.nodes, "the graph has no nodes; None says that the runtime does not tell"
        for node in graph.nodes:
            assert node.runner and node.device, f"{node!r} ran nowhere"
            assert len(node.constants) in (0, len(node.takes)), f"{node!r}: constants are told for each input"
            for dtype in (*node.takes, *node.gives):
                assert isinstance(dtype, str) and dtype.isidentifier(), f"{node!r}: {dtype!r} is no name of a dtype"

    def test_the_profile_is_told_or_none(self) -> None:
        """``profile(calls)`` gives None, or a ``Profile`` with a time of each call; its nodes are those of the graph.

        A runtime whose library has no profiler may raise RuntimeError.
        """
        with self.session() as session:
            call(session, self.beats(size_of(session)))
            graph = session.graph()
            try:
                profile = session.profile(3)
            except RuntimeError:
                return
        if profile is None:
            return
        assert isinstance(profile, Profile), f"profile() gave {profile!r}: a Profile, or None"
        assert profile.steps, "the profile has no steps; None says that the runtime does not tell"
        known = {node.name for node in graph.nodes} if graph else set()
        pieces = dict(profile.partitions)
        for step in profile.steps:
            assert len(step.microseconds) in (0, 3), f"{step!r}: a time for each of 3 calls, or none"
            assert set(step.nodes) <= known, f"{step!r} computes what the graph does not have"
            assert not step.partition or step.partition in pieces, f"{step!r} lies in no known partition"

    def test_figures_have_names_and_values(self) -> None:
        """``figures()`` gives words and finite numbers by name, as JSON can hold them. Answers stay."""
        with self.session() as session:
            x = self.beats(size_of(session))
            before = np.array(call(session, x))
            figures = dict(session.figures())
            nearly(before, call(session, x), self.tolerance, "after figures()")
        for name, value in figures.items():
            assert isinstance(name, str) and name.isidentifier(), f"{name!r} is no name of a figure"
            assert type(value) in (int, float, str), f"{name} is {value!r}: an int, a float or a str"
            assert isinstance(value, str) or math.isfinite(value), f"{name} is {value!r}"
        for figure in self.part.figures:
            assert figure.name in figures, f"figure {figure.name} is declared, and figures() does not tell it"
            assert not isinstance(figures[figure.name], str), f"figure {figure.name} is declared, and is no number"
            taken = figure.name in {**METRICS, **FIELDS}
            assert not taken, f"figure {figure.name} is a name that ecgedge gives itself: choose another"

    def test_what_it_measures_itself_is_of_the_calls_made(self) -> None:
        """``measured()`` gives None, or as many times as there were calls since it was last asked, by the same clock.

        Warm up first: what is told of the calls before is thrown away.
        """
        with self.session() as session:
            x = self.beats(size_of(session))
            before = np.array(call(session, x))
            session.measured()
            first: meters.Sources | None = None
            for calls in (3, 1, 5):
                for _ in range(calls):
                    session.bind(x)
                    session.invoke()
                try:
                    first = meters.sources_of(meters.ask(session, calls, first))
                except ConversionError as error:
                    raise AssertionError(f"after {calls} calls: {error}") from error
            nearly(before, call(session, x), self.tolerance, "after measured()")

    def test_close_can_be_called_twice(self) -> None:
        """And it takes nothing from another session, nor from the next one."""
        with self.session() as left:
            x = self.beats(size_of(left))
            expected = np.array(call(left, x))
            closed = self.part.load(self.loaded, 1)
            call(closed, x)
            for time in ("first", "second"):
                try:
                    closed.close()
                except Exception as error:  # whatever it is, it must not
                    raise AssertionError(f"the {time} close() raised {error!r}") from error
            nearly(expected, call(left, x), self.tolerance, "after another session was closed")
        with self.session() as fresh:
            nearly(expected, call(fresh, x), self.tolerance, "a session opened after one was closed")

    def test_files_are_inspected(self) -> None:
        """What ``inspect`` tells of the file is what the artifact says; an empty file is the user's error."""
        suffixes = [suffix for suffix in self.part.suffixes if self.loaded.path.is_file()]
        self.need_it()
        for suffix in suffixes:
            assert suffix.startswith("."), f"suffix {suffix!r}: with the dot"
            empty = self.once("empty", lambda folder: folder / "empty").with_suffix(suffix)
            empty.write_bytes(b"")
            try:
                told: Any = self.part.inspect(empty)
            except EcgEdgeError as error:
                assert "\n" not in error.message, f"not one line: {error.message!r}"
                continue
            except Exception as error:  # a traceback for the user
                raise AssertionError(f"inspect of an empty file raised {error!r}, not EcgEdgeError") from error
            raise AssertionError(f"inspect took an empty file for {told!r}")
        if self.loaded.path.suffix in suffixes:
            told = self.part.inspect(self.loaded.path)
            assert isinstance(told, Artifact), f"inspect gave {told!r}"
            for name in ("path", "format", "precision", "task", "input", "output"):
                mine, its = getattr(self.loaded, name), getattr(told, name)
                assert its == mine, f"inspect tells {name} {its!r}, it is {mine!r}"

    @property
    def loaded(self) -> Artifact:
        return self.once("artifact", self.artifact)

    def beats(self, count: int, seed: int = 0) -> np.ndarray:
        return draw_for(self.loaded, count, seed)

    def need_it(self) -> None:
        """Skip where the runtime says that it cannot run here."""
        if reason := self.part.available():
            raise unittest.SkipTest(reason)

    @contextmanager
    def session(self, threads: int = 1) -> Iterator[Session]:
        self.need_it()
        session = self.part.load(self.loaded, threads)
        assert isinstance(session, Session), f"load gave {session!r}, which is no Session"
        try:
            yield session
        finally:
            session.close()

    def work(self) -> dict[str, Any]:
        self.need_it()
        return {"artifact": self.loaded, "beats": self.beats(self.loaded.input.batch or 1)}


def call(session: Session, x: np.ndarray) -> np.ndarray:
    session.bind(x)
    session.invoke()
    return session.fetch()


def size_of(session: Session) -> int:
    """Beats a call: those of the file, or a few."""
    return session.batch or 5
