"""Files that are there wholly or not at all: written beside, then renamed.

A full disk, a read-only folder or a killed process leaves what was there before.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainlm_core.errors import ConfigError


def cannot_write(path: Path, error: OSError) -> ConfigError:
    """Return the sentence for a file that cannot be written; what was there before is still there."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfigError(
            f"the disk is full, {path.name} was not written", "free some space and run the same command again"
        )
    return ConfigError(f"{path.name} cannot be written", "choose another place, or check the permissions")


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
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))  # same disk: moving is renaming
        try:
            yield part
            for path in sorted(part.iterdir()):
                path.replace(folder / path.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise cannot_write(about or folder, error) from error
