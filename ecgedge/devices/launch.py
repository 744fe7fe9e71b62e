"""The first lines of every child process, ``PYTHON launch.py MODULE ARGUMENTS``: they limit it, then run the module.

They stand apart from ecgedge because they come before it. A process can leave the network only while it has one thread,
and numpy starts more. In an environment of its own, which holds a plugin's libraries, ecgedge is not installed at all:
it and the plugins are found where the parent has them, so that both sides are of one version, and nothing else there
is found: ``ECGEDGE_GUESTS`` says what lies where.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import runpy
import struct
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

MEMORY = "ECGEDGE_MEMORY"  # bytes that its data may take
NETWORK = "ECGEDGE_NETWORK"  # "none": it is to have none; what became of that is put there for the module
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38  # linux/prctl.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3, linux/capability.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h
SYSTEMS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # AUDIT_ARCH_*, and the number of socket()
IO_URING_SETUP, X32 = 425, 0x40000000  # calls by which a socket could be had besides
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # linux/seccomp.h


class Guests:
    """Finds top-level packages and modules, each in a folder of its own choice."""

    def __init__(self, places: Mapping[str, str]):
        self.places = places

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [self.places[name]]) if name in self.places else None


def main() -> None:
    limit_memory()
    if os.environ.get(NETWORK) == "none":
        os.environ[NETWORK] = leave_network()
    if guests := os.environ.get("ECGEDGE_GUESTS"):
        sys.meta_path.insert(0, Guests(json.loads(guests)["places"]))
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def limit_memory() -> None:
    """Be the first to go when memory runs out, and keep the data to ``MEMORY`` bytes."""
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if limit := os.environ.get(MEMORY):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (int(limit), resource.getrlimit(resource.RLIMIT_DATA)[1]))


def leave_network() -> str:
    """Let this process, and whatever it starts, reach no network, where the system allows that.

    Returns:
        ``"namespace"``: it is in a network of its own, with nothing but a loopback; ``"filter"``: it can make no
        socket but those between processes of this machine; else why it still has the network, in a few words.
    """
    if sys.platform != "linux":
        return f"{platform.system()} cannot take the network from a process"
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET) == 0:
        raise_loopback()
        return "namespace"
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with contextlib.suppress(OSError):
                Path("/proc/self", name).write_text(text, encoding="ascii")
        raise_loopback()
        libc.capset((ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)())  # it gave all, over nothing
        return "namespace"
    reason = os.strerror(ctypes.get_errno())
    return "filter" if refuse_sockets(libc) else f"unshare: {reason}"


def raise_loopback() -> None:
    """A new network has a loopback that is down; some libraries talk to themselves by it."""
    import fcntl  # not on Windows
    import socket

    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def refuse_sockets(libc: Any) -> bool:
    """Have the kernel refuse all sockets but those of the family AF_UNIX; whether it does."""
    if platform.machine() not in SYSTEMS or sys.byteorder != "little":
        return False
    system, socket_call = SYSTEMS[platform.machine()]
    program = [  # what is compared, and how many instructions are left out where it is so, and where it is not
        (LOAD, 0, 0, 4),  # the system that the call is of
        (EQUAL, 0, 7, system),
        (LOAD, 0, 0, 0),  # its number
        (AT_LEAST, 5, 0, X32),
        (EQUAL, 5, 0, IO_URING_SETUP),
        (EQUAL, 0, 2, socket_call),
        (LOAD, 0, 0, 16),  # its first argument
        (EQUAL, 0, 1, 1),  # AF_UNIX
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EACCES),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
    ]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    told = struct.pack("@HP", len(program), ctypes.addressof(packed))  # struct sock_fprog, with its padding
    if libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        return False
    return not libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.c_char_p(told))  # SECCOMP_MODE_FILTER


if __name__ == "__main__":
    main()
