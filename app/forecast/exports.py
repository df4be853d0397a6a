"""What a visitor can take home from the Forecast page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.forecast.work import Picture, result
from app.shell import exports
from brainlm_core.base.methods import ordered, title_of
from brainlm_core.base.recording import Recording
from brainlm_core.base.tables import table_bytes
from brainlm_core.features.forecast.picture import lead_in, scene_of
from brainlm_core.features.forecast.result import ForecastResult, forecast_table
from brainlm_core.viz.render import Scene, film_bytes, png_bytes


def buttons(recording: Recording, now: Picture, stem: str) -> None:
    """Draw the download buttons; nothing is rendered before one is pressed."""
    assert now.made is not None  # the page checks
    own = now.made.forecast

    def scene() -> Scene:
        theme = "dark" if st.context.theme.type == "dark" else "light"
        simulated = recording.provenance.simulated
        return scene_of(own, recording.parcellation, simulated=simulated, theme=theme)

    def table() -> bytes:
        return table_bytes(forecast_table(own, recording.parcellation.names))

    def arrays() -> bytes:
        stream = io.BytesIO()
        fields: dict[str, Any] = {
            name: getattr(own, name) for name in ("seen", "truth", "lower", "upper", "usable", "spread")
        }
        fields |= {f"forecast_{name}": values for name, values in own.forecasts.items()}
        fields |= recording.parcellation.to_arrays()
        np.savez_compressed(
            stream,
            times_s=own.times_s,
            seen_times_s=own.seen_times_s,
            **fields,
        )
        return stream.getvalue()

    offers = (
        ("Film (.gif)", lambda: film_bytes(scene(), "gif"), "gif", "image/gif"),
        ("Film (.mp4)", lambda: film_bytes(scene(), "mp4"), "mp4", "video/mp4"),
        ("Picture (.png)", lambda: png_bytes(scene(), lead_in(own)), "png", "image/png"),
        ("Forecast (.csv)", table, "csv", "text/csv"),
        ("Forecast (.npz)", arrays, "npz", "application/octet-stream"),
    )
    with st.container(horizontal=True):
        for title, content, suffix, kind in offers:
            st.download_button(
                title, content, f"{stem}-forecast.{suffix}", kind, key=f"fc-{suffix}", on_click="ignore"
            )
        if now.tested is not None:
            st.download_button(
                "Everything (.zip)",
                lambda: exports.saved(_whole(recording, now)),
                f"{stem}-forecast-all.zip",
                "application/zip",
                key="fc-all",
                help="What `brainlm forecast` writes: tables, arrays, the race, provenance.",
                on_click="ignore",
            )


def _whole(recording: Recording, now: Picture) -> ForecastResult:
    whole = result(recording, now)
    assert whole is not None  # the button is only drawn when both parts are there
    return whole


def race_in_words(whole: ForecastResult) -> pd.DataFrame:
    """Return R² with its interval by method (columns) and step (rows)."""
    race = whole.race
    assert race is not None  # the page checks
    table: dict[str, list[str]] = {"Time (s)": [f"{t:.2f}" for t in race.times_s]}
    for method in ordered(race.values["r2"]):
        cells = []
        for value, (low, high) in zip(race.values["r2"][method], race.intervals["r2"][method], strict=True):
            interval = f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else ""
            cells.append(f"{value:.3f}{interval}")
        table[title_of(method, "forecast")] = cells
    return pd.DataFrame(table)
