"""Sentences that several pages say in the same way."""

from __future__ import annotations

import html
import re

import streamlit as st

from brainlm_core.errors import BrainLMError
from brainlm_core.look.words import VERDICT_WORDS, capital, duration, legend, verdict

__all__ = [
    "VERDICT_WORDS",
    "capital",
    "duration",
    "facts",
    "how",
    "legend",
    "note",
    "refusal",
    "sentence",
    "typeset",
    "verdict",
]


def typeset(text: str) -> str:
    """Return a text with narrow spaces before percent signs, which do not break, and true minus signs."""
    return re.sub(r"(?<=\d) ?%", "\u202f%", re.sub(r"(?<![^\s(])-(?=\d)", "\u2212", text))


def sentence(text: str) -> None:
    """Draw the ONE sentence of a page, its heading for screen readers too."""
    st.html(f'<h1 class="b-one">{html.escape(typeset(text))}</h1>')


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
