"""The registry of pages: a page is one file in ``pages/`` and one line here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Folder that holds ``app`` and ``pages``, in a checkout as in an installed wheel.
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PageEntry:
    """One page.

    Parameters
    ----------
    title : str
        In the navigation.
    file : str
        In ``pages/``.
    url : str
        Path of the deep link; empty for the first page.
    """

    title: str
    file: str
    url: str

    @property
    def path(self) -> Path:
        """Absolute path of the page's file."""
        return ROOT / "pages" / self.file


PAGES: tuple[PageEntry, ...] = (
    PageEntry("Scan", "scan.py", "scan"),
    PageEntry("Networks", "networks.py", "networks"),
    PageEntry("Forecast", "forecast.py", "forecast"),
    PageEntry("Perturb", "perturb.py", "perturb"),
    PageEntry("Embeddings", "embeddings.py", "embeddings"),
    PageEntry("Model", "model.py", "model"),
)
