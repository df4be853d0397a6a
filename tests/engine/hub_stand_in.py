"""A Hugging Face hub on the loopback interface: the recorded history of the real repository, cut at will.

Commits, branches and digests come from ``recorded_hub.json``, written down from the repository's own pages;
nothing here is taken from the code under test.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants  # noqa: F401  (its address is read once, before a test changes it)

RECORDED = json.loads(Path(__file__).with_name("recorded_hub.json").read_text(encoding="utf-8"))
REPOSITORY: str = RECORDED["repository"]
#: Head of the branch that users see.
COMMIT: str = RECORDED["branches"]["main"]["head"]


@dataclass
class Hub:
    """The stand-in.

    Parameters
    ----------
    folder : Path
        What the repository holds.
    commit : str
        The only commit that it answers for.
    cut_after : int or None
        Bytes of a large file after which the connection breaks.
    down : bool
        Every connection is dropped without an answer.
    silent_s : float
        Every answer waits so long.
    garble : bool
        Large files arrive with one wrong byte.
    ranges : bool
        Whether it knows the Range header.
    gets : list of (str, str)
        Path and Range header of each file that was asked for.
    """

    folder: Path
    commit: str = COMMIT
    cut_after: int | None = None
    down: bool = False
    silent_s: float = 0.0
    garble: bool = False
    ranges: bool = True
    gets: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def names(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file())


#: Files from this size on are stored as large files, named by their SHA-256.
LARGE = 100_000


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """Answer on a free port until the block ends."""
    state = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@lru_cache
def _etag(path: Path) -> str:
    """Return the name that the hub gives a file; asked for often, and a large file takes seconds."""
    content = path.read_bytes()
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content)
    return (hashlib.sha256(content) if len(content) >= LARGE else git).hexdigest()


def _handler(state: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return None

        def do_HEAD(self) -> None:
            self.answer(head=True)

        def do_GET(self) -> None:
            self.answer(head=False)

        def answer(self, *, head: bool) -> None:
            path = self.path.partition("?")[0]
            files = f"/{REPOSITORY}/resolve/{state.commit}/"
            time.sleep(state.silent_s)
            if state.down:
                self.close_connection = True
            elif path.startswith(files) and (name := path.removeprefix(files)) in state.names():
                self.file(name, head)
            else:
                self.missing()

        def missing(self) -> None:
            known = state.commit in self.path
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RevisionNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def file(self, name: str, head: bool) -> None:
            size, etag = (state.folder / name).stat().st_size, _etag(state.folder / name)
            large = size >= LARGE
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", state.commit)
            self.send_header("Content-Length", str(size - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.end_headers()
            if head:
                return
            state.gets.append((name, asked))
            content = (state.folder / name).read_bytes()
            if large and state.garble:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if large and state.cut_after is not None:
                self.wfile.write(content[start : state.cut_after])
                self.close_connection = True
            else:
                self.wfile.write(content[start:])

    return Handler
