"""What a panel accepts, and what it makes of its limits."""

from __future__ import annotations

import numpy as np
import pytest

from app.components.brain_view import BrainPanel, Category
from brainlm_core.base.errors import ConfigError

TWO = [Category("a", "#112233"), Category("b", "#445566")]


def test_one_map_is_one_frame() -> None:
    panel = BrainPanel("x", np.arange(5))
    assert (panel.n_frames, panel.n_parcels) == (1, 5)
    assert panel.values.dtype == np.float32


def test_values_are_a_frozen_copy() -> None:
    source = np.zeros((2, 3), dtype=np.float32)
    panel = BrainPanel("x", source)
    source[:] = 9
    assert (panel.values == 0).all()
    with pytest.raises(ValueError, match="read-only"):
        panel.values[0, 0] = 1


def test_infinite_values_are_no_data() -> None:
    assert np.isnan(BrainPanel("x", [1.0, np.inf, -np.inf, np.nan]).values[0, 1:]).all()


def test_signed_values_get_symmetric_limits() -> None:
    assert BrainPanel("x", [-1.0, 3.0, np.nan]).limits == (-3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([0.2, 5.0], (0.0, 5.0)),  # magnitudes start at nothing
        ([95.0, 100.0], (95.0, 100.0)),  # unless that would hide the differences
        ([-2.0, 5.0], (-2.0, 5.0)),
        ([4.0, 4.0], (4.0, 5.0)),
        ([np.nan, np.nan], (0.0, 1.0)),
    ],
)
def test_magnitudes_get_the_range_of_the_data(values: list[float], limits: tuple[float, float]) -> None:
    assert BrainPanel("x", values, scale="sequential").limits == pytest.approx(limits)


def test_all_zero_still_has_a_range() -> None:
    assert BrainPanel("x", np.zeros(4)).limits == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"frames": np.zeros((2, 3, 4))}, "shape"),
        ({"frames": np.zeros((0, 4))}, "shape"),
        ({"frames": [1.0], "scale": "rainbow"}, "rainbow"),
        ({"frames": [1.0], "limits": (2.0, 1.0)}, "range"),
        ({"frames": [1.0], "limits": (float("nan"), 1.0)}, "range"),
        ({"frames": [1.0], "limits": (0.0, 1.0)}, "symmetric"),
        ({"frames": [0, 1], "scale": "categories"}, "names"),
        ({"frames": [0.5, 1], "scale": "categories", "categories": TWO}, "broken"),
        ({"frames": [0, 2], "scale": "categories", "categories": TWO}, "legend"),
        ({"frames": [-1, 1], "scale": "categories", "categories": TWO}, "legend"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        BrainPanel("x", **arguments)  # type: ignore[arg-type]
    assert caught.value.fix
