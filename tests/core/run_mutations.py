"""Run folders as a stranger may make them: one that is whole, changed by its schema in a place or two.

Whatever draws the random numbers, hypothesis or ``random.Random``, decides what is changed. What a command may make of
such a folder: it is read, or refused in one line; nothing outside of the folder is touched.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from click.testing import CliRunner

from ecgedge.data.finding import synthetic

COMMANDS = ("report", "compare", "check", "choose", "resume")
SECONDS = 60  # after which a command hangs; all takes a fraction of a second on an idle machine
VICTIM = "victim.bin"  # beside the folder
CONTENT = b"what nobody may touch" * 40

Json = Any
DEEP = json.loads("[" * 200 + "]" * 200)
NASTY: tuple[Json, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**53, 2**63 - 1, 2**63, 10**30, 10**400, 0.5, -0.5, 1e-320, 1e308,
    -1e308, float("nan"), float("inf"), float("-inf"), "", "x", "ok", "skipped", "failed", "classification", "anomaly",
    "../../" + VICTIM, f"../{VICTIM}", "/etc/hostname", "/dev/zero", "a/b", ".", "..", "a\nb", "a\0b", "\x1b[31mred",
    "\u202eabc", "\ud800", "\udfff", "=1+1", "<b>", "x" * 300, "y" * 100_000, [], {}, [[]], [None], ["x"] * 200, [1, 2],
    {"a": {"b": []}}, {"x": float("nan")}, DEEP,
)  # fmt: skip


def content_of(path: Path) -> bytes:
    """What a file holds. Raises OSError for what an earlier change made a pipe of, which never ends, or a link, through
    which the next change would be written to what nobody may touch."""
    if path.is_symlink() or not path.is_file():
        raise OSError(f"{path} is no file any more")
    return path.read_bytes()


def nodes(tree: Json) -> list[tuple[Any, Any]]:
    """Each place of a JSON tree, as container and key."""
    found, left = [], [tree]
    while left:
        one = left.pop()
        for key, value in one.items() if isinstance(one, dict) else enumerate(one):
            found.append((one, key))
            if isinstance(value, dict | list):
                left.append(value)
    return found


def change_tree(tree: Json, draw: random.Random) -> str:
    """Change one place of a JSON tree; says what."""
    places = nodes(tree)
    if not places:
        return "nothing"
    # half of the time a place near the top, where fields have names
    near = [place for place in places if isinstance(place[0], dict)][:60]
    holder, key = draw.choice(near if near and draw.random() < 0.5 else places)
    match draw.choice(("value", "value", "value", "value", "drop", "other", "more", "near")):
        case "drop":
            del holder[key]
            return f"{key}: dropped"
        case "other":
            one, name = draw.choice(places)
            if (isinstance(one, dict) and name in one) or (
                isinstance(one, list) and isinstance(name, int) and name < len(one)
            ):
                holder[key] = json.loads(json.dumps(one[name]))
            return f"{key}: as {name}"
        case "more":
            if isinstance(holder, dict):
                holder[f"{key}{draw.choice(('', '_', ' ', '.twin'))}more"] = draw.choice(NASTY)
            else:
                holder.append(holder[key])
            return f"{key}: one more"
        case "near":
            value = holder[key]
            if isinstance(value, int | float) and not isinstance(value, bool):
                holder[key] = draw.choice(
                    (-value, value + 1, value - 1, value * 1000, value / 7, float(value), str(value))
                )
            elif isinstance(value, str):
                holder[key] = draw.choice(
                    (value + value, value[:-1], value.upper(), value + "/..", " " + value, [value])
                )
            return f"{key}: near"
    holder[key] = draw.choice(NASTY)
    return f"{key}: {str(holder[key])[:30]!r}"


def change_json(path: Path, draw: random.Random) -> str:
    tree = json.loads(content_of(path))
    told = change_tree(tree, draw)
    path.write_text(json.dumps(tree, indent=draw.choice((None, 1))), encoding="utf-8", errors="surrogatepass")
    return f"{path.name} {told}"


def change_lines(path: Path, draw: random.Random) -> str:
    """Change a file of JSON lines: a line's content, or the order and number of lines."""
    lines = content_of(path).splitlines(keepends=True)
    at = draw.randrange(len(lines))
    what = draw.choice(("tree",) * 6 + ("drop", "twice", "swap", "tear", "bytes", "event", "deep", "keys", "empty"))
    match what:
        case "tree":
            tree = json.loads(lines[at])
            what = change_tree(tree, draw)
            lines[at] = json.dumps(tree).encode() + b"\n"
        case "drop":
            del lines[at]
        case "twice":
            lines.insert(draw.randrange(len(lines)), lines[at])
        case "swap":
            other = draw.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case "tear":
            lines[at:] = [lines[at][: draw.randrange(len(lines[at]))]]
        case "bytes":
            spoilt = bytearray(lines[at])
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            lines[at] = bytes(spoilt)
        case "event":
            lines.insert(at, json.dumps({"event": draw.choice(("new", 3, None, [])), "cell": "x"}).encode() + b"\n")
        case "deep":
            lines.insert(at, b'{"event": ' + b"[" * 100_000 + b"\n")
        case "keys":
            lines[at] = lines[at].replace(b"{", b'{"event": "start", "id": "x", ', 1)
        case "empty":
            lines[:] = []
    path.write_bytes(b"".join(lines))
    return f"{path.name} line {at + 1}: {what}"


def header(shape: tuple[Any, ...], descr: str = "<f4") -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    text += b" " * (118 - len(text) % 118 - 1) + b"\n" if len(text) < 117 else b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def change_array(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """The bytes of an ``.npy`` file, made another one."""
    values = np.load(io.BytesIO(content))
    what = draw.choice((
        "claim", "object", "pickle", "cut", "more", "nan", "huge", "type", "shape", "less", "field", "deep", "empty",
        "negative", "bytes",
    ))  # fmt: skip
    out = io.BytesIO()
    match what:
        case "claim":
            return header(draw.choice(((10**12,), (10**12, 5), (-1,), (True,), (2**62, 2**62)))) + b"\0" * 64, what
        case "object":
            np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        case "pickle":
            return b"\x80\x04\x95\x05\x00\x00\x00", what
        case "cut":
            return content[: draw.randrange(len(content))], what
        case "more":
            return content + b"\0" * 7, what
        case "nan" | "huge" | "negative":
            spoilt = values.copy()
            bad = {
                "nan": np.nan if values.dtype.kind == "f" else 0,
                "huge": 3e38 if values.dtype.kind == "f" else 2**40,
            }
            spoilt.flat[draw.randrange(spoilt.size)] = bad.get(what, -1)
            np.save(out, spoilt)
        case "type":
            np.save(out, values.astype(draw.choice(("f8", "f2", "i4", "u1", "?", "c8", "S3", "U3", "M8[s]", ">f4"))))
        case "shape":
            np.save(
                out, draw.choice((values.ravel(), values[None], values[..., None, None, None], values.T, values[:0]))
            )
        case "less":
            np.save(out, values[: draw.randrange(1, len(values))] if values.ndim and len(values) > 1 else values[:0])
        case "field":
            np.save(out, np.zeros(3, dtype=[("a", "f4"), ("b", "i4")]))
        case "deep":
            text = b"(" * 9000 + b"\n"
            return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text, what
        case "empty":
            return b"", what
        case "bytes":
            spoilt_bytes = bytearray(content)
            spoilt_bytes[draw.randrange(min(len(content), 130))] = draw.randrange(256)
            return bytes(spoilt_bytes), what
    return out.getvalue(), what


def change_archive(path: Path, draw: random.Random) -> str:
    """One array of an ``.npz`` file, or the archive itself."""
    content = content_of(path)
    if draw.random() < 0.25:
        spoilt = bytearray(content)
        for _ in range(draw.randrange(1, 4)):
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
        path.write_bytes(bytes(spoilt[: draw.choice((len(spoilt), draw.randrange(len(spoilt))))]))
        return f"{path.name}: bytes"
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        arrays = {name: source.read(name) for name in source.namelist()}
    name = draw.choice(sorted(arrays))
    arrays[name], what = change_array(arrays[name], draw)
    if draw.random() < 0.1:
        del arrays[name]
        what = "gone"
    with zipfile.ZipFile(path, "w") as target:
        for each, held in arrays.items():
            target.writestr(each, held)
    return f"{path.name} {name}: {what}"


def change_samples(path: Path, draw: random.Random) -> str:
    values = np.frombuffer(content_of(path), "<i8").copy()
    what = draw.choice(("cut", "more", "zero", "negative", "huge", "odd"))
    match what:
        case "cut":
            os.truncate(path, draw.randrange(path.stat().st_size))
        case "more":
            path.write_bytes(path.read_bytes() + bytes(draw.randrange(1, 100)))
        case "odd":
            os.truncate(path, path.stat().st_size - 3)
        case _:
            values[draw.randrange(len(values))] = {"zero": 0, "negative": -5, "huge": 2**62}[what]
            values.tofile(path)
    return f"{path.name}: {what}"


def change_kind(path: Path, draw: random.Random) -> str:
    """Make something else of a file or folder: a link, a pipe, a folder, nothing."""
    is_folder = path.is_dir()
    what = draw.choice(("gone", "link out", "link in", "pipe", "folder", "zero", "twin name"))
    if what == "twin name" and not is_folder:
        os.link(path, path.parent.parent / f"{path.name}.other")
        return f"{path.name}: {what}"
    shutil.rmtree(path) if is_folder else path.unlink()
    outside = next(each for each in path.parents if (each / VICTIM).exists())
    match what:
        case "link out":
            path.symlink_to(outside if is_folder else outside / VICTIM)
        case "link in":
            path.symlink_to(path.parent)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "zero":
            path.symlink_to("/dev/zero")
    return f"{path.name}: {what}"


def add_stray(run: Path, draw: random.Random) -> str:
    place = run / draw.choice(("samples", "cells", "artifacts", "."))
    stray = place / draw.choice(("x.txt", ".hidden", "x.i64", "fake.i64.bak", "mlflow.json", "odd name\n.i64"))
    match draw.choice(("file", "pipe", "link", "folder")):
        case "file":
            stray.write_bytes(draw.choice((b"", b"stray", b"{}", b"[" * 5000)))
        case "pipe":
            os.mkfifo(stray)
        case "link":
            stray.symlink_to(run.parent / VICTIM)
        case "folder":
            stray.mkdir()
    return f"stray {stray.name!r}"


KINDS = (
    "run", "run", "journal", "journal", "journal", "rows", "rows", "rows", "array", "array", "archive", "samples",
    "graph", "kind", "stray", "model",
)  # fmt: skip


def mutate(run: Path, draw: random.Random) -> str:
    """Change a run's folder in one to three places; says which."""
    told = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        files = sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
        kind = draw.choice(KINDS)
        with contextlib.suppress(Exception):  # what was changed before cannot always be read, to be changed again
            match kind:
                case "run":
                    told.append(change_json(run / "run.json", draw))
                case "journal":
                    told.append(change_lines(run / "journal.jsonl", draw))
                case "rows":
                    told.append(change_lines(run / "rows.jsonl", draw))
                case "array":
                    path = draw.choice(
                        [path for path in files if path.suffix == ".npy" and path.parent.name == "cells"]
                    )
                    content, what = change_array(content_of(path), draw)
                    path.write_bytes(content)
                    told.append(f"{path.name}: {what}")
                case "archive":
                    told.append(change_archive(draw.choice([path for path in files if path.suffix == ".npz"]), draw))
                case "samples":
                    told.append(change_samples(draw.choice([path for path in files if path.suffix == ".i64"]), draw))
                case "graph":
                    found = [path for path in files if path.name.endswith("graph.json")]
                    told += [change_json(draw.choice(found), draw)] if found else []
                case "model":
                    found = [path for path in files if path.name == "model.json"]
                    told += [change_json(draw.choice(found), draw)] if found else []
                case "kind":
                    places = [*files, *(path for path in run.iterdir() if path.is_dir())]
                    told.append(change_kind(draw.choice(places), draw))
                case "stray":
                    told.append(add_stray(run, draw))
    return "; ".join(told)


# -- what commands make of it


class Hang(Exception):
    """A command took longer than ``SECONDS``."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(command: str, run: Path, whole: Path, form: str = "html") -> tuple[str, str]:
    """What a command makes of a folder: ``right``, ``one line``, ``traceback``, ``hang`` or ``victim``, with its words.

    Args:
        whole: the run that it was made from.
        form: of the report.
    """
    from ecgedge.cli import main

    arguments: dict[str, list[str]] = {
        "report": ["report", str(run), "--output", form],
        "compare": ["compare", str(whole), str(run), "--tolerance", "latency=1000%"],
        "check": ["check", str(run)],
        "choose": ["choose", str(run), "--output", "json"],
        "resume": ["matrix", "--resume", str(run)],
    }
    victim = run.parent / VICTIM
    here = Path.cwd()
    try:
        with limited(SECONDS), resuming_measures_nothing() if command == "resume" else contextlib.nullcontext():
            done = CliRunner().invoke(main, arguments[command])
    except Hang:
        return "hang", command
    finally:
        os.chdir(here)
    if isinstance(done.exception, Hang):
        return "hang", command
    if not victim.is_file() or victim.read_bytes() != CONTENT:
        return "victim", command
    if done.exception and not isinstance(done.exception, SystemExit):
        where = done.exc_info[2] if done.exc_info else None
        while where and where.tb_next:
            where = where.tb_next
        at = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
        return "traceback", f"{type(done.exception).__name__} at {at}: {str(done.exception)[:100]}"
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Warning:", "Note:"))]
    if done.exit_code == 2:
        is_told = 1 <= len(lines) <= 2 and lines[0].startswith("Error: ") and len(lines[0]) < 1000
        return ("one line" if is_told else "many lines"), "\n".join(lines)[:300]
    return "right", ""


@contextlib.contextmanager
def resuming_measures_nothing() -> Iterator[None]:
    """All of a resume but the children: what can run here is all, and nothing is run."""
    from ecgedge.commands import matrix
    from ecgedge.data import finding
    from ecgedge.workers import availability

    with (
        mock.patch.object(matrix, "measure_cells", lambda *_: None),
        mock.patch.object(availability, "unavailable", lambda parts, *_: dict(Absent)),
        mock.patch.object(finding, "synthetic", lambda: BEATS),
    ):
        yield


BEATS = synthetic()  # drawn once
Absent = {("runtime", "absent"): "no such device"}  # as the fakes say it of themselves


def try_all(
    whole: Path,
    scratch: Path,
    draw: random.Random,
    tell: Callable[[str, str, str, str], None],
    commands: int = len(COMMANDS),
) -> None:
    """Mutate a copy of a run once, and hand each command's outcome to ``tell(command, outcome, words, mutation)``.

    Args:
        commands: that are tried, drawn anew.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    (scratch / VICTIM).write_bytes(CONTENT)
    mutation = mutate(Path(shutil.copytree(whole, scratch / "run")), draw)
    form = draw.choice(("html", "table", "markdown", "json", "csv"))
    for command in draw.sample(COMMANDS, commands) if commands < len(COMMANDS) else COMMANDS:
        found, words = outcome(command, scratch / "run", whole, form)
        tell(command, found, words, mutation)
