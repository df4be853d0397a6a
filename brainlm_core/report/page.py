"""A report as one HTML file: brains, charts, scripts and origin inside.

Nothing is fetched, and nothing runs but the page's own script: its digest is in the content policy.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from brainlm_core import viz
from brainlm_core.base.licences import LICENCES
from brainlm_core.base.result_files import ResultFiles
from brainlm_core.report.contents import Contents, NotMade
from brainlm_core.report.figure import Figure
from brainlm_core.report.figures import FIGURES, figures_of
from brainlm_core.report.origin import anonymous, facts
from brainlm_core.report.reproduce import script
from brainlm_core.report.script import page_script
from brainlm_core.report.stills import still_png
from brainlm_core.viz.style import house_css
from brainlm_core.viz.transport import pack, parcellation_bytes, surface_bytes
from brainlm_core.viz.words import capital, duration, quality_facts, verdict

NBSP = "\u00a0"
NOT_FOR_DIAGNOSIS = "For research. Not for diagnosis."
_SECTIONS = {
    "networks": "Networks",
    "forecast": "Forecast",
    "perturbation": "Perturbation",
    "embedding": "Embedding",
}


def page_html(contents: Contents) -> bytes:
    """Return the report of one recording.

    Parameters
    ----------
    contents : Contents
        From :func:`~brainlm_core.report.contents.gather`.

    Returns
    -------
    bytes
        UTF-8. Works from ``file://`` in any browser of the last years; without JavaScript or WebGL 2
        still pictures stand in.
    """
    figures = figures_of(contents)
    scripts = {f.name: script(f.name, contents.recording, contents.model, contents.options) for f in figures}
    by_section = {name: [f for f in figures if FIGURES[f.name].section == name] for name in _order()}
    body = [_head(contents), _quality(contents)]
    body += [_figure(f, scripts[f.name]) for f in by_section["recording"]]
    for name, title in _SECTIONS.items():
        result = getattr(contents, name)
        if isinstance(result, NotMade):
            reason = html.escape(anonymous(result.reason, contents.recording))
            body.append(f'<h2>{title}</h2><p class="r-warn">Not computed. {reason}</p>')
            continue
        body += [_figure(f, scripts[f.name]) for f in by_section[name]]
        body += [_note(capital(anonymous(text, contents.recording))) for text in result.notices]
    body.append(_foot(contents))
    title = contents.options.label or "BrainLM Explorer report"
    return _document(title, "".join(body), figures)


def figure_html(figure: Figure) -> bytes:
    """Return one figure alone, as a page like a report."""
    return _document(figure.title, f"<h1>{html.escape(figure.title)}</h1>{_figure(figure)}", [figure])


def save_figure(figure: Figure, stem: str | Path) -> tuple[Path, ...]:
    """Write ``STEM.npz`` with the numbers of a figure and ``STEM.html`` with the figure.

    Raises
    ------
    ConfigError
        If they cannot be written.
    """
    stem = Path(stem)
    files = ResultFiles(
        texts={f"{stem.name}.html": figure_html(figure).decode()}, arrays={f"{stem.name}.npz": figure.data}
    )
    return files.write(stem.parent)


def figures_html(title: str, figures: Sequence[Figure], *, lead: str = "", tail: str = "") -> bytes:
    """Return some figures as a page like a report.

    Parameters
    ----------
    title : str
        Plain text.
    figures : sequence of Figure
        Brains must all be drawn on one parcellation.
    lead, tail : str
        HTML before and after the figures.
    """
    body = "".join(_figure(figure) for figure in figures)
    return _document(title, f"<h1>{html.escape(title)}</h1>{lead}{body}{tail}", figures)


def _order() -> list[str]:
    return list(dict.fromkeys(kind.section for kind in FIGURES.values()))


def _document(title: str, body: str, figures: Sequence[Figure]) -> bytes:
    code = page_script()
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    moving = [f for f in figures if f.panels]
    blocks = ""
    if moving:
        parcels = moving[0].parcellation
        assert parcels is not None  # whatever has brains has parcels
        blocks = _block("surface", surface_bytes()) + _block("parcellation", parcellation_bytes(parcels))
        blocks += "".join(_block(f.name, brain_bytes(f)) for f in moving)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="referrer" content="no-referrer"><title>{html.escape(title)}</title>'
        f"<style>{_style()}</style><noscript><style>.r-still{{display:block}}</style></noscript></head>"
        f"<body><main>{body}</main>{blocks}"
        f'<script type="module">{code}</script></body></html>'
    )
    return page.encode()


@cache
def _style() -> str:
    brain = (Path(viz.__file__).parent / "frontend" / "style.css").read_text(encoding="utf-8")
    own = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    return f"{house_css(':root')}{own}{brain}"


def brain_bytes(figure: Figure) -> bytes:
    """Return what the brain view gets, as the dashboard sends it."""
    panels = [
        {
            "title": p.title,
            "unit": p.unit,
            "scale": p.scale,
            "limits": list(p.limits or ()),
            "categories": [[c.name, c.colour] for c in p.categories],
            "alt": p.alt or p.title,
            "n_frames": p.n_frames,
        }
        for p in figure.panels
    ]
    header = {
        "key": figure.name,
        "surface": "surface",
        "parcellation": "parcellation",
        "panels": panels,
        "times": None if figure.times_s is None else [round(float(t), 4) for t in figure.times_s],
        "seen_until": figure.seen_until_s,
        "picked": None,
        "pick_number": 0,
        "height": 400 if len(panels) < 3 else 280,
        "view": "overview",
        "inflation": 0.55,
        "start_frame": figure.start_frame,
        "autoplay": False,
        "pickable": True,
    }
    return pack(header, {f"panel{i}": np.asarray(p.values) for i, p in enumerate(figure.panels)})


def _block(name: str, content: bytes) -> str:
    text = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return f'<script type="application/octet-stream" id="data-{name}">{text}</script>'


def _figure(figure: Figure, code: str = "") -> str:
    says = html.escape(figure.says.replace(" %", f"{NBSP}%"))
    out = [f"<section><h2>{html.escape(figure.title)}</h2><p>{says}</p>"]
    if figure.panels:
        still = base64.b64encode(still_png(figure)).decode()
        words = html.escape("; ".join(p.alt or p.title for p in figure.panels), quote=True)
        out.append(
            f'<div class="r-brain flat" data-figure="{figure.name}">'
            f'<img class="r-still" alt="{words}" src="data:image/png;base64,{still}"></div>'
        )
    out.append(figure.drawing)
    out.append(_note(f"Not shown: {figure.not_shown}"))
    if code:
        link = base64.b64encode(code.encode()).decode()
        out.append(
            f"<details><summary>Reproduce this figure</summary><pre>{html.escape(code)}</pre>"
            f'<a download="reproduce-{figure.name}.py" href="data:text/x-python;base64,{link}">'
            f"Save reproduce-{figure.name}.py</a></details>"
        )
    return "".join([*out, "</section>"])


def _note(text: str) -> str:
    return f'<p class="b-note">{html.escape(text)}</p>'


def _head(contents: Contents) -> str:
    recording, label = contents.recording, contents.options.label
    kind = (
        "A simulated recording; no person was scanned."
        if recording.provenance.simulated
        else "One recording."
    )
    about = (
        f"{kind} {recording.n_parcels} parcels, {recording.n_timepoints} volumes, "
        f"{duration(recording.duration_s)}. What a foundation model of brain activity makes of it, "
        "beside what simple baselines and random weights make of it."
    )
    if recording.provenance.simulated:
        about += (
            " It was drawn from group statistics, which favours methods that know the group: judge the model "
            "on a measured scan."
        )
    named = f"<p><b>{html.escape(label)}</b></p>" if label else ""
    return (
        f"<h1>BrainLM Explorer report</h1>{named}<p>{html.escape(about)}</p>"
        f'<p class="r-warn"><b>{NOT_FOR_DIAGNOSIS}</b> The name of the file is left out: it may name a '
        "person.</p>"
    )


def _quality(contents: Contents) -> str:
    recording = contents.recording
    quality = recording.quality
    texts = [capital(anonymous(text, recording)) for text in recording.notices]
    if quality is None:
        return "".join(_note(text) for text in texts)
    reasons = [anonymous(r, recording) for r in quality.reasons]
    return (
        f"<p>Quality: {verdict(quality.verdict)}</p>"
        + "".join(_note(text) for text in [*reasons, *texts])
        + _facts(quality_facts(recording))
    )


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows)
    return f'<dl class="b-facts">{cells}</dl>'


def _foot(contents: Contents) -> str:
    licences = "".join(
        f"<tr><td>{html.escape(row.part)}</td><td>{html.escape(row.terms)}</td></tr>" for row in LICENCES
    )
    return (
        f"<h2>Origin</h2>{_facts(facts(contents))}"
        "<h2>Licences</h2><div class='r-scroll'><table><thead><tr><th>Part</th><th>Licence</th></tr></thead>"
        f"<tbody>{licences}</tbody></table></div>"
        "<h2>Limits</h2><p>Attention is not connectivity and not causality. A response is what the model "
        "expects to go with a change, not what the change would do to a brain. Scores are about this "
        f"recording. {NOT_FOR_DIAGNOSIS}</p>"
    )
