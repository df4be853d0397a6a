"""Files that are there wholly or not at all, for their owner alone, written by one process at a time.

Written beside, then renamed: a full disk, a read-only folder or a killed process leaves what was there
before. What is written here is about people, so other accounts of the machine may not read it; whoever wants
them to changes the permissions of the files, and of the folder, which are left alone from then on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

from brainlm_core.base.errors import ConfigError


def cannot_write(path: Path, error: OSError) -> ConfigError:
    """Return the sentence for a file that cannot be written; what was there before is still there."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfigError(
            f"the disk is full, {path.name} was not written", "free some space and run the same command again"
        )
    return ConfigError(f"{path.name} cannot be written", "choose another place, or check the permissions")


@contextmanager
def private_files() -> Iterator[None]:
    """Let everything that this process and its children make be for its owner alone; for commands."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(folder: str | Path) -> Path:
    """Make a folder, and those above that are missing, for its owner alone; leave one that is there."""
    folder = Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # says what is wrong when a file is in its place
    return folder


def keep_private(path: Path) -> None:
    """Take a file or folder of ours from everybody but its owner."""
    if not path.is_symlink():
        path.chmod(0o700 if path.is_dir() else 0o600)


@contextmanager
def one_writer(place: str | Path, *, inside: bool = False) -> Iterator[None]:
    """Hold a folder, or a file that is about to be, for one process that writes it.

    Parameters
    ----------
    place : path
        What is written; it need not be there yet. The lock is the file ``.NAME.lock`` beside it. It goes when
        the writer has ended; the system frees it when the writer is killed.
    inside : bool
        Whether the lock is ``.lock`` in the folder itself: it is there, and its own place may be read-only.

    Raises
    ------
    ConfigError
        If another process is writing there, or the place cannot be written.
    """
    place = Path(os.path.realpath(place))
    lock = place / ".lock" if inside else place.with_name(f".{place.name}.lock")
    try:
        private_folder(lock.parent)
        stream = _locked(lock)
    except BlockingIOError as error:
        raise ConfigError(f"another process is writing to {place.name}", "wait until it has ended") from error
    except OSError as error:
        raise cannot_write(place, error) from error
    with stream:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def _locked(lock: Path) -> IO[bytes]:
    """Return the open lock file; BlockingIOError when another process holds it."""
    while True:
        stream = os.fdopen(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600), "r+b")
        try:
            if fcntl is None:  # Windows has no flock
                return stream
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(lock.stat(), os.fstat(stream.fileno())):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()  # whoever held it took the file away meanwhile


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes ``path`` when the block ends well. Missing folders are made.

    Raises
    ------
    ConfigError
        If the disk is full or the place cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    if path.exists() and not path.is_file():  # a device or a pipe takes bytes as they come
        try:
            yield path
        except OSError as error:
            raise cannot_write(path, error) from error
        return
    with whole_files(path.parent, about=path) as part:
        yield part / path.name


@contextmanager
def whole_files(folder: str | Path, *, about: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder; what the block writes there moves into ``folder`` when it ends well.

    Parameters
    ----------
    folder : path
        Made when it is missing; files of other names in it stay.
    about : Path, optional
        What the sentence is about, ``folder`` by default.

    Raises
    ------
    ConfigError
        If the disk is full or the place cannot be written; nothing in ``folder`` has changed then.
    """
    folder = Path(folder)
    try:
        private_folder(folder)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))  # same disk: moving is renaming
        try:
            yield part
            for path in sorted(part.iterdir()):
                keep_private(path)
                path.replace(folder / path.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise cannot_write(about or folder, error) from error
