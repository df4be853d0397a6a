"""One self-contained HTML file about one recording, and scripts that make each of its figures again.

>>> from brainlm_core.report import ReportOptions, gather, page_html
>>> contents = gather(recording, "default", ReportOptions())  # doctest: +SKIP
>>> Path("report.html").write_bytes(page_html(contents))  # doctest: +SKIP
"""

from __future__ import annotations

from brainlm_core.report.contents import Contents, NotMade, Parts, ReportOptions, gather
from brainlm_core.report.figure import Figure
from brainlm_core.report.figures import figures_of
from brainlm_core.report.page import page_html, save_figure
from brainlm_core.report.reproduce import given, open_embeddings, open_recording, script_of

__all__ = [
    "Contents",
    "Figure",
    "NotMade",
    "Parts",
    "ReportOptions",
    "figures_of",
    "gather",
    "given",
    "open_embeddings",
    "open_recording",
    "page_html",
    "save_figure",
    "script_of",
]
