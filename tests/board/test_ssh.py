"""A worker on a board, over a real ssh: its answers are those of this machine, and each fault is told as what it is."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ecgedge import EcgEdgeError
from ecgedge.devices import channel as channels
from ecgedge.devices import ssh
from ecgedge.devices.boards import Board, add
from ecgedge.devices.link import Link
from ecgedge.files import escape
from ecgedge.workers import board_check, protocol
from ecgedge.workers.boards import BoardChild
from ecgedge.workers.client import Child, ChildError
from ecgedge.workers.session import open_session
from tests.board import sshd as servers
from tests.conftest import Command, Disk, error_of
from tests.packages import write_wheel

SECONDS = 120


def timed(packed: protocol.Packed, beats: Path) -> protocol.Open:
    return protocol.Open("tflite", packed, 1, timed=protocol.Draw(beats, 0))


# One after the other


def test_its_answers_are_those_of_this_machine(
    there: BoardChild, here: Child, packed: protocol.Packed, some_beats: Path, tmp_path: Path
) -> None:
    """A file is opened, asked, timed and closed; all that is no time is the same, bit for bit."""
    assert there.ask(protocol.Inspect("tflite", packed.path), SECONDS) == packed
    found = {}
    for name, child in (("here", here), ("there", there)):
        with open_session(child, timed(packed, some_beats), SECONDS) as session:
            session.infer(some_beats, tmp_path / f"{name}.npy")
            warm, block = session.warm_up(), session.block(0.05)
            session.load_anew()
            rates = session.throughput({}, some_beats, "quick", tmp_path / f"{name}.npz", (1,))
            found[name] = (tmp_path / f"{name}.npy").read_bytes(), session.graph(), session.figures()
            calls = np.frombuffer(base64.b64decode(block.samples), "<i8")
            assert warm.warm_up_calls > 0 and len(calls) >= 200 and (calls > 0).all() and rates[1] > 0
            with np.load(tmp_path / f"{name}.npz") as file:
                assert {key: len(file[key]) > 0 for key in file.files} == {"1": True}
    assert found["here"] == found["there"]
    assert np.load(tmp_path / "there.npy").shape == (40, 5)


def test_it_says_what_it_is(there: BoardChild) -> None:
    facts = there.ask(protocol.Describe(), SECONDS)
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts.libraries["python"] == ".".join(map(str, sys.version_info[:3])) and "numpy" in facts.libraries
    assert facts.memory_kib and facts.cores == os.cpu_count()


def test_the_package_travels_and_is_the_one_that_runs(there: BoardChild, link: Link) -> None:
    with pytest.raises(ChildError) as bug:
        there.ask(protocol.FiguresOf(7), SECONDS)  # before it was started: there is no session
    assert bug.value.why == "lost"
    assert there.ask(protocol.Network(), SECONDS)
    with pytest.raises(ChildError) as bug:
        there.ask(protocol.FiguresOf(7), SECONDS)
    assert (bug.value.why, f"{link.board.cache}/packages/" in bug.value.trace) == ("bug", True)
    with pytest.raises(EcgEdgeError, match="unknown runtime"):
        there.ask(protocol.Available("none-such"), SECONDS)
    with pytest.raises(EcgEdgeError, match="no question for a board"):
        there.ask(protocol.Prove(Path("bundle")), SECONDS)
    assert f"{link.board.cache}/packages/" in there.log.read_text(), "what is printed there is told here"


def test_its_errors_name_our_files(there: BoardChild, tmp_path: Path) -> None:
    for name in ("broken.tflite", "-it's über \u202e$(touch x).tflite"):
        (tmp_path / name).write_bytes(b"no model at all")
        with pytest.raises(EcgEdgeError) as error:
            there.ask(protocol.Inspect("tflite", tmp_path / name), SECONDS)
        assert error.value.message.startswith(escape.line(str(tmp_path / name)))
    with pytest.raises(EcgEdgeError, match="cannot be read: No such file"):
        there.ask(protocol.Inspect("tflite", tmp_path / "absent.tflite"), SECONDS)


def test_a_file_is_sent_once_and_anew_when_it_changes(
    there: BoardChild, link: Link, packed: protocol.Packed, some_beats: Path, tmp_path: Path
) -> None:
    kept = Path(str(link.board.cache)) / "files"
    with open_session(there, protocol.Open("tflite", packed, 1), SECONDS) as session:
        session.infer(some_beats, tmp_path / "one.npy")
        before = {file.name: file.stat().st_mtime_ns for file in kept.iterdir()}
        session.infer(some_beats, tmp_path / "two.npy")
        assert {file.name: file.stat().st_mtime_ns for file in kept.iterdir()} == before
        np.save(some_beats, np.load(some_beats)[::-1])
        session.infer(some_beats, tmp_path / "three.npy")
        assert len([*kept.iterdir()]) == len(before) + 1
    one, two, three = (np.load(tmp_path / f"{name}.npy") for name in ("one", "two", "three"))
    assert (one == two).all() and (one == three[::-1]).all() and not (one == three).all()


def test_a_folder_arrives_whole(there: BoardChild, link: Link, tmp_path: Path) -> None:
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "model" / "variables" / "variables.data-00000-of-00001").write_bytes(b"weights")
    with pytest.raises(EcgEdgeError):
        there.ask(protocol.Inspect("tflite", tmp_path / "model"), SECONDS)
    [place] = Path(str(link.board.cache)).glob("sessions/*/in/*/model")
    found = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert found == {"saved_model.pb": b"graph", "variables/variables.data-00000-of-00001": b"weights"}


# The way there


def login(sshd: servers.Sshd, script: str) -> None:
    """Have the server run a script instead of what is asked, which is in a variable."""
    (sshd.folder / "login").write_text(f"#!/bin/sh\n{script}\n")
    (sshd.folder / "login").chmod(0o755)
    sshd.stop()
    sshd.configure(f"ForceCommand {sshd.folder}/login")
    sshd.start()


def test_what_a_login_prints_is_skipped(sshd: servers.Sshd, there: BoardChild) -> None:
    banner = "printf 'Welcome to \\033[31mLinux\\n\\n%s\\nno end' ECGEDGE-KEEPER; echo oops >&2"
    login(sshd, f'{banner}\nexec sh -c "$SSH_ORIGINAL_COMMAND"')
    assert there.ask(protocol.Describe(), SECONDS).cores


def test_a_login_that_hangs_is_told(sshd: servers.Sshd, there: BoardChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LOGIN", 2)
    login(sshd, "exec sleep 600")
    with pytest.raises(EcgEdgeError, match="does not say hello within 2 s"):
        there.ask(protocol.Describe(), SECONDS)


def test_a_login_that_says_too_much_is_told(sshd: servers.Sshd, there: BoardChild) -> None:
    login(sshd, "exec yes")
    with pytest.raises(ChildError, match="prints more than") as error:
        there.ask(protocol.Describe(), SECONDS)
    assert error.value.why == "wrong"


@pytest.mark.parametrize(
    ("how", "told", "hint"),
    [
        ("IdentityFile {folder}/other_key", "does not let this user in", "ssh-copy-id"),
        ("UserKnownHostsFile {folder}/no_hosts", "has a host key that is not known here", "once by hand"),
        (
            "StrictHostKeyChecking no\nUserKnownHostsFile {folder}/no_hosts",
            "has a host key that is not known",
            "ssh -F",
        ),
        ("UserKnownHostsFile {folder}/other_hosts", "has another host key than it had", "ssh-keygen -R"),
        ("Port 1", "refuses the connection", "sshd runs there"),
        ("Nonsense yes", "cannot be looked up", "by hand"),
    ],
)
def test_why_it_is_not_reached(sshd: servers.Sshd, there: BoardChild, how: str, told: str, hint: str) -> None:
    other = (sshd.folder / "other_key.pub").read_text().split()
    (sshd.folder / "other_hosts").write_text(f"[127.0.0.1]:{sshd.port} {other[0]} {other[1]}\n")
    sshd.reach(*how.format(folder=sshd.folder).splitlines())
    if "IdentityFile" in how:
        sshd.config.write_text(sshd.config.read_text().replace(f"IdentityFile {sshd.folder}/user_key\n", ""))
    with pytest.raises(EcgEdgeError) as error:
        there.ask(protocol.Describe(), SECONDS)
    assert told in error.value.message and hint in error.value.hint
    assert "\n" not in error.value.message and not servers.workers(sshd.board())
    assert not (sshd.folder / "no_hosts").exists(), "nobody's key was taken"


def test_a_slow_link_is_only_slow(
    sshd: servers.Sshd, there: BoardChild, here: Child, packed: protocol.Packed, some_beats: Path, tmp_path: Path
) -> None:
    (sshd.folder / "slow.py").write_text(SLOW)
    sshd.reach(f"ProxyCommand {sys.executable} {sshd.folder}/slow.py {sshd.port}")
    for name, child in (("here", here), ("there", there)):
        with open_session(child, protocol.Open("tflite", packed, 1), SECONDS) as session:
            session.infer(some_beats, tmp_path / f"{name}.npy")
    assert (tmp_path / "here.npy").read_bytes() == (tmp_path / "there.npy").read_bytes()


SLOW = """
import os, select, socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as other:
    while True:
        for ready in select.select([0, other], [], [])[0]:
            piece = os.read(0, 8192) if ready == 0 else other.recv(8192)
            if not piece:
                sys.exit()
            time.sleep(len(piece) / 300_000)
            other.sendall(piece) if ready == 0 else os.write(1, piece)
"""


# Faults


def test_a_worker_that_is_killed_says_by_which_signal(there: BoardChild, link: Link) -> None:
    for number, told in ((signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL"), (signal.SIGABRT, "SIGABRT")):
        assert there.ask(protocol.Network(), SECONDS)
        [worker] = servers.workers(link.board)
        servers.kill(worker, number)
        with pytest.raises(ChildError, match=f"the process died: {told}") as error:
            there.ask(protocol.Network(), SECONDS)
        assert error.value.why == "dead", "the system has ended nobody for want of memory"
    assert there.ask(protocol.Network(), SECONDS), "and another is started"


def test_a_late_answer_ends_the_worker_there(
    there: BoardChild, link: Link, packed: protocol.Packed, some_beats: Path
) -> None:
    session = open_session(there, timed(packed, some_beats), SECONDS)
    with pytest.raises(ChildError, match="no answer within 1 s") as error:
        there.ask(protocol.Weigh(session.opened.session, 0, calls=10**9), 1)
    assert error.value.status == "timeout"
    assert servers.wait_until(lambda: not servers.workers(link.board))
    assert there.ask(protocol.Network(), SECONDS)


def test_a_lost_connection_is_tried_again(
    sshd: servers.Sshd, there: BoardChild, link: Link, packed: protocol.Packed, some_beats: Path, tmp_path: Path
) -> None:
    session = open_session(there, protocol.Open("tflite", packed, 1), SECONDS)
    [worker] = servers.workers(link.board)
    sshd.cut()
    assert there.ask(protocol.Network(), SECONDS), "what needs no session is asked again"
    assert servers.wait_until(lambda: worker not in servers.workers(link.board)), "the old one is gone"
    session = open_session(there, protocol.Open("tflite", packed, 1), SECONDS)
    sshd.cut()
    with pytest.raises(ChildError) as error:
        session.infer(some_beats, tmp_path / "out.npy")
    assert error.value.why == "lost" and not (tmp_path / "out.npy").exists()
    with open_session(there, protocol.Open("tflite", packed, 1), SECONDS) as session:
        session.infer(some_beats, tmp_path / "out.npy")


def test_a_connection_that_stays_lost_is_told(sshd: servers.Sshd, there: BoardChild, link: Link) -> None:
    assert there.ask(protocol.Network(), SECONDS)
    link.patience = 1
    sshd.stop()
    with pytest.raises(ChildError, match="not reached again within 1 s") as error:
        there.ask(protocol.Network(), SECONDS)
    assert error.value.why == "lost"


def test_a_connection_that_is_cut_while_it_works(
    sshd: servers.Sshd, there: BoardChild, link: Link, packed: protocol.Packed, some_beats: Path
) -> None:
    session = open_session(there, timed(packed, some_beats), SECONDS)
    cutting = threading.Timer(1, sshd.cut)
    cutting.start()
    with pytest.raises(ChildError) as error:
        there.ask(protocol.Weigh(session.opened.session, 0, calls=10**9), SECONDS)  # for hours
    cutting.join()
    assert error.value.why == "lost"
    assert servers.wait_until(lambda: not servers.workers(link.board)), "nobody computes for nobody"


def test_a_board_that_was_started_anew_is_told(sshd: servers.Sshd, tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("one\n")
    link = Link(sshd.board(), tmp_path / "log", boot_id=str(tmp_path / "boot_id"))
    with link, BoardChild(link, tmp_path / "log") as child:
        assert child.ask(protocol.Network(), SECONDS)
        (tmp_path / "boot_id").write_text("two\n")
        sshd.cut()
        with pytest.raises(ChildError, match="was started anew") as error:
            child.ask(protocol.Network(), SECONDS)
        assert error.value.why == "rebooted"
        assert child.ask(protocol.Network(), SECONDS), "told once: what comes now is of one boot again"


def test_a_full_disk_is_told(
    sshd: servers.Sshd, disk: Disk, packed: protocol.Packed, some_beats: Path, tmp_path: Path
) -> None:
    disk.run(f"mount -o remount,size=16m '{disk.folder}'")
    board = sshd.board(cache=str(disk.path / "cache"))
    with Link(board, tmp_path / "log") as link, BoardChild(link, tmp_path / "log") as child:
        assert child.ask(protocol.Network(), SECONDS)
        disk.fill(8192)
        with pytest.raises(ChildError, match="No space left") as error:
            child.ask(protocol.Open("tflite", packed, 1), SECONDS)
        assert (error.value.why, error.value.hint) == ("disk", "make room on the board")
        assert not [*(disk.path / "cache" / "files").glob("*.part")]
        (disk.path / "ballast").unlink()
        with open_session(child, protocol.Open("tflite", packed, 1), SECONDS) as session:
            disk.fill(0)
            with pytest.raises(ChildError) as error:
                session.infer(some_beats, tmp_path / "out.npy")
            assert error.value.why == "disk" and not (tmp_path / "out.npy").exists()


def test_the_cache_there_has_a_limit(sshd: servers.Sshd, tmp_path: Path) -> None:
    board = sshd.board(cache_mib=16)
    files = Path(str(board.cache)) / "files"
    files.mkdir(parents=True)
    (files.parent / "gate").touch()
    for days in range(1, 5):
        name = files / (f"{days}" * 64)
        with name.open("wb") as file:
            file.truncate(6 << 20)
        os.utime(name, (time.time() - days * 86_400,) * 2)
    (files / "half.1.part").write_bytes(b"of one that was killed")
    packages = files.parent / "packages"
    for days in range(1, 5):
        (packages / f"{days}").mkdir(parents=True)
        os.utime(packages / f"{days}", (time.time() - days * 86_400,) * 2)
    with Link(board, tmp_path / "log") as link, BoardChild(link, tmp_path / "log") as child:
        assert child.ask(protocol.Network(), SECONDS)
        left = {file.name[0] for file in files.iterdir() if file.stat().st_size == 6 << 20}
        assert left == {"1", "2"} and not [*files.glob("*.part")]
        assert {path.name[:1] for path in packages.iterdir() if len(path.name) == 1} == {"1", "2"}
        sessions = [*(Path(str(board.cache)) / "sessions").iterdir()]
        assert len(sessions) == 2
    assert servers.wait_until(lambda: not [*(Path(str(board.cache)) / "sessions").iterdir()])


def test_what_lies_in_a_folder_of_others_is_left_alone(ecgedge: Command, sshd: servers.Sshd, tmp_path: Path) -> None:
    """As where --cache names somebody's home: the names of our folders are names of theirs as well."""
    home = tmp_path / "home"
    for name in ("files/thesis.part", "packages/a/x", "packages/b/x", "packages/c/x", "sessions/x", "venv/x"):
        (home / name).parent.mkdir(parents=True)
        (home / name).touch()
    before = {*home.rglob("*")}
    add(sshd.board(cache=str(home)))
    assert f"{home} holds what is not of ecgedge" in error_of(ecgedge("board", "setup", "loop"))
    found = ecgedge("board", "check", "loop")
    assert found.code == 1 and "(--cache) has to be a folder of its own" in found.out
    assert {*home.rglob("*")} == before
    (tmp_path / "empty").mkdir()
    with Link(sshd.board(cache=str(tmp_path / "empty")), tmp_path / "log") as link:
        link.open()


# Two that want one board


def test_a_board_has_one_user_and_another_is_told_who(sshd: servers.Sshd, tmp_path: Path) -> None:
    told: list[str] = []
    with Link(sshd.board(), tmp_path / "one.log") as one, BoardChild(one, tmp_path / "one.log") as first:
        assert first.ask(protocol.Network(), SECONDS)
        with (
            Link(sshd.board(), tmp_path / "two.log", wait=0.5, waiting=told.append) as two,
            BoardChild(two, tmp_path / "two.log") as second,
            pytest.raises(EcgEdgeError, match="is used by") as error,
        ):
            second.ask(protocol.Network(), SECONDS)
        assert f"(process {os.getpid()})" in error.value.message and "\n" not in error.value.message
        assert len(told) == 1 and f"(process {os.getpid()})" in told[0]
        assert first.ask(protocol.Network(), SECONDS), "the first has seen nothing of it"


def test_a_board_is_free_when_its_user_dies(sshd: servers.Sshd, tmp_path: Path) -> None:
    board = sshd.board()
    with Link(board, tmp_path / "one.log") as one, BoardChild(one, tmp_path / "one.log") as first:
        assert first.ask(protocol.Network(), SECONDS)
        freeing = threading.Timer(1, lambda: [servers.kill(pid) for pid in sshd.keepers()])
        with Link(board, tmp_path / "two.log", wait=60) as two, BoardChild(two, tmp_path / "two.log") as second:
            freeing.start()
            assert second.ask(protocol.Network(), SECONDS)
            freeing.join()


def test_several_workers_of_one_run_share_the_board(link: Link, tmp_path: Path) -> None:
    with BoardChild(link, tmp_path / "a.log") as a, BoardChild(link, tmp_path / "b.log") as b:
        assert a.ask(protocol.Network(), SECONDS) == b.ask(protocol.Network(), SECONDS)
        assert len(servers.workers(link.board)) == 2


def test_more_workers_than_one_connection_takes(sshd: servers.Sshd, link: Link, tmp_path: Path) -> None:
    sshd.stop()
    sshd.configure("MaxSessions 2")
    sshd.start()
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(BoardChild(link, tmp_path / f"{i}.log")) for i in range(4)]
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(child.ask, protocol.Network(), SECONDS) for child in children]
        assert len({each.result() for each in asked}) == 1
        assert len(servers.workers(link.board)) == 4


# A board that means ill


EVIL = """#!{python}
import json, os, pickle, sys
import numpy as np
read, write = sys.stdin.buffer, sys.stdout.buffer
read.read(int(sys.argv[-1]))
first = json.loads(read.readline())
def say(told, content=b""):
    write.write(json.dumps(told).encode() + b"\\n" + content)
    write.flush()
write.write(b"\\nECGEDGE-KEEPER " + first["word"].encode() + b"\\n")
say({{"boot_id": "x", "python": "3.11.0", "machine": "evil"}})
for line in read:
    asked = json.loads(line)
    read.read(asked.get("size", 0) if asked["do"] in ("hear", "put") else 0)
    {evil}
    if asked["do"] == "lease":
        say({{"leased": True}})
    elif asked["do"] == "look":
        look = {{"interpreter": "x", "python": "3.11.0", "libraries": {{"numpy": "1"}}, "trouble": "", "free": 1}}
        say({{"look": look}})
    elif asked["do"] == "hear":
        answer = b'{{"protocol": {protocol}}}\\n' if not globals().get("greeted") else b'{{"answer": null}}\\n'
        greeted = True
        say({{"size": len(answer)}}, answer)
    else:
        say({{}})
"""
PICKLE = """if asked["do"] == "take":
        import hashlib, io
        out = io.BytesIO()
        np.save(out, np.array([print], dtype=object), allow_pickle=True)
        say({"size": out.tell(), "digest": hashlib.sha256(out.getvalue()).hexdigest()}, out.getvalue())
        continue"""


def stub(sshd: servers.Sshd, folder: Path, evil: str) -> Board:
    """A board on which no keeper runs, but what says what it likes."""
    script = folder / "evil"
    script.write_text(EVIL.format(python=sys.executable, evil=evil, protocol=protocol.PROTOCOL))
    script.chmod(0o755)
    return sshd.board("evil", python=str(script))


@pytest.mark.parametrize(
    ("evil", "told"),
    [
        ('say({"leased": False, "held_by": "\\x1b[2Jme\\nError: all is lost"}); continue', "is used by"),
        ('say({"failed": "other", "reason": "\\x1b]0;title\\x07"}); continue', "board evil"),
        ('write.write(b"[" * 100000 + b"\\n"); write.flush(); continue', "cannot be read"),
        ('write.write(b"x" * (1 << 21)); write.flush(); continue', "a line of more than"),
        ('say({"leased": True, "path": "/etc/passwd"}); continue', "cannot be read"),
        ('if asked["do"] == "hear": say({"size": 1 << 40}); continue', "answers with"),
        ('if asked["do"] == "hear": say({"size": -1}); continue', "answers with"),
        ('if asked["do"] == "take": say({"size": 1 << 40, "digest": ""}); continue', "up to"),
        (
            'if asked["do"] == "take": say({"size": 3, "digest": "0" * 64}, b"abc"); continue',
            "otherwise than it was sent",
        ),
        (PICKLE, "no numbers"),
    ],
)
def test_a_board_that_means_ill_does_nothing_here(
    sshd: servers.Sshd, tmp_path: Path, some_beats: Path, evil: str, told: str
) -> None:
    board = stub(sshd, tmp_path, evil)
    before = {path.name for path in tmp_path.iterdir()}
    with (
        Link(board, tmp_path / "log", wait=1) as link,
        BoardChild(link, tmp_path / "log") as child,
        pytest.raises((EcgEdgeError, ChildError), match=told) as error,
    ):
        child.start()
        child.ask(protocol.Infer(0, some_beats, tmp_path / "out.npy"), 20)
    shown = str(error.value)
    assert shown.isprintable() and len(shown) < 1500
    assert {path.name for path in tmp_path.iterdir()} - before <= {"log"}, "no file of it stays"


def test_a_board_that_never_ends_is_left(
    ecgedge: Command, sshd: servers.Sshd, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(
        stub(
            sshd,
            tmp_path,
            """for _ in range(100 * (asked["do"] == "setup")): say({"step": "one", "trouble": "more"})""",
        )
    )
    assert "it reports more steps than there are" in error_of(ecgedge("board", "setup", "evil"))
    board = stub(
        sshd,
        tmp_path,
        """import time
    for _ in range(100 * (asked["do"] == "lease")): say({"held_by": "x"}); time.sleep(0.1)""",
    )
    monkeypatch.setattr(channels, "STALLED", 1)
    with Link(board, tmp_path / "log", wait=1, waiting=lambda _: None) as link, pytest.raises(channels.LostError):
        link.open()


def test_an_answer_that_cannot_be_is_told(sshd: servers.Sshd, tmp_path: Path) -> None:
    node = {"name": "n", "op": "Conv", "runner": "x", "device": "cpu", "takes": [], "gives": [], "kind": "no such kind"}
    answers = {
        protocol.GraphOf(0): ({"nodes": [node], "weights": []}, "kind"),
        protocol.Block(0, 0.1): ({"samples": "x", "cpu_share": 1.0}, "no base64"),
        protocol.Inspect("tflite", tmp_path / "evil"): ({"path": "/etc/passwd", "record": {}}, "none of ours"),
    }
    for number, (question, (answer, told)) in enumerate(answers.items()):
        evil = (
            f"answer = {json.dumps({'answer': answer}).encode()!r} + bytes([10])\n    if asked['do'] == 'hear'"
            " and globals().get('greeted'): say({'size': len(answer)}, answer); continue"
        )
        board = stub(sshd, tmp_path, evil)
        log = tmp_path / f"{number}.log"
        with Link(board, log, wait=1) as link, BoardChild(link, log) as child:
            child.start()
            with pytest.raises(ChildError, match=told) as error:
                child.ask(question, 20)
            assert error.value.why == "wrong"


# The command line


@pytest.fixture
def named(sshd: servers.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The board by its name, for commands."""
    monkeypatch.setenv("ECGEDGE_BOARDS", str(tmp_path / "boards.json"))
    add(sshd.board())
    return "loop"


def test_check_says_what_there_is(ecgedge: Command, named: str) -> None:
    pytest.importorskip("ai_edge_litert")
    found = ecgedge("board", "check", named)
    assert found.code == 0, found.out + found.err
    assert "board loop is reached: loop" in found.out and "runtime tflite works there, by ai-edge-litert" in found.out


def test_check_says_what_is_missing_and_what_mends_it(
    ecgedge: Command, sshd: servers.Sshd, named: str, tmp_path: Path
) -> None:
    venv = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    add(sshd.board("bare", python=str(venv / "bin" / "python")))
    found = ecgedge("board", "check", "bare")
    assert found.code == 1 and "numpy is not installed there" in found.out
    assert found.out.splitlines()[-1] == "  ecgedge board setup bare"
    add(sshd.board("absent", python="/absent/python"))
    found = ecgedge("board", "check", "absent")
    assert found.code == 1 and "board absent has no /absent/python" in found.out
    assert "unknown board" in error_of(ecgedge("board", "check", "none"))


def test_check_of_a_board_that_is_used_says_by_whom(ecgedge: Command, named: str, there: BoardChild) -> None:
    assert there.ask(protocol.Network(), SECONDS)
    found = ecgedge("board", "check", named)
    assert found.code == 1 and f"(process {os.getpid()})" in found.out


def test_setup_makes_a_venv_in_which_workers_run(
    ecgedge: Command, sshd: servers.Sshd, named: str, tmp_path: Path
) -> None:
    """From wheels that are written here, which lead to our libraries: nothing is downloaded."""
    pytest.importorskip("ai_edge_litert")
    wheels, versions = tmp_path / "wheels", {name: metadata.version(name) for name in ("numpy", "ai-edge-litert")}
    wheels.mkdir()
    for name, version in versions.items():
        files = {f"{name}-ours.pth": f"{Path(np.__file__).parents[1]}\n"}
        write_wheel(wheels, name.replace("-", "_"), version, files)
    sshd.stop()
    sshd.configure(f"SetEnv PIP_NO_INDEX=1 PIP_FIND_LINKS={wheels}")
    sshd.start()
    made = ecgedge("board", "setup", named)
    assert made.code == 0, made.out + made.err
    for told in ("venv: done", *(f"{name}=={version}: done" for name, version in versions.items())):
        assert told in made.out
    assert re.search("^onnxruntime\\S*: ERROR: .*onnxruntime", made.out, re.MULTILINE), "one runtime is enough"
    found = ecgedge("board", "check", named)
    assert found.code == 0 and f"{sshd.folder}/cache/venv/bin/python there is Python" in found.out, found.out
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert "not ready" in error_of(ecgedge("board", "setup", named))
    found = ecgedge("board", "check", named)
    assert found.code == 0 and "runtime tflite works there" in found.out, "the venv that worked is still there"


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([("venv", "No module named ensurepip")], "not ready: venv: No module named ensurepip"),
        ([("venv", ""), ("numpy", "ERROR: none fits")], "not ready: numpy: ERROR: none fits"),
        ([("venv", ""), ("numpy", ""), ("a", "ERROR: a"), ("b", "ERROR: b")], "not ready: a: ERROR: a"),
    ],
)
def test_a_setup_that_fails_is_told(
    ecgedge: Command, sshd: servers.Sshd, named: str, tmp_path: Path, steps: list[tuple[str, str]], told: str
) -> None:
    said = "; ".join(f"say({{'step': {step!r}, 'trouble': {trouble!r}}})" for step, trouble in steps)
    evil = f"if asked['do'] == 'setup': {said}; say({{'done': True}}); continue"
    add(stub(sshd, tmp_path, evil))
    error = error_of(ecgedge("board", "setup", "evil"))
    assert told in error and ("python3-venv" in error) == (len(steps) == 1)


def test_an_interpreter_that_is_too_old_gets_no_venv(
    ecgedge: Command, sshd: servers.Sshd, named: str, tmp_path: Path
) -> None:
    board = stub(sshd, tmp_path, "assert asked['do'] != 'setup'")
    script = Path(str(board.python))
    script.write_text(script.read_text().replace("3.11.0", "3.9.2"))
    add(board)
    told = error_of(ecgedge("board", "setup", "evil"))
    assert "there is Python 3.9.2, a worker needs 3.11 or later" in told and "--python PATH" in told


def test_a_runtime_that_is_not_there_is_told(ecgedge: Command, named: str, tmp_path: Path) -> None:
    """The board has what this machine has: ONNX Runtime by either of its names."""
    found = ecgedge("board", "check", named)
    names = {each.metadata["Name"] for each in metadata.distributions()}
    works = f"by onnxruntime {version}" if (version := board_check.host_version("onnxruntime")) else "is not installed"
    assert f"runtime cpu {'works' if version else 'does not work'} there" in found.out, names
    assert works in found.out


def test_the_socket_of_ssh_fits_however_long_the_temporary_folder_is(
    ecgedge: Command, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = ecgedge("board", "check", named)
    assert "board loop is reached" in found.out, found.out
    assert not [*long.iterdir()]


def test_an_old_interpreter_that_runs_no_keeper_is_told(
    ecgedge: Command, sshd: servers.Sshd, named: str, tmp_path: Path
) -> None:
    (tmp_path / "python2").write_text("#!/bin/sh\necho 'Unknown option: -I' >&2\nexit 2\n")
    (tmp_path / "python2").chmod(0o755)
    add(sshd.board("old", python=str(tmp_path / "python2")))
    lines = ecgedge("board", "check", "old").out.splitlines()
    assert "Unknown option: -I" in lines[-2] and lines[-1].endswith(f"loop '{tmp_path}/python2 --version'")


def test_an_installer_whose_keeper_was_killed_still_has_the_board(sshd: servers.Sshd, tmp_path: Path) -> None:
    """Nobody else writes into the venv meanwhile."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        sshd.stop()
        sshd.configure(f"SetEnv PIP_INDEX_URL={index} PIP_TIMEOUT=600 PIP_RETRIES=0")
        sshd.start()
        steps = board_check.setup(sshd.board(), ["numpy"])
        assert next(steps) == ("venv", "")
        stuck = f"{sshd.folder}/cache/venv.new/bin/python -I -m pip install"

        def installers() -> list[int]:
            return [pid for pid, _, words in servers.processes() if words.startswith(stuck)]

        assert servers.wait_until(installers)
        assert sshd.process
        for pid, words in servers.descendants(sshd.process.pid):
            if words.startswith(f"{sys.executable} -I -c import sys"):
                servers.kill(pid)  # and not its shell, whose end it would see
        with pytest.raises(EcgEdgeError, match=r"is lost|ended with exit code"):
            next(steps)
        assert installers()
        second = Link(sshd.board(), tmp_path / "log", wait=0.5, waiting=lambda _: None)
        with second, pytest.raises(EcgEdgeError, match="is used by"):
            second.open()
        for pid in installers():
            servers.kill(pid)
        second = Link(sshd.board(), tmp_path / "log", wait=30, waiting=lambda _: None)
        with second:
            second.leased(tmp_path / "log").close()


def test_ctrl_c_while_a_connection_is_closed_leaves_no_folder(
    sshd: servers.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = ssh.Control(sshd.board())

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ssh.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        control.close()
    assert not control.folder.exists()


def test_a_board_that_was_let_go_is_not_reached_again(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its process may not have ended yet: else what Ctrl-C cut off would be a fault of the cell's."""
    link.open()
    monkeypatch.setattr(channels.Channel, "end", lambda channel: None)
    link.stop()
    with pytest.raises(EcgEdgeError, match="is not used any more"):
        link.reach_again()
