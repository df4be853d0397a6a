from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from app.shell.theme import DARK, GROUP_ORDER, LIGHT, NETWORK_COLOURS, Palette
from brainlm_core.base.atlas import YEO7, a424
from brainlm_core.base.methods import METHODS
from brainlm_core.viz.colour_maps import rgb


def luminance(colour: str) -> float:
    parts = [c / 255 for c in rgb(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    a, b = sorted([luminance(one), luminance(other)], reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda p: p.name)
@pytest.mark.parametrize("name", ["text", "muted", "accent", "warn", "bad", "good"])
def test_text_can_be_read_on_both_grounds(palette: Palette, name: str) -> None:
    for ground in (palette.background, palette.surface):
        assert contrast(getattr(palette, name), ground) >= 4.5


@pytest.mark.parametrize("method", list(METHODS))
def test_marks_of_the_strip_stand_out(method: str) -> None:
    light, dark = METHODS[method].light, METHODS[method].dark
    assert contrast(light, LIGHT.background) >= 3
    assert contrast(dark, DARK.background) >= 3


def test_settings_file_has_the_same_colours(root: Path) -> None:
    theme = tomllib.loads((root / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    for palette in (LIGHT, DARK):
        section = theme[palette.name]
        assert section["primaryColor"] == palette.accent
        assert section["backgroundColor"] == palette.background
        assert section["secondaryBackgroundColor"] == palette.surface
        assert section["textColor"] == palette.text
        assert section["borderColor"] == palette.line


def test_every_group_of_parcels_has_a_colour_and_a_place() -> None:
    assert set(YEO7) <= set(GROUP_ORDER)
    assert set(GROUP_ORDER) == set(NETWORK_COLOURS)
    assert set(a424().group) <= set(GROUP_ORDER)


def test_nothing_is_fetched_from_outside(root: Path) -> None:
    for path in [
        *(root / "app" / "static").glob("*.css"),
        root / "brainlm_core" / "viz" / "house.css",
        root / ".streamlit" / "config.toml",
    ]:
        assert "http" not in path.read_text("utf-8")
