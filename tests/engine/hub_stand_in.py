"""A Hugging Face hub of one repository on the loopback interface, whose connection can be cut."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants  # noqa: F401  (its address is read once, before a test changes it)

from brainlm_core import hub

COMMIT = hub.PINNED_REVISION + "0" * (40 - len(hub.PINNED_REVISION))


@dataclass
class Hub:
    """The stand-in.

    Parameters
    ----------
    folder : Path
        What the repository holds.
    commits : list of str
        Its history.
    cut_after : int or None
        Bytes of a large file after which the connection breaks.
    down : bool
        Every connection is dropped without an answer.
    garble : bool
        Large files arrive with one wrong byte.
    ranges : bool
        Whether it knows the Range header.
    gets : list of (str, str)
        Path and Range header of each file that was asked for.
    """

    folder: Path
    commits: list[str] = field(default_factory=lambda: [COMMIT, "a" * 40])
    cut_after: int | None = None
    down: bool = False
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
            files, listing = f"/{hub.REPOSITORY}/resolve/{COMMIT}/", f"/api/models/{hub.REPOSITORY}/"
            if state.down:
                self.close_connection = True
            elif path.startswith(f"{listing}commits/"):
                self.json([_commit(c) for c in state.commits])
            elif path == f"{listing}tree/{COMMIT}":
                self.json([{"type": "file", "path": n, "size": 1, "oid": "0" * 40} for n in state.names()])
            elif path.startswith(files) and (name := path.removeprefix(files)) in state.names():
                self.file(name, head)
            else:
                self.send_error(404)

        def json(self, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def file(self, name: str, head: bool) -> None:
            content = (state.folder / name).read_bytes()
            large = len(content) >= LARGE
            git = hashlib.sha1(f"blob {len(content)}\0".encode() + content)
            etag = (hashlib.sha256(content) if large else git).hexdigest()
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if head:
                return
            state.gets.append((name, asked))
            if large and state.garble:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if large and state.cut_after is not None:
                self.wfile.write(content[start : state.cut_after])
                self.close_connection = True
            else:
                self.wfile.write(content[start:])

    return Handler


def _commit(name: str) -> dict[str, object]:
    return {"id": name, "title": "x", "message": "", "date": "2024-01-01T00:00:00.000Z", "authors": []}
