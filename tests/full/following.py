"""A worker whose working folder is that of the process that asks it, as if it had just been started."""

import os
from pathlib import Path

from ecgedge.workers import server

answer = server.reply


def reply(worker: server.Worker, line: str) -> str:
    os.chdir(Path(f"/proc/{os.getppid()}/cwd").readlink())
    return answer(worker, line)


if __name__ == "__main__":
    server.reply = reply
    server.main()
