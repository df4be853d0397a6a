"""The picture without a browser: parcels where anatomy puts them, colours where values put them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.brain_view import BrainPanel, Category, fallback_figure, still_image
from app.brain_view.still import BARE, OUTSIDE, pixel_map
from app.theme import DARK, LIGHT
from brainlm_core.atlas import a424, a424_cortex

pytestmark = pytest.mark.slow


def _middle(parcel: int) -> tuple[float, float]:
    """Return where most of a parcel lies, as shares of width and height."""
    under = pixel_map(a424()).parcel
    rows, columns = np.nonzero(under == parcel)
    return float(np.median(columns)) / under.shape[1], float(np.median(rows)) / under.shape[0]


def test_nearly_every_parcel_can_be_seen() -> None:
    seen = np.unique(pixel_map(a424()).parcel)
    assert len(seen[seen >= 0]) >= 415
    assert OUTSIDE in seen
    assert BARE in seen


def test_anatomy_is_the_right_way_round() -> None:
    names = list(a424().names)
    left_v1, right_v1 = _middle(names.index("L_V1")), _middle(names.index("R_V1"))
    assert left_v1[0] < 0.35, "the left hemisphere is on the left"
    assert right_v1[0] > 0.65
    assert left_v1[1] > 0.5, "V1 lies on the inner side, in the lower row"
    frontal_left = _middle(names.index("L_9m"))
    assert frontal_left[0] > left_v1[0], "on the inner left side the front is on the right"
    amygdala, cerebellum = _middle(names.index("lAmyg_L")), _middle(names.index("Left_V"))
    assert 0.35 < amygdala[0] < 0.5, "deep parcels stand between the hemispheres, left on the left"
    assert cerebellum[1] > amygdala[1], "seen from above the front is up"


def test_only_the_changed_parcel_changes_colour() -> None:
    parcellation = a424()
    values = np.zeros(424, dtype=np.float32)
    before = still_image(BrainPanel("x", values, limits=(-1, 1)), parcellation)
    values[180] = 1
    after = still_image(BrainPanel("x", values, limits=(-1, 1)), parcellation)
    changed = (before != after).any(axis=-1)
    under = pixel_map(parcellation).parcel
    is_v1 = (under.reshape(before.shape[0], 2, before.shape[1], 2) == 180).any(axis=(1, 3))
    np.testing.assert_array_equal(changed, is_v1)


@pytest.mark.parametrize(("theme", "look"), [("light", LIGHT), ("dark", DARK)])
def test_background_is_the_page(theme: str, look: object) -> None:
    picture = still_image(BrainPanel("x", np.zeros(424)), a424(), theme=theme)
    assert "#%02X%02X%02X" % tuple(picture[0, 0]) == look.background  # type: ignore[attr-defined]  # noqa: UP031


def test_cortex_alone_shows_no_spheres() -> None:
    under = pixel_map(a424_cortex()).parcel
    assert (under[:, under.shape[1] * 2 // 5 : under.shape[1] * 3 // 5] < 0).all()


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
