"""Limits on what visitors upload: counted before and while it comes in, not after it lies in memory."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

#: Megabytes and files that one session, and megabytes that all of them, may have uploaded at any one time.
SESSION_MB_VARIABLE = "BRAINLM_SESSION_UPLOAD_MB"
SESSION_FILES_VARIABLE = "BRAINLM_SESSION_UPLOAD_FILES"
ALL_MB_VARIABLE = "BRAINLM_UPLOADS_MB"
DEFAULT_SESSION_FILES = 32
_MB = 1 << 20
#: What a form adds to the file that it carries, in bytes.
_FRAME = _MB


@dataclass(frozen=True)
class UploadLimits:
    """How much may be uploaded.

    Parameters
    ----------
    session_bytes, all_bytes : int
        By one session, by all.
    session_files : int
        By one session.
    """

    session_bytes: int
    all_bytes: int
    session_files: int = DEFAULT_SESSION_FILES

    @classmethod
    def from_environment(cls, largest_file_mb: float) -> UploadLimits:
        """Return the limits that the environment names.

        By default a session may hold one file of the largest size and its companions, all sessions together
        half of the machine's memory (but always one such session).
        """
        session = _positive(SESSION_MB_VARIABLE, largest_file_mb + 64) * _MB
        half = _memory_bytes() // 2
        everybody = _positive(ALL_MB_VARIABLE, max(half, session) / _MB) * _MB
        files = int(_positive(SESSION_FILES_VARIABLE, DEFAULT_SESSION_FILES))
        return cls(int(session), int(everybody), files)


def _positive(variable: str, default: float) -> float:
    from brainlm_core.base.errors import ConfigError

    text = os.environ.get(variable, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e9:
        raise ConfigError(f"{variable} is {text!r}", "give a number of 1 or more")
    return value


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


class UploadMeter:
    """Counts what is on its way in, and says when it is too much.

    Parameters
    ----------
    limits : UploadLimits
    held : callable
        Number and sum in bytes of the files that the server holds for a session.
    held_by_all : callable
        Sum in bytes of all files that it holds.
    """

    def __init__(
        self, limits: UploadLimits, held: Callable[[str], tuple[int, int]], held_by_all: Callable[[], int]
    ) -> None:
        self.limits, self._held, self._held_by_all = limits, held, held_by_all
        self._coming: dict[str, dict[object, int]] = defaultdict(dict)
        self._refused: dict[str, str] = {}
        self._lock = threading.Lock()

    def begin(self, session: str, declared: int) -> tuple[object | None, str]:
        """Reserve room for a body of ``declared`` bytes; return a ticket, or None and the sentence."""
        with self._lock:
            sentence = self._too_much(session, declared, n_more=1)
            if sentence:
                self._remember(session, sentence)
                return None, sentence
            ticket = object()
            self._coming[session][ticket] = declared
            return ticket, ""

    def received(self, session: str, ticket: object, n_bytes: int) -> str:
        """Note how much has come in so far; return the sentence when it is too much, else nothing."""
        with self._lock:
            reserved = self._coming[session].get(ticket, 0)
            if n_bytes <= reserved:
                return ""
            sentence = self._too_much(session, n_bytes - reserved, n_more=0)
            if sentence:
                self._remember(session, sentence)
            else:
                self._coming[session][ticket] = n_bytes
            return sentence

    def end(self, session: str, ticket: object) -> None:
        """Give reserved room back: what came in is among what the server holds, or gone."""
        with self._lock:
            self._coming[session].pop(ticket, None)
            if not self._coming[session]:
                del self._coming[session]

    def take_refusal(self, session: str) -> str:
        """Return, once, why this session's last upload was refused; empty when none was."""
        with self._lock:
            return self._refused.pop(session, "")

    def _remember(self, session: str, sentence: str) -> None:
        self._refused[session] = sentence
        while len(self._refused) > 1000:  # of sessions that never asked
            self._refused.pop(next(iter(self._refused)))

    def _too_much(self, session: str, more: int, *, n_more: int) -> str:
        limits, coming = self.limits, self._coming.get(session, {})
        n_files, n_bytes = self._held(session)
        if n_more and n_files + len(coming) + n_more > limits.session_files:
            return (
                f"{limits.session_files} uploaded files are the most that one visitor may have here at a "
                "time; take some away and drop the file again."
            )
        frames = _FRAME * (len(coming) + n_more)
        if n_bytes + sum(coming.values()) + more > limits.session_bytes + frames:
            return (
                f"{limits.session_bytes // _MB} MB are the most that one visitor may have uploaded here at a "
                "time; take a file away, or use the command line on your own machine."
            )
        everybody = sum(sum(tickets.values()) for tickets in self._coming.values())
        if self._held_by_all() + everybody + more > limits.all_bytes + frames:
            return (
                "This server holds as many uploads as it can at the moment; try again in a minute, or use "
                "the command line on your own machine."
            )
        return ""
