"""A map of many points, for the benchmark of the point view."""

import os

import numpy as np
import streamlit as st

from app import points_view as module
from app.points_view import PointColour, PointMap, points_view

n = int(os.environ.get("BRAINLM_POINTS", "40000"))
rng = np.random.default_rng(0)
xy = rng.standard_normal((n, 2)) + 3 * rng.integers(0, 4, (n, 1))
values = xy[:, 0].astype(np.float32)
share = np.clip((values - values.min()) / np.ptp(values), 0, 1)
colour = PointColour(
    "Age (years)",
    np.round(share * 254).astype(np.uint8),
    [f"#{i:02x}{i:02x}80" for i in range(255)],
    values=values,
    limits=(float(values.min()), float(values.max())),
)
sizes = []
pack = module.pack


def counted(*arguments: object) -> bytes:
    made = pack(*arguments)
    sizes.append(len(made))
    return made


module.pack = counted
event = points_view(
    [PointMap("Many points", xy)],
    colour,
    key="many",
    ids=[f"sub-{i:07d}_task-rest" for i in range(n)],
    selected=st.session_state.get("rows", np.zeros(0, dtype=np.intp)),
    picked=None,
    alt="Drawn points.",
)
module.pack = pack
if event.selected is not None:
    st.session_state["rows"] = event.selected
st.write(f"message {sizes[-1]} bytes; selected {0 if event.selected is None else len(event.selected)}")
