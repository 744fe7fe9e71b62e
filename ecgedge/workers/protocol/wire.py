"""The lines of the wire: questions, replies and the greeting, written and strictly read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from ecgedge.errors import EcgEdgeError, unknown
from ecgedge.files import strict_json, typed_json
from ecgedge.files.schema import SchemaError
from ecgedge.workers.protocol import conversions, facts, files, parts, peaks, sessions, taps, timing, training
from ecgedge.workers.protocol.question import A, Question

PROTOCOL = 5  # the next number for any change of what is said here


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    Attributes:
        error: one line.
        kind: ``"user"`` or ``"machine"`` is at fault; else as ``ChildError.why``.
        hint: what to do about it.
        trace: of a bug, its traceback.
    """

    error: str
    kind: Literal["user", "machine", "memory", "wrong", "bug"]
    hint: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Greeting:
    """The first line of each side."""

    protocol: int


QUESTIONS: dict[str, type[Question[Any]]] = {
    kind.__name__: kind
    for of in (parts, facts, conversions, files, sessions, taps, timing, peaks, training)
    for kind in vars(of).values()
    if isinstance(kind, type) and issubclass(kind, Question) and kind is not Question
}


def line_of(value: Any) -> str:
    """Write a line of the wire."""
    return json.dumps(typed_json.plain(value)) + "\n"


def line_of_question(question: Question[Any]) -> str:
    return line_of({"question": type(question).__name__, "with": question})


def question_in(line: str) -> Question[Any]:
    """Read a question. Raises EcgEdgeError where it is none of ``QUESTIONS``, or is asked otherwise than declared."""
    told = strict_json.loads(line, "the question")
    name = told.get("question") if isinstance(told, dict) else None
    if name not in QUESTIONS:
        raise unknown("question", str(name), [*QUESTIONS])
    try:
        question: Question[Any] = typed_json.read(QUESTIONS[name], told.get("with"))
    except SchemaError as error:
        raise EcgEdgeError(f"the question {name} cannot be read: {error}") from error
    return question


def line_of_answer(answer: Any) -> str:
    return line_of({"failure": answer} if isinstance(answer, Failure) else {"answer": answer})


def answer_in(line: str, question: Question[A]) -> A | Failure:
    """Read the reply to a question.

    Raises:
        JsonError: the line is no JSON.
        SchemaError: it is no reply, or none to this question.
    """
    told = strict_json.loads(line, "its answer")
    if not isinstance(told, dict) or len(told) != 1 or not told.keys() & {"answer", "failure"}:
        raise SchemaError("it is none")
    if "failure" in told:
        return cast(Failure, typed_json.read(Failure, told["failure"], "failure"))
    return cast(A, typed_json.read(answer_of(type(question)), told["answer"]))


def answer_of(question: type[Question[Any]]) -> Any:
    """The type that answers a question."""
    return get_args(vars(question)["__orig_bases__"][0])[0]


def protocol_in(line: str) -> int | None:
    """Read the version that the other side says; None: it says none."""
    try:
        told = typed_json.read(Greeting, strict_json.loads(line, "the greeting"))
    except (strict_json.JsonError, SchemaError):
        return None
    return cast(Greeting, told).protocol


def other_protocol(who: str, theirs: int | None) -> EcgEdgeError:
    """The error for another side that speaks another version, or says none."""
    told = "another protocol" if theirs is None else f"protocol {theirs}"
    return EcgEdgeError(
        f"{who} speaks {told}, this ecgedge speaks protocol {PROTOCOL}", "install the same ecgedge on both sides"
    )
