"""Colour maps as tables of 256 colours, evenly spaced to the eye: one diverging, one sequential.

Linear sRGB to cone responses and to OKLab after Ottosson (2020), "A perceptual color space for image
processing".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Stops of the two maps, negative over neutral to positive, and small to large.
STOPS: Mapping[str, tuple[str, ...]] = {
    "diverging": ("#1D4E89", "#5B8FC0", "#B3CBE0", "#F3F1EE", "#EDBFA0", "#D07C4A", "#8F3D12"),
    "sequential": (
        "#440154",
        "#46327E",
        "#365C8D",
        "#277F8E",
        "#1FA187",
        "#4AC16D",
        "#A0DA39",
        "#FDE725",
    ),
}
#: Drawn where a parcel has no value, and where there is no parcel, by theme.
NO_DATA: Mapping[str, str] = {"light": "#C3C8CB", "dark": "#5A646B"}
NO_PARCEL: Mapping[str, str] = {"light": "#E2E5E6", "dark": "#39434A"}

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0–255, of ``"#rrggbb"``."""
    digits = colour.removeprefix("#")
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


@cache
def lookup_table(scale: str) -> NDArray[np.uint8]:
    """Return the 256 colours of a scale, low to high.

    The stops are joined by straight lines in OKLab and walked at constant perceptual speed; a
    diverging map is walked one half at a time, so that its middle stays the middle.

    Parameters
    ----------
    scale : {"diverging", "sequential"}

    Returns
    -------
    ndarray (256, 3), uint8
        sRGB.
    """
    lab = _to_oklab(np.array([rgb(c) for c in STOPS[scale]]) / 255.0)
    if scale == "diverging":
        middle = len(lab) // 2
        table = np.concatenate([_walk(lab[: middle + 1], 128), _walk(lab[middle:], 128)])
    else:
        table = _walk(lab, 256)
    return np.round(_from_oklab(table) * 255).astype(np.uint8)


def map_values(
    values: NDArray[np.floating], scale: str, limits: tuple[float, float], theme: str = "light"
) -> NDArray[np.uint8]:
    """Return sRGB colours (n, 3) of n values on a diverging or sequential scale; NaN is grey."""
    low, high = limits
    known = np.isfinite(values)
    at = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1)
    colours = lookup_table(scale)[np.round(at * 255).astype(int)]
    colours[~known] = rgb(NO_DATA[theme])
    return colours


def _to_oklab(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T)


def _from_oklab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _walk(lab: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return n points along a polyline, (n, 3), equally far apart along it."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lab, axis=0), axis=1))])
    at = np.linspace(0, length[-1], n)
    return np.stack([np.interp(at, length, lab[:, i]) for i in range(3)], axis=1)
