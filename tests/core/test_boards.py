"""Boards have names, which a small file of the user's keeps; none of them is asked here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ecgedge.devices.boards import Board
from ecgedge.devices.channel import Look
from ecgedge.devices.link import lacks
from ecgedge.measure import device
from tests.conftest import Command, error_of
from tests.nasty import NASTY, unseen

SLOW = ("under-voltage", "throttled")


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECGEDGE_BOARDS", str(tmp_path / "configuration" / "boards.json"))
    return tmp_path / "configuration" / "boards.json"


def test_a_board_is_named_listed_and_forgotten(ecgedge: Command, tmp_path: Path, registry: Path) -> None:
    assert ecgedge("board", "ls").out == f"in {registry}\n"
    (tmp_path / "config").write_text("Host pi4\n")
    options = ("--ssh", "pi@raspberrypi.local", "--ssh-config", "config", "--python", "~/venv/bin/python")
    assert ecgedge("board", "add", "pi4", *options).code == 0
    assert ecgedge("board", "add", "a-board", "--ssh", "ssh://me@[::1]:2222").code == 0
    lines = ecgedge("board", "ls").out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["a-board", "pi4"]
    assert lines[3].split() == ["pi4", "pi@raspberrypi.local", "~/venv/bin/python", str(tmp_path / "config")]
    assert "pi@raspberrypi.local" in ecgedge("board", "rm", "pi4").out
    assert "pi4" not in ecgedge("board", "ls").out
    assert "unknown board 'pi4'" in error_of(ecgedge("board", "rm", "pi4"))


def test_a_name_is_given_once(ecgedge: Command, registry: Path) -> None:
    assert ecgedge("board", "add", "pi4", "--ssh", "pi@one").code == 0
    before = registry.read_bytes()
    told = error_of(ecgedge("board", "add", "pi4", "--ssh", "pi@two"))
    assert "there is a board pi4 already: pi@one" in told and "ecgedge board rm pi4" in told
    assert registry.read_bytes() == before


def test_an_unknown_board_is_one_line_with_those_there_are(ecgedge: Command) -> None:
    assert "ecgedge board add NAME --ssh USER@HOST" in error_of(ecgedge("board", "rm", "pi4"))
    ecgedge("board", "add", "pi4", "--ssh", "pi@one")
    told = error_of(ecgedge("board", "rm", "pi5"))
    assert "unknown board 'pi5'" in told and "choose from: pi4" in told


@pytest.mark.parametrize("name", ["host", "cpu", "Pi", "-pi", "pi-", "a" * 33, "a b", "../pi", "", "pi\n", *NASTY[:4]])
def test_a_bad_name_is_told(ecgedge: Command, registry: Path, name: str) -> None:
    told = error_of(ecgedge("board", "add", "--ssh", "pi@one", "--", name.replace("\0", "")))
    assert "cannot be the name of a board" in told and not unseen(told)
    assert not registry.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--ssh", "-oProxyCommand=touch x"), ("--ssh", "a b"), ("--ssh", "pi@one;touch x"), ("--ssh", "$(touch x)"),
        ("--ssh", ""), ("--python", "-c"), ("--python", "a\nb"), ("--python", "\x1b[2J"), ("--cache", "relative"),
        ("--cache", "/a\x07b"), ("--cache-limit", "1"), ("--ssh-config", "absent"),
    ],
)  # fmt: skip
def test_what_ssh_could_take_for_something_else_is_refused(
    ecgedge: Command, registry: Path, option: str, value: str
) -> None:
    options = {"--ssh": "pi@one"} | {option: value}
    told = error_of(ecgedge("board", "add", "pi4", *(word for pair in options.items() for word in pair)))
    assert not unseen(told) and not registry.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "nothing says where board arm64 is; --ssh USER@HOST, or --emulated CORE --rootfs FOLDER"),
        (("--ssh", "pi@one", "--emulated", "cortex-a76", "--rootfs", "."), "nothing says where"),
        (("--emulated", "cortex-a76"), "nothing says where"),
        (("--ssh", "pi@one", "--rootfs", "."), "nothing says where"),
        (("--emulated", "cortex-a76", "--rootfs", ".", "--python", "x"), "leave out --ssh-config and --python"),
        (("--emulated", "max", "--rootfs", "."), "unknown core 'max'"),
        (("--emulated", "cortex-a76", "--rootfs", "."), ""),
    ],
)
def test_where_a_board_is_has_to_be_said_once(
    ecgedge: Command, registry: Path, options: tuple[str, ...], told: str
) -> None:
    """The last has no root file system, and no emulator where that is not installed."""
    assert " ".join(told.split("; ")[:1]) in error_of(ecgedge("board", "add", "arm64", *options))
    assert not registry.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read"),
        ('{"version": 1, "boards": [{"ssh": "pi@one"}]}', "boards[0].name is missing"),
        ('{"version": 1, "boards": [{"name": "pi4"}]}', "nothing says where board pi4 is"),
        ('{"version": 1, "boards": [{"name": "pi4", "ssh": "-oProxyCommand=x"}]}', "no place that ssh can go to"),
        ('{"version": 1, "boards": [{"name": "pi4", "ssh": "a", "shell": "x"}]}', "has the key 'shell'"),
        ('{"version": 1, "boards": [{"name": "a", "ssh": "x"}, {"name": "a", "ssh": "y"}]}', "a board a twice"),
        ('{"version": 1, "boards": [{"name": "a", "ssh": "x", "ssh_config": "/\\u0000"}]}', "is no absolute path"),
        ('{"version": 1, "boards": [{"name": "a", "ssh": "x", "ssh_config": ""}]}', "is no absolute path"),
        ('{"version": 2}', "of version 2"),
    ],
)
def test_a_damaged_file_is_told_and_left_alone(ecgedge: Command, registry: Path, content: str, reason: str) -> None:
    registry.parent.mkdir()
    registry.write_text(content)
    for arguments in (("ls",), ("add", "pi5", "--ssh", "pi@one"), ("rm", "pi4")):
        told = error_of(ecgedge("board", *arguments))
        assert reason in told and str(registry) in told and "delete it and add the boards again" in told
    assert registry.read_text() == content and [*registry.parent.iterdir()] == [registry]


def test_the_file_can_be_no_folder(ecgedge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, Path("/")):
        monkeypatch.setenv("ECGEDGE_BOARDS", str(folder))
        for arguments in (("ls",), ("add", "pi5", "--ssh", "pi@one"), ("rm", "pi4")):
            assert f"{folder} cannot be read: Is a directory" in error_of(ecgedge("board", *arguments))


def test_a_path_that_the_file_cannot_hold_is_refused(ecgedge: Command, registry: Path, tmp_path: Path) -> None:
    """Or no board could be read any more."""
    (tmp_path / "\udcff").write_text("Host pi4\n")
    for option, value in (("--ssh-config", "\udcff"), ("--cache", "/\udcff"), ("--python", "\udcff")):
        assert "is no" in error_of(ecgedge("board", "add", "pi4", "--ssh", "pi@one", option, value))
    assert not registry.exists()


def test_the_file_says_what_was_named(ecgedge: Command, registry: Path) -> None:
    ecgedge("board", "add", "pi4", "--ssh", "pi@one", "--cache", "/mnt/usb/cache", "--cache-limit", "64")
    told = json.loads(registry.read_text())["boards"]
    assert [(one["name"], one["ssh"], one["cache"], one["cache_mib"]) for one in told] == [
        ("pi4", "pi@one", "/mnt/usb/cache", 64)
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("throttled=0x0", []),
        ("throttled=0x50005", ["under-voltage", "throttled", *(f"{word} since it was started" for word in SLOW)]),
        ("throttled=0x80000", ["too warm since it was started"]),
        ("VCHI initialization failed", None),
        ("throttled=0x1\x1b[2J", None),
    ],
)
def test_what_slows_a_raspberry_pi_down(said: str, told: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "THROTTLED", (sys.executable, "-c", f"print({said!r})"))
    assert device.throttled() == told
    monkeypatch.setattr(device, "THROTTLED", ("absent-command",))
    assert device.throttled() is None


@pytest.mark.parametrize(
    ("look", "told", "mend"),
    [
        (
            Look("/usr/bin/python3", "3.9.2", {"numpy": "1.19"}, "", 1),
            "is Python 3.9.2, a worker needs 3.11",
            "--python PATH",
        ),
        (Look("/usr/bin/python3", "3.13.0", {}, "", 1), "numpy is not installed there", "ecgedge board setup pi4"),
        (
            Look("x", "", {}, "No such file or directory", 1),
            "does not run there: No such file",
            "ecgedge board setup pi4",
        ),
        (Look("x", "\x1b[2J", {"numpy": "2"}, "", 1), "is Python \\u001b[2J, a worker needs", "--python PATH"),
    ],
)
def test_what_a_worker_lacks_there(look: Look, told: str, mend: str) -> None:
    lacking = lacks(Board("pi4", "pi@one"), look)
    assert lacking and told in lacking[0] and lacking[1].endswith(mend)
    assert lacks(Board("pi4", "pi@one"), Look("x", "3.11.2", {"numpy": "2"}, "", 1)) is None


def test_an_emulated_one_is_mended_here() -> None:
    """There is no setup of one."""
    board = Board("arm64", emulated="cortex-a76", rootfs=Path("/arm64"))
    for trouble, mend in (("", "docker/arm64-rootfs.sh /arm64"), ("unshare: Operation not permitted", "--privileged")):
        lacking = lacks(board, Look("x", "3.11.2", {}, trouble, 1))
        assert lacking and lacking[1].endswith(mend)
