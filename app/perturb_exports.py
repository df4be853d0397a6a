"""What a visitor can take home from the Perturb page."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app import exports
from app.perturb_charts import agreement_table, responders
from app.perturb_desk import frames_of
from brainlm_core.analyses.perturb import responder_table
from brainlm_core.analyses.scenario import Scenario
from brainlm_core.look.perturb import dose_sentence, null_sentence
from brainlm_core.render import Panel, Scene, film_bytes, png_bytes

if TYPE_CHECKING:
    from brainlm_core.analyses.perturb import PerturbResult, Response, Stage


def scene_of(stage: Stage, response: Response, *, theme: str = "light") -> Scene:
    """Return the response and its course as brains beside each other, on one clock."""
    plan = response.plan
    samples = frames_of(plan, len(response.times_s))
    course = np.ascontiguousarray(response.mean[:, samples].T)
    notes = ["response of the model, not a measured effect"]
    if stage.provenance.simulated:
        notes.insert(0, "simulated data")
    top, moving = _end(response.summary), _end(course)
    future = None if plan.future == len(response.times_s) else float(response.times_s[plan.future - 1])
    return Scene(
        [
            Panel("Model's response", response.summary[None], "SD", "diverging", (-top, top)),
            Panel("Response over time", course, "SD", "diverging", (-moving, moving)),
        ],
        stage.parcellation,
        response.times_s[samples],
        future,
        "; ".join(notes),
        theme=theme,
    )


def _end(values: np.ndarray) -> float:
    known = np.abs(values[~np.isnan(values)])
    return float(np.percentile(known, 99)) if known.size and known.max() > 0 else 1.0


def buttons(stage: Stage, response: Response, result: PerturbResult | None) -> None:
    """Draw the download buttons; nothing is rendered before one is pressed."""
    stem = exports.safe_stem(stage.provenance.source_name)

    def scene() -> Scene:
        return scene_of(stage, response, theme="dark" if st.context.theme.type == "dark" else "light")

    def table() -> bytes:
        null = None if result is None else result.null
        return responder_table(response, stage, null).to_csv(index=False, float_format="%.6g").encode()

    offers = (
        ("Film (.gif)", lambda: film_bytes(scene(), "gif"), "gif", "image/gif"),
        ("Film (.mp4)", lambda: film_bytes(scene(), "mp4"), "mp4", "video/mp4"),
        ("Picture (.png)", lambda: png_bytes(scene(), _peak(response)), "png", "image/png"),
        ("Responders (.csv)", table, "csv", "text/csv"),
        ("Page (.html)", lambda: page_html(stage, response, result), "html", "text/html"),
    )
    with st.container(horizontal=True):
        for title, content, suffix, kind in offers:
            st.download_button(
                title, content, f"{stem}-perturb.{suffix}", kind, key=f"pt-{suffix}", on_click="ignore"
            )
        if result is not None:
            st.download_button(
                "Everything (.zip)",
                lambda: exports.saved(result),
                f"{stem}-perturb-all.zip",
                "application/zip",
                key="pt-all",
                help="What `brainlm perturb` writes: tables, arrays, scenario, provenance.",
                on_click="ignore",
            )


def scenario_button(scenario: Scenario) -> None:
    """Offer the scenario itself."""
    st.download_button(
        "scenario.json",
        scenario.to_json(),
        "scenario.json",
        "application/json",
        key="pt-scenario",
        help="Opens here again, and in `brainlm perturb`.",
        on_click="ignore",
    )


def _peak(response: Response) -> int:
    """Return the frame at which most happens."""
    course = response.mean[:, frames_of(response.plan, len(response.times_s))]
    return int(np.nan_to_num(np.abs(course)).mean(axis=0).argmax())


def page_html(stage: Stage, response: Response, result: PerturbResult | None) -> bytes:
    """Return one file with everything inside: picture, film, tables, scenario, origin. Nothing is fetched."""
    scene = scene_of(stage, response)
    picture = base64.b64encode(png_bytes(scene, _peak(response))).decode()
    film = base64.b64encode(film_bytes(scene, "mp4")).decode()
    null = None if result is None else result.null
    table = responders(response, stage, null).head(50)
    out = io.StringIO()
    scenario = response.plan.scenario
    out.write(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width'>"
        "<title>Perturbation</title><style>body{font:16px/1.5 "
        "system-ui,sans-serif;max-width:1000px;margin:2rem auto;"
        "padding:0 1rem;color:#15202b}img,video{max-width:100%}table{border-collapse:collapse;font-size:14px}"
        "td,th{padding:4px 10px;border-bottom:1px solid "
        "#d6dcde;text-align:left;font-variant-numeric:tabular-nums}"
        "pre{background:#f0f2f2;padding:1rem;overflow:auto}</style>"
        f"<h1>Perturbation of {html.escape(stage.provenance.source_name)}</h1>"
        f"<p>Model {html.escape(stage.model.model_name)}, {len(response.effect_by_draw)} mask draws. "
        "A response is what the model expects to go with a change of its input. It is not a "
        "measured effect and "
        "shows no cause. Not for diagnosis.</p>"
        f"<img alt='Model&#39;s response on the brain' src='data:image/png;base64,{picture}'>"
        f"<video controls loop muted src='data:video/mp4;base64,{film}'></video>"
    )
    if result is not None:
        out.write(f"<h2>Beside the response</h2><p>{html.escape(null_sentence(result.null))}</p>")
        out.write(f"<p>Dose: {html.escape(dose_sentence(result.dose))}</p>")
        out.write(
            agreement_table(result.agreement).to_html(index=False, float_format="{:.3f}".format, border=0)
        )
        for text in result.notices:
            out.write(f"<p>{html.escape(text)}</p>")
    out.write("<h2>Strongest responders</h2>")
    out.write(table.to_html(index=False, float_format="{:.3f}".format, border=0))
    out.write(f"<h2>scenario.json</h2><pre>{html.escape(scenario.to_json())}</pre>")
    out.write(f"<h2>Origin</h2><pre>{html.escape(exports_json(stage))}</pre></html>")
    return out.getvalue().encode()


def exports_json(stage: Stage) -> str:
    """Return where the recording came from, as JSON."""
    import json

    return json.dumps(stage.provenance.to_dict(), indent=2, ensure_ascii=False)
