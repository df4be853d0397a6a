"""Colour maps: neutral in the middle, even to the eye, never a value's colour for no value."""

from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.viz.colour_maps import NO_DATA, STOPS, _to_oklab, lookup_table, map_values, rgb


def _lightness(table: np.ndarray) -> np.ndarray:
    return _to_oklab(table / 255.0)[:, 0]


@pytest.mark.parametrize(
    ("scale", "stops"), [("diverging", STOPS["diverging"]), ("sequential", STOPS["sequential"])]
)
def test_ends_are_the_outer_stops(scale: str, stops: tuple[str, ...]) -> None:
    table = lookup_table(scale)
    assert table.shape == (256, 3)
    assert tuple(table[0]) == rgb(stops[0])
    assert tuple(table[-1]) == rgb(stops[-1])


def test_zero_is_neutral_and_both_signs_darken_away_from_it() -> None:
    table = lookup_table("diverging")
    assert np.ptp(table[127:129].astype(int)) <= 6
    light = _lightness(table)
    assert (np.diff(light[:128]) > -1e-3).all()
    assert (np.diff(light[128:]) < 1e-3).all()


def test_magnitudes_grow_lighter_all_the_way() -> None:
    assert (np.diff(_lightness(lookup_table("sequential"))) > -1e-3).all()


@pytest.mark.parametrize("scale", ["diverging", "sequential"])
def test_steps_are_even_to_the_eye(scale: str) -> None:
    step = np.linalg.norm(np.diff(_to_oklab(lookup_table(scale) / 255.0), axis=0), axis=1)
    step = np.convolve(step, np.ones(9) / 9, mode="valid")  # rounding to bytes is noise here
    middle = np.r_[step[:115], step[-115:]] if scale == "diverging" else step
    assert middle.max() / middle.min() < 1.6


def test_values_beyond_the_ends_are_clipped_and_gaps_are_grey() -> None:
    colours = map_values(np.array([-9, -1, 0, 1, 9, np.nan], dtype=np.float32), "diverging", (-1, 1), "dark")
    table = lookup_table("diverging")
    np.testing.assert_array_equal(colours[0], table[0])
    np.testing.assert_array_equal(colours[1], table[0])
    np.testing.assert_array_equal(colours[3], colours[4])
    assert tuple(colours[5]) == rgb(NO_DATA["dark"])
