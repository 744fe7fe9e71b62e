"""``ecgedge`` in a script of a test, forked by the process that ``ECGEDGE_FORKS`` tells: see ``forking.py``.

It hands on its streams, its environment and its folder, and ends as the command does. Few modules are imported here: it
takes a twentieth of the command's own start.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

known = json.loads(os.environ.pop("ECGEDGE_FORKS"))
environment = {**os.environ}
begun = {name: value for name, value in environment.items() if name.startswith(tuple(known["read"]))}
if begun != known["begun"]:  # the script has changed what Python reads at its start: only a start will do
    os.execvp("python", ["python", "-P", str(Path(__file__).with_name("brief.py")), *sys.argv[1:]])
told, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
with theirs, os.fdopen(os.memfd_create("question"), "w+", encoding="utf-8") as file:
    json.dump({"arguments": sys.argv[1:], "environment": environment, "folder": str(Path.cwd())}, file)
    file.seek(0)
    forks = socket.socket(fileno=known["socket"])
    socket.send_fds(forks, [b"run"], [theirs.fileno(), file.fileno(), 0, 1, 2])
number = int(told.recv(16))
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, lambda which, _: os.kill(number, which))
code = int(told.recv(16))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
