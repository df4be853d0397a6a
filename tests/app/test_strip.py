from __future__ import annotations

import re

from app.components.strip import Reference, Row, baseline_strip
from brainlm_core.base.methods import METHODS


def strip(*rows: Row, reference: Reference | None = None) -> str:
    return baseline_strip(rows, title="Share", limits=(0.0, 1.0), reference=reference)


def test_rows_come_in_the_house_order_whatever_the_input() -> None:
    html = strip(Row("coordinates", 0.7), Row("random_twin", 0.4), Row("attention", 0.6))
    names = re.findall(r'class="n[^"]*">([^<]+)<', html)
    assert names == ["Model&#x27;s attention", "Random weights", "Coordinates alone"] or names == [
        "Model's attention",
        "Random weights",
        "Coordinates alone",
    ]
    assert next(iter(METHODS)) == "model"


def test_positions_follow_values_and_intervals() -> None:
    html = strip(Row("attention", 0.25, (0.2, 0.4)))
    assert 'class="d circle" style="left:25.0%"' in html
    assert 'style="left:20.0%;width:20.0%"' in html


def test_axis_grows_to_hold_values_outside() -> None:
    html = strip(Row("attention", -1.0), reference=Reference(2.0, "far"))
    assert 'class="d circle" style="left:0.0%"' in html
    assert 'class="r" style="left:100.0%"' in html


def test_numbers_below_zero_have_a_minus_and_nothing_else_has() -> None:
    html = strip(Row("attention", -0.25, (-0.5, -0.001)), Row("random_twin", -0.001))
    assert ">\u22120.25<" in html and "interval \u22120.50 to 0.00" in html and ">0.00</span>" in html
    assert not re.search(r">-\d", html)


def test_missing_values_are_said_not_drawn() -> None:
    html = strip(Row("attention", None))
    assert 'class="d' not in html and "not yet computed" in html


def test_scores_that_cannot_be_had_say_why() -> None:
    html = strip(Row("attention", None, reason="too few parcels"))
    assert "too few parcels" in html and "…" not in html


def test_words_are_escaped() -> None:
    html = strip(Row("attention", 0.5, label="<img src=x onerror=alert(1)>"))
    assert "<img" not in html
