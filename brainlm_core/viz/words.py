"""How things are called in pictures and sentences, on pages and in reports."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import numpy as np

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.recording import Recording
from brainlm_core.viz.palette import GROUP_ORDER, group_words
from brainlm_core.viz.panels import Category

#: Hints for the command line, in brackets, that mean nothing on a page.
_FLAGS = re.compile(r"\s*\(--[^)]*\)")
VERDICT_WORDS = {"good": "Good", "usable": "Usable with care", "poor": "Not fit for analysis"}
_VERDICT_SIGNS = {"good": "●", "usable": "▲", "poor": "■"}


def duration(seconds: float) -> str:
    """Return ``3 min 36 s``; thin spaces before units, and no line break inside."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}\u202fmin\u00a0{rest:02d}\u202fs" if minutes else f"{rest}\u202fs"


def capital(text: str) -> str:
    """Return text as a sentence of the page: full stop, no flags, capital unless a file name comes first."""
    text = _FLAGS.sub("", text.strip())
    if re.match(r"[a-z]+(?:'s)?\b(?![._-])", text):
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


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


def groups_present(parcellation: Parcellation) -> tuple[str, ...]:
    """Return the groups that occur, in the house order."""
    present = set(parcellation.group)
    return tuple(g for g in GROUP_ORDER if g in present)


def label(parcellation: Parcellation, parcel: int) -> str:
    """Return ``name · network`` of a parcel."""
    return f"{parcellation.names[parcel]} · {group_words(parcellation.group[parcel])}"


def quality_facts(recording: Recording) -> list[tuple[str, str]]:
    """Return the quality figures that are known, with units; empty without a quality check."""
    quality = recording.quality
    if quality is None:
        return []
    rows = [
        ("Parcels with signal", f"{int((~quality.flat).sum())} of {recording.n_parcels}"),
        ("DVARS, median", f"{np.median(quality.dvars[1:]):.2f} SD"),
        ("Spikes", f"{int(quality.spikes.sum())} of {recording.n_timepoints} volumes"),
    ]
    if np.isfinite(quality.tsnr).any():
        rows.append(("tSNR, median", f"{np.nanmedian(quality.tsnr):.0f}"))
    if np.isfinite(quality.coverage).any():
        rows.append(("Coverage, median", f"{100 * np.nanmedian(quality.coverage):.0f} %"))
    if quality.fd_mm is not None:
        rows.append(("Framewise displacement, mean", f"{np.nanmean(quality.fd_mm):.2f} mm"))
    if recording.freedom_left is not None:
        left, of = recording.freedom_left
        rows.append(("Degrees of freedom left by cleaning", f"{left} of {of}"))
    if quality.template_overlap is not None:
        rows.append(("Overlap with the MNI brain (Dice)", f"{quality.template_overlap:.2f}"))
    return rows
