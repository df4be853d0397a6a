"""The pages that a visitor sees before anything of the dashboard is sent: log in, refused, out of order."""

from __future__ import annotations

import html
from pathlib import Path

from brainlm_core.viz.palette import DARK, LIGHT, Palette

_ICON = Path(__file__).resolve().parents[1] / "static" / "icon.svg"
#: Said to everybody while the login's settings are broken; the reason is for the log.
OUT_OF_ORDER = (
    "BrainLM Explorer is out of order.",
    "Its login is not set up as it should be. Whoever runs this server finds the reason in its log.",
)


def _style() -> str:
    def colours(p: Palette) -> str:
        return (
            f"--text:{p.text};--muted:{p.muted};--ground:{p.background};"
            f"--accent:{p.accent};--on-accent:{p.background}"
        )

    return (
        f":root{{color-scheme:light dark;{colours(LIGHT)}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{colours(DARK)}}}}}"
        "body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);"
        "color:var(--text);font:16px/1.5 Inter,system-ui,'Segoe UI','Helvetica Neue',Arial,sans-serif}"
        "main{max-width:28rem;padding:2rem}main svg{width:56px;height:56px}"
        "h1{font-size:1.5rem;font-weight:600;line-height:1.3;margin:1rem 0 .5rem}"
        "p{color:var(--muted);margin:.5rem 0 1.5rem}"
        "a{display:inline-block;margin:0 .5rem .5rem 0;padding:.5rem 1rem;border-radius:8px;"
        "background:var(--accent);color:var(--on-accent);font-weight:600;text-decoration:none}"
        "a:focus-visible{outline:3px solid var(--text);outline-offset:2px}"
    )


def page(sentence: str, note: str, links: list[tuple[str, str]]) -> bytes:
    """Return a whole page in HTML.

    Parameters
    ----------
    sentence, note : str
        The one sentence, and a small line below it; plain text.
    links : list of (str, str)
        Words and address of each way on.
    """
    icon = _ICON.read_text(encoding="utf-8") if _ICON.is_file() else ""
    ways = "".join(
        f'<a role="button" href="{html.escape(address, quote=True)}">{html.escape(words)}</a>'
        for words, address in links
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>BrainLM Explorer</title><style>{_style()}</style></head><body><main>"
        f'<span aria-hidden="true">{icon}</span><h1>{html.escape(sentence)}</h1><p>{html.escape(note)}</p>'
        f"{ways}</main></body></html>"
    ).encode()
