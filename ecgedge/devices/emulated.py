"""An aarch64 board that is none: this machine's processor plays another one, on files of that one's own (QEMU's user
mode). Its answers are those of the emulated instructions; its times say nothing. Another x86-64 core, with fewer
instructions, is played on the files of this machine.

The keeper is a process of this machine; the worker's interpreter alone is emulated. LiteRT and onnxruntime choose their
kernels by ``/proc/cpuinfo``, which would be that of this machine: the worker sees a made-up one.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ecgedge.devices.boards import Board
from ecgedge.devices.ssh import START
from ecgedge.errors import EcgEdgeError, unknown

EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
PYTHON = "usr/bin/python3"  # in the root file system
SHOWN = 'mount --bind "$0" /proc/cpuinfo && exec "$@"'  # in a namespace of its own
BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
LATER = f"{BASE} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"  # ARMv8.2, with dot products of 8-bit integers


@dataclass(frozen=True)
class Core:
    """A processor core of Arm's.

    Attributes:
        part: its number, as ``MIDR_EL1`` has it.
        features: as ``/proc/cpuinfo`` names them, no more than the emulator has.
    """

    part: str
    features: str


CORES = {  # by their names in QEMU
    "cortex-a53": Core("0xd03", BASE),
    "cortex-a57": Core("0xd07", BASE),
    "cortex-a72": Core("0xd08", BASE),
    "cortex-a76": Core("0xd0b", LATER),
    "neoverse-n1": Core("0xd0c", LATER),
}


X86_EMULATORS = ("qemu-x86_64-static", "qemu-x86_64")
X86_CORES = {  # by their names in QEMU, whose user mode knows none with AVX-512; what their vectors are
    "Haswell": "AVX2, without VNNI",
    "Nehalem": "SSE4.2, without AVX",
}


def x86_command(core: str) -> tuple[str, ...]:
    """What runs a program of this x86-64 machine on another core of that family, put before its own command.

    Raises:
        EcgEdgeError: it cannot be emulated here.
    """
    if core not in X86_CORES:
        raise unknown("core", core, [*X86_CORES])
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise EcgEdgeError(f"{core} is emulated on x86-64 Linux alone", "ask there")
    emulator = next(filter(None, map(shutil.which, X86_EMULATORS)), None)
    if not emulator:
        raise EcgEdgeError("qemu-x86_64 is not installed", "on Debian: apt-get install qemu-user-static")
    return emulator, "-cpu", core


class Emulator:
    """The way to an emulated board, with the names that ``ssh.Control`` has.

    Raises:
        EcgEdgeError: it cannot be emulated here: what is missing, and how to get it.
    """

    def __init__(self, board: Board):
        assert board.emulated and board.rootfs
        self.board = board
        if board.emulated not in CORES:
            raise unknown("core", board.emulated, [*CORES])
        emulator = next(filter(None, map(shutil.which, EMULATORS)), None)
        for found, what, package in (
            (emulator, "qemu-aarch64", "qemu-user-static"),
            (shutil.which("unshare"), "unshare", "util-linux"),
        ):
            if not found:
                raise EcgEdgeError(f"{what} is not installed", f"on Debian: apt-get install {package}")
        if not (board.rootfs / PYTHON).exists():
            told = f"{board.rootfs} is no root file system with Python: it has no {PYTHON}"
            raise EcgEdgeError(told, "docker/arm64-rootfs.sh makes one")
        self.emulator = str(emulator)
        self.folder = Path(tempfile.mkdtemp(prefix="ecgedge-"))

    @property
    def interpreter(self) -> list[str]:
        """The command of a worker's interpreter."""
        assert self.board.emulated and self.board.rootfs
        shown = self.folder / "cpuinfo"
        if not shown.exists():
            shown.write_text(cpuinfo(CORES[self.board.emulated]), encoding="ascii")
        apart = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        emulated = [self.emulator, "-cpu", self.board.emulated, "-L", str(self.board.rootfs)]
        return [*apart, "sh", "-c", SHOWN, str(shown), *emulated, str(self.board.rootfs / PYTHON)]

    def keeper(self, size: int) -> list[str]:
        """The command that starts a keeper, whose text of so many bytes it reads from its stdin."""
        return [sys.executable, "-I", "-c", START, str(size)]

    def close(self) -> None:
        """Give back what it holds."""
        shutil.rmtree(self.folder, ignore_errors=True)


def cpuinfo(core: Core) -> str:
    """What Linux would tell of a machine with one such core."""
    told = {
        "processor": "0",
        "BogoMIPS": "100.00",
        "Features": core.features,
        "CPU implementer": "0x41",  # Arm
        "CPU architecture": "8",
        "CPU variant": "0x1",
        "CPU part": core.part,
        "CPU revision": "0",
    }
    return "".join(f"{name}\t: {value}\n" for name, value in told.items()) + "\n"
