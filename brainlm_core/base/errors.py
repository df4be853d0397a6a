"""Exceptions that a user may see: one sentence saying what is wrong and what to do.

Pages and the command line catch :class:`BrainLMError` and nothing wider; everything else is
a defect and must surface in the tests.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib

#: What numpy, zipfile and zlib raise on a damaged ``.npy`` or ``.npz``, found by ``python -m tests.fuzz``.
DAMAGED_ARRAYS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    NotImplementedError,
    RuntimeError,  # a password
    SyntaxError,
    MemoryError,  # Python's parser on a header of brackets without end
    SystemError,  # text that is no Unicode
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
#: A part of a sentence longer than this holds something that nobody reads.
_MAX_LENGTH = 400


def _plain(text: str) -> str:
    """Return text that a terminal and a page can show: one line, no control characters, not too long."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= _MAX_LENGTH else f"{shown[: _MAX_LENGTH - 1]}…"


class BrainLMError(Exception):
    """Base of all expected failures.

    Parameters
    ----------
    what : str
        What is wrong, in plain words, lower-case start, no full stop.
    fix : str
        What the reader can do about it, same form.
    """

    def __init__(self, what: str, fix: str) -> None:
        what, fix = _plain(what), _plain(fix)  # names in files may hold anything
        super().__init__(f"{what}; {fix}")
        self.what = what
        self.fix = fix


class ScanError(BrainLMError):
    """A scan cannot be read or must not be used as it is."""


class AtlasError(BrainLMError):
    """A parcellation is missing, damaged or does not fit the data."""


class CheckpointError(BrainLMError):
    """Weights do not fit the architecture that their configuration names."""


class DownloadError(BrainLMError):
    """A remote file cannot be had now; there is always an offline answer."""


class ConfigError(BrainLMError):
    """A setting is unknown, out of range, or contradicts another one."""


class EngineError(BrainLMError):
    """The model cannot run on this input or on this device."""


class AnalysisError(BrainLMError):
    """An analysis has too little, or unfit, data for an answer that means something."""
