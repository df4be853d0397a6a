"""What a process that reads a scan may open: the files it was handed, the program's own, and its scratch.

An audit hook (PEP 578) sees every file, connection and program that Python is about to open, and refuses what
is not on the list. It is no sandbox against code that runs already; it stops a reader that was talked into
following a name.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainlm_core.base.paths import assets_dir, cache_dir

#: Events that no reader needs, by prefix.
_NEVER = (
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "pty.",
    "pickle.find_class", "ftplib.", "smtplib.", "telnetlib.", "imaplib.", "poplib.", "webbrowser.",
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
    "socket.gethostby", "urllib.", "http.client.", "winreg.", "ctypes.dlopen",
    "os.chown", "os.link", "os.symlink",
)  # fmt: skip
_LOOKS = ("os.listdir", "os.scandir")
_CHANGES = (
    "os.chmod",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.rename",
    "os.truncate",
    "os.utime",
    "shutil.",
    "tempfile.",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SYSTEM = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys", "/etc/localtime",
           "/usr/share", "/usr/lib", "/dev/null", "/dev/urandom")  # fmt: skip
#: Known atlases are fetched by their names and proved by their digests; files never say what is fetched.
_fetching = 0
#: Whether this process reads what may end it: a child that was made for that.
_here = False


class ForbiddenFile(PermissionError):
    """A reader was about to open what it was not handed."""


@contextmanager
def fetching() -> Iterator[None]:
    """Allow connections while a known atlas is fetched into the cache."""
    global _fetching
    _fetching += 1
    try:
        yield
    finally:
        _fetching -= 1


@contextmanager
def read_here() -> Iterator[None]:
    """Let :func:`brainlm_core.scans.read_scan` read in this process even what may end it."""
    global _here
    before, _here = _here, True
    try:
        yield
    finally:
        _here = before


def reads_here() -> bool:
    """Whether what may end the process that reads it is read in this one."""
    return _here


@dataclass(frozen=True)
class Allowed:
    """Places that may be opened.

    Parameters
    ----------
    files : frozenset of str
        Absolute paths, only these.
    folders : tuple of str
        Everything below may be read.
    beside : tuple of str
        Folders whose own ``.json`` and ``.tsv`` may be read, as BIDS inherits them.
    scratch : tuple of str
        Everything below may be written too.
    """

    files: frozenset[str]
    folders: tuple[str, ...]
    beside: tuple[str, ...]
    scratch: tuple[str, ...]

    def refusal(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        """Return what is wrong with something that is about to happen; None when nothing is."""
        if event.startswith(_NEVER):
            if _fetching or (event == "ctypes.dlopen" and self._may_load(arguments[0])):
                return None
            return event
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & _WRITING) if isinstance(flags, int) else any(c in str(mode) for c in "wax+")
            return None if self._may_open(path, writes) else f"{'writes' if writes else 'opens'} {path!r}"
        if event in _LOOKS:
            return (
                None if self._may_open(arguments[0] or ".", False, look=True) else f"{event} {arguments[0]!r}"
            )
        if event.startswith(_CHANGES):
            named = [a for a in arguments if isinstance(a, str | bytes | os.PathLike)]
            return None if all(self._may_open(p, True) for p in named) else f"{event} {named!r}"
        return None

    def _may_open(self, path: Any, writes: bool, look: bool = False) -> bool:
        if isinstance(path, int):
            return True  # already open
        plain = os.path.abspath(os.fsdecode(path))
        if _below(plain, self.scratch) or plain == os.devnull:
            return True
        if writes:
            return bool(_fetching)
        if plain in self.files or _below(plain, self.folders):
            return True
        folder, name = os.path.split(plain)
        return (plain if look else folder) in self.beside and (look or name.endswith((".json", ".tsv")))

    def _may_load(self, library: Any) -> bool:
        """Whether a shared library is the program's own; by bare name the system's loader finds it."""
        return (
            library is None
            or os.path.basename(str(library)) == str(library)
            or self._may_open(library, False)
        )


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == f or path.startswith(f.rstrip(os.sep) + os.sep) for f in folders)


def own_folders() -> tuple[str, ...]:
    """Return where the program, its libraries, its assets and its cache lie."""
    package = Path(__file__).resolve().parents[2]
    found = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(package), str(assets_dir())]
    found += [
        p for p in sys.path if p and os.path.basename(p.rstrip(os.sep)) in ("site-packages", "lib-dynload")
    ]
    found += [str(cache_dir()), *_SYSTEM]
    return tuple(dict.fromkeys(p for raw in found for p in (os.path.abspath(raw), os.path.realpath(raw))))


def watch(allowed: Allowed, on_refusal: Callable[[str], None] | None = None) -> None:
    """Hold this process to a list for the rest of its life; hooks cannot be taken away.

    Parameters
    ----------
    allowed : Allowed
    on_refusal : callable, optional
        Told what was refused.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        refused = allowed.refusal(event, arguments)
        if refused is not None:
            if on_refusal is not None:
                on_refusal(refused)
            raise ForbiddenFile(f"not handed to the reader: {refused}")

    sys.addaudithook(hook)
