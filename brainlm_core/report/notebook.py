"""A figure of a report as a notebook shows it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainlm_core.report.figure import Figure
from brainlm_core.report.figures import make
from brainlm_core.report.page import figure_html, save_figure

#: Height of the frame in px: with brains, without.
_TALL, _LOW = 620, 420


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A figure that a notebook shows: the very page of the report, in a frame that cannot touch others.

    Parameters
    ----------
    figure : Figure
        With all numbers that are drawn, in ``figure.data``.
    """

    figure: Figure

    def save(self, stem: str | Path) -> tuple[Path, ...]:
        """Write ``STEM.npz`` with the numbers and ``STEM.html`` with the figure.

        Raises
        ------
        ConfigError
            If they cannot be written.
        """
        return save_figure(self.figure, stem)

    def _repr_html_(self) -> str:
        page = html.escape(figure_html(self.figure).decode(), quote=True)
        tall = _TALL if self.figure.panels else _LOW
        return (
            f'<iframe title="{html.escape(self.figure.title, quote=True)}" srcdoc="{page}" '
            f'sandbox="allow-scripts" style="width:100%;height:{tall}px;border:0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Picture: {self.figure.title}. {self.figure.says}>"


def picture(name: str, result: Any) -> Picture:
    """Return one figure of a result for a notebook.

    Raises
    ------
    ConfigError
        If there is no figure of that name, or the result does not hold it.
    """
    return Picture(make(name, result))
