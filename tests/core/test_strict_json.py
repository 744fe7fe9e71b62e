"""JSON of strangers: what Python reads and RFC 8259 allows is read alike, all else is refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgedge import EcgEdgeError
from ecgedge.files.strict_json import MOST_DEPTH, JsonError, loads, read

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
)


@given(values, st.booleans())
def test_what_json_writes_is_read(value: Any, ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii, allow_nan=False)
    assert loads(text, "it") == loads(text.encode(), "it") == json.loads(text)


REFUSED = {
    '{"a": 1, "a": 1}': "a key is in it twice",
    '[{"a": {"b": 1, "b": 2}}]': "a key is in it twice",
    "NaN": "NaN is no number",
    "[-Infinity]": "-Infinity is no number",
    "[1e999]": "no finite number",
    f"[{'9' * 400}.0]": "no finite number",
    "9" * 5000: "an integer of 5,000 digits",
    str(2**65): "an integer of 20 digits",
    r'"\ud800"': "surrogate",
    r'{"\udc00 \ud800": 1}': "surrogate",
    '"\ud800"': "surrogate",
    "[" * 65 + "]" * 65: "64 levels",
    '{"a":' * 65 + "1" + "}" * 65: "64 levels",
    "[" * 100_000: "too deeply",
    '{"a":' * 100_000: "too deeply",
    "{": "line 1 column 2",
    "": "line 1 column 1",
    "1 2": "Extra data",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:20]))
def test_all_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(JsonError, match=REFUSED[text]) as caught:
        loads(text, "run.json", "restore it")
    assert isinstance(caught.value, EcgEdgeError) and isinstance(caught.value, ValueError)
    assert caught.value.message.startswith("run.json cannot be read: ") and "\n" not in caught.value.message
    assert caught.value.hint == "restore it"


def test_what_is_within_the_limits_is_read() -> None:
    assert loads("[" * MOST_DEPTH + "]" * MOST_DEPTH, "it")
    assert loads(r'"\ud83d\ude00"', "it") == "\U0001f600", "both halves of a pair"
    assert loads("[1e300, -9223372036854775808]", "it") == [1e300, -(2**63)]
    assert loads("[" + "[],{}," * 10_000 + "1]", "it")[-1] == 1, "many beside each other"
    inside = "[" * 5000 + '"\\' + "{" * 5000
    assert loads(json.dumps([inside, 1]), "it") == [inside, 1], "brackets within a text"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '["' + "[" * 5000 + '",' + "[" * 100_000])
def test_depth_is_bounded_whatever_a_library_has_made_of_the_limit(text: str, tmp_path: Path) -> None:
    """Deeper than the stack, Python's parser would end the process."""
    (tmp_path / "deep").write_text(text)
    probe = (
        "import sys\nfrom pathlib import Path\nfrom ecgedge.files import strict_json\nsys.setrecursionlimit(10**8)\n"
        "try:\n    strict_json.read(Path('deep'))\nexcept strict_json.JsonError as error:\n    print(error.message)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.stdout == "deep cannot be read: it is nested too deeply\n", (done.returncode, done.stderr)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(JsonError, match="byte 1 is not UTF-8"):
        loads(b'"\xff"', "it")
    with pytest.raises(JsonError, match="it is no text"):
        loads(5, "it")  # type: ignore[arg-type]
    with pytest.raises(JsonError, match="longer than 10 bytes"):
        loads(" " * 11, "it", most=10)


def test_a_file_is_read_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    file, pipe = tmp_path / "a.json", tmp_path / "pipe.json"
    file.write_text('{"a": 1}')
    assert read(file) == {"a": 1}
    with pytest.raises(JsonError, match="longer than 5 bytes"):
        read(file, most=5)
    os.mkfifo(pipe)
    for other in (pipe, Path(os.devnull)):
        with pytest.raises(JsonError, match="no regular file"):
            read(other)
    with pytest.raises(OSError):
        read(tmp_path / "missing.json")
