"""The flat figure for browsers without WebGL: names, values, colours explained."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.components.brain_view import BrainPanel, Category, fallback_figure
from brainlm_core.base.atlas import a424

pytestmark = pytest.mark.slow


def test_points_lie_where_the_parcels_are_drawn() -> None:
    names = list(a424().names)
    figure = fallback_figure(BrainPanel("x", np.zeros(424)), a424())
    points = figure.data[1]
    assert len(set(points.customdata)) >= 415  # a few lie buried in folds
    left = points.x[list(points.customdata).index(names.index("L_V1"))]
    right = points.x[list(points.customdata).index(names.index("R_V1"))]
    assert left < 320 < right


def test_flat_figure_names_parcels_and_explains_colours() -> None:
    panel = BrainPanel("Signal", np.where(np.arange(424) == 5, np.nan, 0.5), unit="SD", limits=(-1, 1))
    figure = json.loads(fallback_figure(panel, a424()).to_json())
    texts = figure["data"][1]["text"]
    assert any("L_V1<br>0.5 SD" in text for text in texts)
    assert any("no data" in text for text in texts)
    assert figure["data"][2]["marker"]["colorbar"]["title"]["text"] == "SD"


def test_flat_figure_lists_categories() -> None:
    legend = [Category("low", "#112233"), Category("high", "#445566")]
    panel = BrainPanel("Halves", np.arange(424) % 2, scale="categories", categories=legend)
    figure = fallback_figure(panel, a424(), theme="dark")
    assert [trace.name for trace in figure.data[2:]] == ["low", "high"]
