"""What libraries print beside this program's own sentence is not for the reader's eyes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def quiet_nibabel() -> None:
    """Keep nibabel from saying on stderr what it repairs in headers; what matters is said in a sentence."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"nibabel\.")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)


@contextmanager
def quiet_old_headers() -> Iterator[None]:
    """Keep numpy from advising to save an array again that Python 2 wrote: it is read all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Reading `.npy` or `.npz` file required", UserWarning)
        yield
