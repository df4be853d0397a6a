"""The baseline strip: the model beside its random twin and the simple methods, the same on every page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from brainlm_core.base.methods import METHODS, ordered

_PENDING = '<span class="v">…</span>'


@dataclass(frozen=True)
class Row:
    """One row of the strip.

    Parameters
    ----------
    method : str
        Key of :data:`brainlm_core.base.methods.METHODS`.
    value : float or None
        None while it is still being computed.
    interval : (float, float) or None
        95 % interval, same unit.
    label : str or None
        Replaces the usual label.
    reason : str
        Why there is no value and will be none; empty while it is being computed.
    """

    method: str
    value: float | None
    interval: tuple[float, float] | None = None
    label: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Reference:
    """A published or theoretical value, drawn as a dashed line.

    Parameters
    ----------
    value : float
        Same unit as the scores.
    label : str
        Whose value it is.
    """

    value: float
    label: str


def baseline_strip(
    scores: Sequence[Row],
    *,
    title: str,
    limits: tuple[float, float],
    reference: Reference | None = None,
    decimals: int = 2,
) -> str:
    """Return the strip as HTML.

    Parameters
    ----------
    scores : sequence of Row
        Drawn in the order of the table of methods, whatever order they come in.
    title : str
        What is measured, with unit.
    limits : (float, float)
        Ends of the axis; widened when a value lies outside.
    reference : Reference or None
        A dashed line.
    decimals : int
        Of the printed values.

    Returns
    -------
    str
        Escaped HTML that needs the house style sheet.
    """
    rank = {name: i for i, name in enumerate(ordered(s.method for s in scores))}
    rows = sorted(scores, key=lambda s: rank[s.method])
    known = [v for s in rows if s.value is not None for v in (s.value, *(s.interval or ()))]
    if reference is not None:
        known.append(reference.value)
    low, high = min([limits[0], *known]), max([limits[1], *known])

    def x(value: float) -> float:
        return 100 * (value - low) / (high - low)

    line = "" if reference is None else f'<span class="r" style="left:{x(reference.value):.1f}%"></span>'
    cells = [_row(score, x, line, decimals) for score in rows]
    middle = (low + high) / 2
    axis = "".join(f'<span style="left:{x(v):.1f}%">{_number(v, 2)}</span>' for v in (low, middle, high))
    said = "; ".join(_said(s, decimals) for s in rows)
    note = (
        ""
        if reference is None
        else f'<p class="b-note">Dashed: {html.escape(reference.label)}, {_number(reference.value, 3)}.</p>'
    )
    return (
        f'<p class="b-note"><b>{html.escape(title)}</b></p>'
        f'<div class="b-strip" role="img" aria-label="{html.escape(f"{title}. {said}.", quote=True)}">'
        f'{"".join(cells)}<span></span><span class="axis">{axis}</span><span></span></div>{note}'
    )


def _row(score: Row, x, line: str, decimals: int) -> str:  # type: ignore[no-untyped-def]
    method = METHODS[score.method]
    label = html.escape(score.label or method.title)
    main = " main" if method.kind == "model" else ""  # what the page is about
    if score.value is None:
        sign = (
            f'<span class="v" title="{html.escape(score.reason, quote=True)}">–</span>'
            if score.reason
            else _PENDING
        )
        return f'<span class="n{main}">{label}</span><span class="t">{line}</span>{sign}'
    interval = ""
    if score.interval is not None:
        a, b = (x(v) for v in score.interval)
        interval = f'<span class="i" style="left:{a:.1f}%;width:{max(b - a, 0.5):.1f}%"></span>'
    dot = f'<span class="d {method.marker}" style="left:{x(score.value):.1f}%"></span>'
    return (
        f'<span class="n{main}">{label}</span>'
        f'<span class="t" style="color:light-dark({method.light},{method.dark})">{line}{interval}{dot}</span>'
        f'<span class="v{main}">{_number(score.value, decimals)}</span>'
    )


def _said(score: Row, decimals: int) -> str:
    label = score.label or METHODS[score.method].title
    if score.value is None:
        return f"{label}: {score.reason or 'not yet computed'}"
    interval = ""
    if score.interval is not None:
        low, high = (_number(v, decimals) for v in score.interval)
        interval = f", 95 % interval {low} to {high}"
    return f"{label} {_number(score.value, decimals)}{interval}"


def _number(value: float, decimals: int) -> str:
    """Return a number with a minus that is as wide as a plus, and none before zero."""
    text = f"{value:.{decimals}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "\u2212")
