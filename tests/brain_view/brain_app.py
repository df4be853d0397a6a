"""A page with one brain view, for the browser tests: reads what to show from its address."""

import numpy as np
import streamlit as st

from app.components.brain_view import BrainPanel, Category, brain_view, fallback_figure
from brainlm_core.base.atlas import a424

st.set_page_config(layout="wide")
parcellation = a424()
wanted = st.query_params
n_frames = int(wanted.get("frames", "60"))
gain = st.number_input("gain", value=1.0)
shown = st.checkbox("shown", value=True)
times = np.arange(n_frames) * 0.72
y, z = parcellation.position[:, 1], parcellation.position[:, 2]
# A wave that runs from the back of the brain to the front: every frame differs from the next.
frames = np.sin(y[None] / 30 - times[:, None]).astype(np.float32) * gain
frames[:, 7] = np.nan
panels = [BrainPanel("Wave", frames, unit="SD", limits=(-1, 1), alt="A wave runs over the brain")]
if "pair" in wanted:
    halves = [Category("Below", "#781286"), Category("Above", "#E69422")]
    panels.append(BrainPanel("Halves", (z > 10).astype(int), scale="categories", categories=halves))
options = {}
if "choose" in wanted:
    options["picked"] = int(st.number_input("choose", value=3))
if shown:
    event = brain_view(
        panels,
        parcellation,
        key="brain",
        times_s=times,
        seen_until_s=times[n_frames // 2],
        view=wanted.get("view", "overview"),
        autoplay="autoplay" in wanted,
        **options,
    )
    if event.webgl_missing:
        st.plotly_chart(fallback_figure(panels[0], parcellation))
    st.text(f"picked={event.picked} changed={event.changed} frame={event.frame} gain={gain}")
for line in range(40):
    st.text(f"line {line}")  # something to scroll to
