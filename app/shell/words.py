"""Sentences that several pages say in the same way."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import streamlit as st

from brainlm_core.base.errors import BrainLMError
from brainlm_core.viz.words import VERDICT_WORDS, capital, duration, legend, verdict

__all__ = [
    "VERDICT_WORDS",
    "capital",
    "duration",
    "facts",
    "how",
    "legend",
    "note",
    "one_of_row",
    "refusal",
    "sentence",
    "typeset",
    "verdict",
]

T = TypeVar("T")


def typeset(text: str) -> str:
    """Return a text with narrow spaces before percent signs, which do not break, and true minus signs."""
    return re.sub(r"(?<=\d) ?%", "\u202f%", re.sub(r"(?<![^\s(])-(?=\d)", "\u2212", text))


def sentence(text: str) -> None:
    """Draw the ONE sentence of a page, its heading for screen readers too."""
    st.html(f'<h1 class="b-one">{html.escape(typeset(text))}</h1>')


def one_of_row(label: str, options: Sequence[T], **how: Any) -> T:
    """Draw a row of buttons of which exactly one is chosen; return it."""
    chosen = st.segmented_control(label, options, required=True, **how)
    assert chosen is not None  # Streamlit keeps one chosen where it must be
    return chosen


def note(text: str) -> None:
    """Draw a small line; ``text`` is plain text."""
    st.html(f'<p class="b-note">{html.escape(typeset(text))}</p>')


def refusal(error: BrainLMError) -> None:
    """Draw what is wrong and what to do, where the picture would be."""
    st.html(
        f'<div class="b-bad" role="alert"><b>{html.escape(capital(error.what))}</b>'
        f"{html.escape(capital(error.fix))}</div>"
    )


def facts(rows: list[tuple[str, str]]) -> None:
    """Draw names and values in two columns; both are plain text."""
    cells = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows)
    st.html(f'<dl class="b-facts">{cells}</dl>')


def how(steps: list[str], reference: str, not_shown: str) -> None:
    """Draw "how this is computed": short numbered lines, the reference, and the limits of the picture."""
    st.markdown("\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1)))
    note(f"Reference: {reference}")
    note(f"What this does not show: {not_shown}")
