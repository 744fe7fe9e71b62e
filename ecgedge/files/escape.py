"""What comes from others, made fit for where it is put: one function a place, and nothing is trusted twice.

Names of files, labels of data, names in records, plugins' names and what their libraries say may hold anything: escape
sequences, overrides of the writing direction, formulas, tags, newlines. Each place escapes for itself whatever it is
given, so that it does not matter where a text came from. What cannot be seen is shown as ``\\u001b``, which JSON
understands as well.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from markupsafe import Markup

COLOURS = {"red": "31", "green": "32", "yellow": "33"}
# Colours of our own bear a number that nobody else knows, in a form whose width everybody takes as 0.
MARK = f"\x1b[{int.from_bytes(os.urandom(6))};"
OURS = re.compile(f"({re.escape(MARK)}[0-9;]*m)")
LONE_RETURN = re.compile("\r(?!\n)")


class Seen(dict[int, int | str]):
    """For ``str.translate``: what moves, hides or reorders other text becomes an escape, but for what is kept."""

    def __init__(self, keep: str):
        super().__init__((ord(char), ord(char)) for char in keep)

    def __missing__(self, point: int) -> int | str:
        char = chr(point)
        is_seen = char.isprintable() or unicodedata.category(char) == "Zs"  # a space, of whatever width
        self[point] = point if is_seen else code_of(char)
        return self[point]


def code_of(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


LINE, TEXT, LINES = Seen(""), Seen("\n\t"), Seen("\r\n\t")  # LINES: as CSV ends them


# The terminal, and pipes


def line(text: str) -> str:
    """For a line, or a cell in a column: newlines and tabs are shown as well; our own colours stay."""
    return between_marks(text, LINE)


def terminal(text: str) -> str:
    """For a terminal or a pipe, as whole lines; our own colours stay."""
    return LONE_RETURN.sub(lambda _: code_of("\r"), between_marks(text, LINES))


def between_marks(text: str, table: Seen) -> str:
    if text.isprintable():
        return text
    return "".join(piece if i % 2 else piece.translate(table) for i, piece in enumerate(OURS.split(text)))


def style(text: str, colour: str = "", bold: bool = False) -> str:
    """A text in a colour of ``COLOURS``, which ``Shown`` alone turns into one that a terminal knows."""
    codes = ";".join([*([COLOURS[colour]] if colour else []), *(["1"] if bold else [])])
    return f"{MARK}{codes}m{line(text)}{MARK}0m"


def cells(rows: Iterable[Iterable[Any]]) -> list[list[str]]:
    """The cells of a table, which are as wide as they will be printed."""
    return [[line(str(cell)) for cell in row] for row in rows]


def unstyle(text: str) -> str:
    """Without the colours of ``style``; a stranger's escape sequences stay, for whoever shows them."""
    return OURS.sub("", text)


class Shown:
    """A stream of text that shows what it is given as ``terminal`` does: for all that a process prints.

    Colours of ``style`` reach a terminal, unless NO_COLOR is set or TERM is dumb, and nothing else. What the stream's
    encoding lacks is shown as an escape too. All else is the stream's own.
    """

    encoding = "utf-8"  # of what may be written; else click would write past this, to the bytes below

    def __init__(self, stream: TextIO):
        self.stream = stream
        knows_none = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"  # https://no-color.org
        self.coloured = stream.isatty() and not knows_none

    def write(self, text: str) -> int:
        if text.isascii() and text.removesuffix("\n").isprintable():  # most lines, of which predict has many
            self.stream.write(text)
            return len(text)
        told = terminal(text)
        told = OURS.sub(lambda mark: f"\x1b[{mark[0][len(MARK) :]}" if self.coloured else "", told)
        encoding = self.stream.encoding or "utf-8"
        if not told.isascii() and encoding.lower() not in ("utf-8", "utf8"):
            told = told.encode(encoding, "backslashreplace").decode(encoding)
        self.stream.write(told)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for text in lines:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def guard_streams() -> None:
    """From here on this process prints through ``Shown``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Shown):
            setattr(sys, name, Shown(stream))


def raw(stream: Any) -> Any:
    """The stream below, for a progress bar that moves the cursor and is given no stranger's text unescaped."""
    return stream.stream if isinstance(stream, Shown) else stream


# Files that other programs open

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
FORMULA = re.compile(r"(^|;)(?=[=+\-@＝＋－＠])")  # noqa: RUF001  # also behind the separator of other countries


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, on one line (OWASP, CSV injection).

    A text that begins with one of = + - @ gets an apostrophe before it; numbers, also those written as text, stay.
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    shown = FORMULA.sub(r"\1'", line(value))
    return f"'{shown}" if value[:1] in ("\t", "\r", "\n") else shown


MARKDOWN = re.compile(
    r"(?P<lead>^(?:[-+#>=]+|\d+[.)])(?=\s|$))|(?P<tag>[<|]|&(?=#?\w+;))"
    r"|(?P<mark>[`*~$]|\](?=[(\[:])|\\(?=[!-/:-@\[-`{-~]|$)|(?<![^\W_])_|_(?![^\W_])|(?<=:)/(?=/)|(?<=www)\.)"
)
ENTITIES = {"<": "&lt;", "|": "&#124;", "&": "&amp;"}


def markdown(text: str, starts: bool = True) -> str:
    """For a line of Markdown: shown letter by letter, as text and nothing else.

    Args:
        starts: whether a line or an item may start with it, which is more than a table cell can.
    """

    def plain(found: re.Match[str]) -> str:
        if found["lead"]:
            return f"{found[0][:-1]}\\{found[0][-1]}" if starts else found[0]
        return ENTITIES[found[0]] if found["tag"] else f"\\{found[0]}"

    return MARKDOWN.sub(plain, line(text))


def markdown_code(text: str) -> str:
    """A code span of Markdown, with as many backticks around it as it takes. Not for table cells."""
    shown = line(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if shown[:1] in ("`", "") or shown[-1:] == "`" else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def html(text: Any) -> Markup:
    """For HTML, as text or in a quoted attribute; of ``Markup`` only what cannot be seen is shown."""
    from markupsafe import Markup, escape  # for the report alone

    shown = str(escape(text)).translate(TEXT)
    return Markup(shown)  # nosec B704  # escaped above


XML_FORBIDDEN = re.compile(r"[\ufdd0-\ufdef]")  # noncharacters, which some readers refuse


def xml(text: Any) -> str:
    """For ElementTree, which does the rest: without what XML 1.0 cannot hold."""
    return XML_FORBIDDEN.sub(lambda found: code_of(found[0]), str(text).translate(TEXT))


# C


def c_string(text: str) -> str:
    """A string literal in ASCII; other characters as the octal bytes of their UTF-8. NUL and surrogates are shown."""
    whole = re.sub("[\0\ud800-\udfff]", lambda found: code_of(found[0]), text)
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in whole.encode())
    return '"' + "".join(plain) + '"'


def c_comment(text: str) -> str:
    """For within ``/* */``: ASCII, on one line, without ends, beginnings or trigraphs."""
    ascii_only = line(text).encode("ascii", "backslashreplace").decode()
    return re.sub(r"(?<=\*)/|(?<=/)\*|(?<=\?)\?", r" \g<0>", ascii_only).rstrip("\\")


def c_identifier(name: str) -> str:
    """A name as C takes it, for all that belongs to one model."""
    word = re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    return word if word[:1].isalpha() else f"model_{word}".strip("_")


# Names that others keep


def file_name(name: str, most: int = 100) -> str:
    """A name for a file or folder: ASCII letters, digits, ``._-``; no separators, not hidden, no option."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:most].strip("-.") or "model"


MLFLOW_NAME, MLFLOW_VALUE = 250, 5000  # characters that it takes


def mlflow_name(name: str) -> str:
    """The name of a parameter, metric or tag: what MLflow refuses in one is a dash."""
    return re.sub(r"[^\w. -]+", "-", line(name)).strip(". ")[:MLFLOW_NAME] or "-"


def mlflow_value(value: Any) -> str:
    """The value of a tag or parameter, cut to what MLflow takes."""
    return str(value).translate(TEXT)[:MLFLOW_VALUE]


def mlflow_values(told: Mapping[str, Any]) -> dict[str, str]:
    """Tags or parameters; what is nested as JSON."""
    texts = {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in told.items()}
    return {mlflow_name(key): mlflow_value(value) for key, value in texts.items()}
