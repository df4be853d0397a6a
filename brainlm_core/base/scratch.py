"""Temporary files that do not outlive the process, not even when it is killed.

Uploads pass through a folder on their way to parcel signals. A process that ends takes its folder along; one
that is killed cannot, and the next start removes what it left. A lock tells the two apart: the system lets
go of it when a process is gone, however it went.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; there nothing is swept
    fcntl = None  # type: ignore[assignment]

_PREFIX, _LOCK = "brainlm-scratch-", "lock"
_MAKING = threading.Lock()
_HOME: tuple[Path, int] | None = None


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder that only this user can read; it goes when the block ends.

    Raises
    ------
    OSError
        If there is no place for temporary files.
    """
    with tempfile.TemporaryDirectory(dir=_home()) as folder:
        yield Path(folder)


def sweep() -> int:
    """Remove what killed processes of this user have left; return how many there were."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_left_over(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed += not folder.exists()
    return removed


def _home() -> Path:
    """Return this process's folder, locked as long as the process lives."""
    global _HOME
    with _MAKING:
        if _HOME is not None and _HOME[0].is_dir():  # someone may tidy up temporary files
            return _HOME[0]
        made = Path(tempfile.mkdtemp(prefix="brainlm-new-"))
        lock = os.open(made / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)  # open as long as the process lives
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Under its final name only when it is locked: nobody may take it for left over.
        folder = made.with_name(made.name.replace("brainlm-new-", _PREFIX, 1))
        made.rename(folder)
        if _HOME is None:
            atexit.register(_remove_home, os.getpid())
        else:
            os.close(_HOME[1])
        _HOME = folder, lock
        return folder


def _remove_home(process: int) -> None:
    if _HOME is not None and os.getpid() == process:  # not a child that was forked off
        shutil.rmtree(_HOME[0], ignore_errors=True)


def _is_left_over(folder: Path) -> bool:
    """Whether a folder is this user's and its process is gone."""
    if fcntl is None:
        return False
    try:
        about = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or about.st_uid != os.geteuid():
            return False
        with (folder / _LOCK).open("r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked: alive; or going away just now
        return False
    return True
