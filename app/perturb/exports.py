"""What a visitor can take home from the Perturb page."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.perturb.answers import frames_of
from app.perturb.charts import responders
from app.shell import exports
from brainlm_core.base.tables import table_bytes
from brainlm_core.features.perturb.analysis import responder_table
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.viz.render import Panel, Scene, film_bytes, png_bytes
from brainlm_core.viz.words import capital

if TYPE_CHECKING:
    from brainlm_core.features.perturb.analysis import PerturbResult, Response, Stage


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
        return table_bytes(responder_table(response, stage, null))

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
    """Return one file with all inside: brains to turn, companions, scenario, origin; nothing is fetched."""
    from brainlm_core.report import figures
    from brainlm_core.report.page import figures_html

    lead = (
        f"<p>{html.escape(stage.provenance.source_name)}, model {html.escape(stage.model.model_name)}, "
        f"{len(response.effect_by_draw)} mask draws. A response is what the model expects to go with a "
        "change of its input. It is not a measured effect and shows no cause. For research. Not for "
        "diagnosis.</p>"
    )
    drawn = [figures.response_alone(response, stage.parcellation)]
    tail = ""
    if result is None:
        table = responders(response, stage, None).head(50)
        tail += "<h2>Strongest responders</h2>" + table.to_html(
            index=False, float_format="{:.3f}".format, border=0
        )
    else:
        drawn.append(figures.companions(result))
        tail += "".join(f'<p class="b-note">{html.escape(capital(text))}</p>' for text in result.notices)
    scenario = html.escape(response.plan.scenario.to_json())
    tail += f"<h2>scenario.json</h2><pre>{scenario}</pre>"
    tail += f"<h2>Origin</h2><pre>{html.escape(exports_json(stage))}</pre>"
    return figures_html(f"Perturbation of {stage.provenance.source_name}", drawn, lead=lead, tail=tail)


def exports_json(stage: Stage) -> str:
    """Return where the recording came from, as JSON."""
    return json.dumps(stage.provenance.to_dict(), indent=2, ensure_ascii=False)
