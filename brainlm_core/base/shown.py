"""Values that say themselves in one line and draw themselves in a notebook.

Results live below the report, which draws them. So a result knows only the name of its first figure; the
registry of figures (:data:`brainlm_core.report.figures.FIGURES`) is looked up when a picture is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from brainlm_core.base.errors import BrainLMError


class Shown:
    """A value with a short ``repr`` and a figure of its own."""

    #: Key of the figure that is drawn when none is named.
    first_figure: ClassVar[str] = ""

    def in_words(self) -> str:
        """Return what a reader wants to know first, one line."""
        raise NotImplementedError

    def drawn_from(self) -> Any:
        """Return what the figure is made from: the value itself, or the value with what it lacks."""
        return self

    def plot(self, name: str | None = None) -> Any:
        """Return a figure of this value, as in the report; a notebook shows it.

        Parameters
        ----------
        name : str, optional
            Key of :data:`brainlm_core.report.figures.FIGURES`; the value's first figure by default.

        Returns
        -------
        brainlm_core.report.notebook.Picture

        Raises
        ------
        ConfigError
            If there is no figure of that name, or this value does not hold it.
        """
        draw = import_module("brainlm_core.report.notebook").picture
        return draw(name or self.first_figure, self.drawn_from())

    def _repr_html_(self) -> str | None:
        """Return the first figure for a notebook; None, and so the plain line, where it cannot be drawn."""
        try:
            return str(self.plot()._repr_html_())
        except BrainLMError:
            return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.in_words()}>"
