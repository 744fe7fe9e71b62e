"""One list of strings as strangers write them, for every place where ecgedge puts a name."""

from __future__ import annotations

import re
import unicodedata

NASTY = (
    # terminals: colours, the screen, the title, a link, the cursor, C1, DEL
    "\x1b[31mred\x1b[0m", "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\ok\x1b]8;;\x1b\\",
    "over\rwritten", "back\x08\x08\x08", "\x9b31mred", "a\x7fb", "bell\x07", "nul\0nul",
    # lines that are none of ours
    "x\nError: all is lost", "a\r\nb", "a\tb", "line\u2028separator\u2029", "\x0b\x0c\x85",
    # the writing direction, and what nobody sees
    "abc\u202efed",
    "\u2066\u2069\u2067x", "zero\u200bwidth\u200d\u2060", "\ufeffbom", "soft\u00adhyphen", "\U000e0041tag",
    # no characters at all
    "\udc80\udcff", "\ud800", "\ufffe\uffff",
    # spreadsheets
    "=1+1", '=HYPERLINK("http://evil.example","x")', "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1",
    'quote",=1+1', "a;=1+1", "\uff1d1+1",
    # Markdown
    "| a | b |", "**bold** _it_ ~~gone~~ `code`", "``` x", "[l](http://evil.example)", "![i](javascript:x)", "[x]: http://e",
    "<http://evil.example>",
    "http://evil.example", "www.evil.example", "# head", "- item", "1. one", "> quote", "back\\slash",
    "end\\", "&lt;b&gt; &amp; &#60;", "$x$", "a_b _c_ d", "---",
    # HTML
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onload='x", "</style><b>", "<!-- x", "]]>", "'",
    # C
    "*/ #include <x.h> /*", '"; int x; "', "??/", "\\", "%s%n", "a\\\nb", "//", "???=",
    # names
    "../../etc/passwd", "-rf", ".hidden", "CON", "a/b\\c:d", "x" * 300, "", " ",
    "\u00e9\u00fc \u5fc3\u96fb\u56f3 \U0001f600",
)  # fmt: skip


def is_seen(char: str) -> bool:
    """Whether a character can be seen where it stands, by Unicode's own categories."""
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def unseen(text: str, allowed: str = "\n") -> list[str]:
    return sorted({char for char in text if char not in allowed and not is_seen(char)})


def meant(shown: str) -> str:
    """What a text stood for, in which the unseen is shown."""
    return re.sub(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", lambda found: chr(int(found[1] or found[2], 16)), shown)
