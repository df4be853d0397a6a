"""Many starts of the server for the price of one: Streamlit is imported once, each start is a fork.

Reads lines of JSON, ``{"argv": […], "env": {…}, "wait_s": …}``, and answers each with exit code and what was
said. A start that has not ended by itself within the wait serves: it is ended and answered with ``null``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

#: Longest wait by default, in s.
WAIT_S = 20.0


def start(argv: list[str], env: dict[str, str], log: Path) -> None:
    os.environ.update(env)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.setsid()
    sys.argv = ["streamlit", *argv]
    from streamlit.web.cli import main

    try:
        main()
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)


def serve() -> None:
    import streamlit.web.bootstrap  # noqa: F401
    import uvicorn  # noqa: F401

    import app.shell.server  # noqa: F401  (what costs is the import; nothing is decided yet)

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        for line in sys.stdin:
            task = json.loads(line)
            child = os.fork()
            if not child:
                start(task["argv"], task["env"], log)
            deadline = time.monotonic() + task.get("wait_s", WAIT_S)
            ended, code = 0, None
            while not ended and time.monotonic() < deadline:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    code = os.waitstatus_to_exitcode(status)
                time.sleep(0.02)
            if not ended:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
            print(json.dumps({"code": code, "said": log.read_text(errors="replace")}), flush=True)


if __name__ == "__main__":
    serve()
