"""What the columns of a cohort are called in pictures: as in sentences."""

from __future__ import annotations

from brainlm_core.cohort.columns import WORDS, words

__all__ = ["WORDS", "words"]
