"""What is damaged, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainlm_core.base.errors import BrainLMError
from tests.fuzz.mutations import Part

#: A sentence longer than this is no sentence.
MAX_SENTENCE = 700
#: Every input lies in a folder of this name, which no message may show.
CASE_FOLDER = "fuzz-case"


class BrokenPromise(AssertionError):
    """A message or a result that the house does not allow."""


@dataclass(frozen=True)
class Target:
    """One reader or parser.

    Parameters
    ----------
    name : str
    file_name : str
        What the damaged input is called.
    parts : callable
        Returns the parts of the healthy inputs.
    run : callable
        ``run(path, option)`` reads the input; may raise BrainLMError, and nothing else.
    """

    name: str
    file_name: str
    parts: Callable[[], tuple[Part, ...]]
    run: Callable[[Path, int], None]

    def hold(self, path: Path, option: int) -> bool:
        """Read an input; return whether it was accepted.

        Raises
        ------
        BrokenPromise
            If the refusal is not one printable sentence without a path.
        Exception
            Whatever the reader let through.
        """
        try:
            self.run(path, option)
        except BrainLMError as error:
            _check_sentence(error)
            return False
        return True


def _check_sentence(error: BrainLMError) -> None:
    text = str(error)
    if not text.isprintable():
        raise BrokenPromise(f"not printable: {text!r}")
    if CASE_FOLDER in text:
        raise BrokenPromise(f"shows a path: {text}")
    if len(text) > MAX_SENTENCE or not error.what.strip() or not error.fix.strip():
        raise BrokenPromise(f"no sentence: {text[:200]!r} of {len(text)} characters")


def all_targets() -> dict[str, Target]:
    """Return every target by name, scans first."""
    from tests.fuzz.bomb_targets import BOMB_TARGETS
    from tests.fuzz.scan_targets import SCAN_TARGETS
    from tests.fuzz.value_targets import VALUE_TARGETS

    return {t.name: t for t in (*SCAN_TARGETS, *BOMB_TARGETS, *VALUE_TARGETS)}
