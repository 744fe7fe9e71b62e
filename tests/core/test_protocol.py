"""Questions and answers between processes: typed, strictly read, over any pipe, and only in one version."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from ecgedge import EcgEdgeError, plugins
from ecgedge.api.graph import Graph, Node, Weight
from ecgedge.errors import MachineError
from ecgedge.workers import protocol, server
from ecgedge.workers.client import ChildError, Conversation
from ecgedge.workers.protocol import PROTOCOL, Available, GraphOf, Loaded, Missing, Opened, Packed, Throughput

Other = Callable[[IO[str], IO[str]], None]


@contextmanager
def talk_to(other: Other) -> Iterator[Conversation]:
    """A conversation over a pair of sockets with what reads and writes at the other end."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("w", encoding="utf-8") as questions, ours.makefile("r", encoding="utf-8") as answers:

        def work() -> None:
            with (
                theirs,
                theirs.makefile("r", encoding="utf-8") as read,
                theirs.makefile("w", encoding="utf-8") as write,
            ):
                other(read, write)
                write.flush()
                theirs.shutdown(socket.SHUT_WR)
                read.read()  # or what is still asked would find no reader

        thread = threading.Thread(target=work)
        thread.start()
        yield Conversation(questions, answers)
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(30)
        assert not thread.is_alive()


def saying(*lines: Any) -> Other:
    """What says these lines whatever it is asked."""

    def other(_: IO[str], write: IO[str]) -> None:
        write.write("".join(json.dumps(line) + "\n" for line in lines))

    return other


def test_a_worker_answers_over_any_pipe() -> None:
    with talk_to(lambda read, write: server.serve(read, write, plugins.load())) as conversation:
        with pytest.raises(EcgEdgeError, match="unknown runtime 'none-such'"):
            conversation.ask(Available("none-such"))
        with pytest.raises(EcgEdgeError, match="unknown quantizer"):
            conversation.ask(Missing("quantizer", "none-such"))
        assert conversation.ask(protocol.Network()) == ""
        with pytest.raises(ChildError, match="KeyError"):  # there is no such session
            conversation.ask(GraphOf(7))


def test_a_worker_of_another_version_is_told_in_one_line() -> None:
    hint = "install the same ecgedge on both sides"
    for line, told in (({"protocol": PROTOCOL + 1}, f"protocol {PROTOCOL + 1}"), ({"error": "KeyError"}, "another")):
        with talk_to(saying(line)) as conversation, pytest.raises(EcgEdgeError, match=told) as caught:
            conversation.ask(Available("any"))
        assert f"this ecgedge speaks protocol {PROTOCOL}" in str(caught.value)
        assert (caught.value.hint, "\n" in str(caught.value)) == (hint, False)


def answers_to(*lines: str) -> list[dict[str, Any]]:
    """What a worker says to these lines."""
    said: list[str] = []

    class Write:
        def write(self, text: str) -> None:
            said.append(text)

        def flush(self) -> None:
            pass

    server.serve(lines, Write(), plugins.load())  # type: ignore[arg-type]
    return [json.loads(line) for line in said]


def test_a_worker_answers_nobody_who_speaks_another_version(capsys: pytest.CaptureFixture[str]) -> None:
    question = '{"question": "Network", "with": {}}\n'
    assert answers_to(f'{{"protocol": {PROTOCOL + 1}}}\n', question) == [{"protocol": PROTOCOL}]
    assert f"speaks protocol {PROTOCOL + 1}" in capsys.readouterr().err
    assert answers_to(question, question) == [{"protocol": PROTOCOL}]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"question": "__init__", "with": {}}, "unknown question '__init__'"),
        ({"question": "find", "with": {"kind": "runtime", "name": "x"}}, "unknown question 'find'"),
        ({"do": "available", "runtime": "x"}, "unknown question 'None'"),
        ([], "unknown question 'None'"),
        ({"question": "Available", "with": {}}, "the question Available cannot be read: runtime is missing"),
        ({"question": "Available", "with": {"runtime": 5}}, "cannot be read: runtime is 5, not text"),
        ({"question": "Network", "with": {"self": 5}}, "cannot be read: it has the key 'self'"),
    ],
)
def test_a_question_that_is_none(question: Any, told: str) -> None:
    failure = answers_to(f'{{"protocol": {PROTOCOL}}}\n', json.dumps(question) + "\n")[1]["failure"]
    assert told in failure["error"] and failure["kind"] == "user"


LOADED = {"load_ms": 1, "first_call_us": 2.5, "memory_kib": None, "memory_base_kib": 7, "processors": [1]}
OPENED = {"session": 3, "batch": None, "bulk": 64, "copies": None, "device": "cpu", "loaded": LOADED}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (OPENED | {"device": None}, "device is None, not text"),
        ({key: OPENED[key] for key in OPENED if key != "session"}, "session is missing"),
        (OPENED | {"watts": 1}, "it has the key 'watts'"),
        (OPENED | {"loaded": LOADED | {"memory_kib": True}}, "loaded"),
        (OPENED | {"batch": 0.5}, "batch is 0.5"),
        (None, "it is None, not an object"),
    ],
)
def test_an_answer_of_another_type_cannot_be_read(answer: Any, told: str) -> None:
    load = protocol.Open("any", Packed(Path("m"), {}), 1)
    with (
        talk_to(saying({"protocol": PROTOCOL}, {"answer": answer})) as conversation,
        pytest.raises(ChildError, match=f"^its answer cannot be read: {told}") as caught,
    ):
        conversation.ask(load)
    assert (caught.value.why, "\n" in str(caught.value)) == ("wrong", False)


def test_replies_are_read_as_they_are_declared() -> None:
    graph = Graph(
        (Node("n", "Conv", "r", "cpu", ("int8",), ("int8",), (3,), ((1, 2),), ((2,),)),), (Weight("w", "i", 4),)
    )
    assert Graph.from_record(graph.record()) == graph
    asked: list[tuple[protocol.Question[Any], Any, Any]] = [
        (GraphOf(1), graph.record(), graph),
        (GraphOf(1), None, None),
        (Throughput(1, {}, Path("b"), "quick", Path("o")), {"16": 3}, {16: 3.0}),
        (
            protocol.Open("r", Packed(Path("m"), {}), 1),
            OPENED,
            Opened(3, None, 64, None, "cpu", Loaded(1.0, 2.5, None, 7, (1,))),
        ),
    ]
    replies = [{"protocol": PROTOCOL}, *({"answer": answer} for _, answer, _ in asked)]
    machine = {"error": "no room", "kind": "machine", "hint": "make room"}
    with talk_to(saying(*replies, {"failure": machine}, {"ok": 1})) as conversation:
        for question, _, wanted in asked:
            assert conversation.ask(question) == wanted
        with pytest.raises(MachineError, match="no room"):
            conversation.ask(GraphOf(1))
        with pytest.raises(ChildError, match="its answer cannot be read: it is none"):
            conversation.ask(GraphOf(1))
        with pytest.raises(ChildError, match="closed the pipe"):
            conversation.ask(GraphOf(1))


def test_each_question_is_read_back_as_it_was_asked() -> None:
    packed = Packed(Path("a/b.onnx"), {"notes": {"x": [1, None]}}, "tcn")
    terms = protocol.Terms(Path("beats"), 3, 16, {"max_drop": 0.5}, Path("labelled"))
    for question in (
        protocol.Convert("quantizer", "q", packed, Path("out"), terms),
        protocol.Optimize(("fold", "fix_batch"), packed, Path("out"), terms, {"fold": "it fails"}),
        protocol.Open("r", packed, 2, {"address": "tty"}, timed=protocol.Draw(Path("beats"), 7)),
        Throughput(1, {1: packed, 16: packed}, Path("beats"), "full", Path("out"), (1, 16)),
        protocol.MakeWhole("r", Path("x"), None, Path("out")),
    ):
        assert protocol.question_in(protocol.line_of_question(question)) == question
