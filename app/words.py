"""Sentences that several pages say in the same way."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import streamlit as st

from app.brain_view import Category
from brainlm_core.errors import BrainLMError

#: Hints for the command line, in brackets, that mean nothing on a page.
_FLAGS = re.compile(r"\s*\(--[^)]*\)")
VERDICT_WORDS = {"good": "Good", "usable": "Usable with care", "poor": "Not fit for analysis"}
_VERDICT_SIGNS = {"good": "●", "usable": "▲", "poor": "■"}


def duration(seconds: float) -> str:
    """Return ``3 min 36 s``; thin spaces before units, and no line break inside."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}\u202fmin\u00a0{rest:02d}\u202fs" if minutes else f"{rest}\u202fs"


def sentence(text: str) -> None:
    """Draw the ONE sentence of a page, its heading for screen readers too."""
    st.html(f'<h1 class="b-one">{html.escape(text)}</h1>')


def note(text: str) -> None:
    """Draw a small line; ``text`` is plain text."""
    st.html(f'<p class="b-note">{html.escape(text)}</p>')


def capital(text: str) -> str:
    """Return text as a sentence of the page: full stop, no flags, capital unless a file name comes first."""
    text = _FLAGS.sub("", text.strip())
    if re.match(r"[a-z]+(?:'s)?\b(?![._-])", text):
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


def refusal(error: BrainLMError) -> None:
    """Draw what is wrong and what to do, where the picture would be."""
    st.html(
        f'<div class="b-bad" role="alert"><b>{html.escape(capital(error.what))}</b>'
        f"{html.escape(capital(error.fix))}</div>"
    )


def verdict(word: str) -> str:
    """Return a quality verdict as HTML: sign and word, so that colour is not needed."""
    sign = f'<span aria-hidden="true">{_VERDICT_SIGNS[word]}</span>'
    return f'<span class="b-verdict {word}">{sign}{VERDICT_WORDS[word]}</span>'


def legend(categories: Sequence[Category]) -> str:
    """Return colours with their names as HTML."""
    cells = "".join(
        f'<span><i style="background:{c.colour}"></i>{html.escape(c.name)}</span>' for c in categories
    )
    return f'<div class="b-legend">{cells}</div>'


def facts(rows: list[tuple[str, str]]) -> None:
    """Draw names and values in two columns; both are plain text."""
    cells = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows)
    st.html(f'<dl class="b-facts">{cells}</dl>')


def how(steps: list[str], reference: str, not_shown: str) -> None:
    """Draw "how this is computed": short numbered lines, the reference, and the limits of the picture."""
    st.markdown("\n".join(f"{i}. {step}" for i, step in enumerate(steps, 1)))
    note(f"Reference: {reference}")
    note(f"What this does not show: {not_shown}")
