from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from app.embeddings import attribution_charts as charts
from brainlm_core.base.atlas import a424
from brainlm_core.features.attribution import figures as look
from brainlm_core.features.attribution.analysis import AttributeOptions, Attribution
from brainlm_core.features.attribution.direction import Direction


@pytest.fixture
def found() -> Attribution:
    random = np.random.default_rng(0)
    values = random.standard_normal((2, 424, 50)).astype(np.float32) * 0.01
    visual = np.array(a424().group) == "Visual"
    values[:, visual] -= 0.02
    values[:, 7] = 0
    flat = np.arange(424) == 7
    return Attribution(
        Direction("age_years", "cls", np.ones(3), 0.0, "age_years"),
        AttributeOptions(),
        values,
        values.sum(axis=2).mean(axis=0),
        np.full(424, 0.1, np.float32),
        flat,
        np.array([0.0, 200.0]),
        2.0,
        "one sample of one parcel",
        30.0,
        42.5,
        0.0012,
        np.full(424, 1 / 424, np.float32),
        {"attention": 0.1, "connectivity": float("nan"), "random_twin": 0.9},
        (),
    )


def test_the_brain_shows_shares_and_greys_what_does_not_vary(found) -> None:
    shares, attention = look.panels(found, simulated=True)
    assert shares.values[0, 8] == pytest.approx(found.parcels[8])
    assert np.isnan(shares.values[0, 7]) and np.isnan(attention.values[0, 7])
    assert "(simulated)" in shares.title
    assert attention.values[0, 0] == pytest.approx(1)


def test_time_is_drawn_window_by_window_and_adds_up(found) -> None:
    figure = charts.time_figure(found, a424())
    assert len(figure.data) == 2
    assert figure.data[0].y[0] == "Visual"
    total = sum(np.asarray(trace.z).sum() for trace in figure.data)
    assert total == pytest.approx(found.values.sum() / 2, abs=1e-2)
    assert list(figure.data[0].x) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    assert figure.data[1].x[0] == 205


def test_sentences_name_what_moves_the_read_out_and_what_is_missing(found) -> None:
    said = look.one_sentence(found, a424())
    assert said.startswith("Age (years) reads 30, with shuffled phases 42.5; Visual moves it most (−")
    assert look.completeness_words(found) == (
        "Completeness error: the shares add up to the difference within 0.1\u202f%."
    )
    assert "within less than 0.1" in look.completeness_words(replace(found, completeness_error=2e-7))
    assert "take more steps" in look.completeness_words(replace(found, completeness_error=0.2))
    occluded = replace(found, options=AttributeOptions("occlusion"), completeness_error=0.5)
    said = look.completeness_words(occluded)
    assert "act together" in said and "%" not in said and "error" not in said


def test_tables(found) -> None:
    table = charts.agreement_table(found)
    assert list(table["Rank correlation"])[::2] == [0.1, 0.9]
    other = replace(found, options=AttributeOptions("occlusion"), parcels=-found.parcels)
    assert charts.agreement_table(found, other).iloc[-1].tolist() == ["Occlusion", pytest.approx(1.0)]
    read = pd.read_csv(io.BytesIO(charts.export_table(found, a424())))
    assert len(read) == 424
    assert read["share of age_years (age_years)"][8] == pytest.approx(found.parcels[8], rel=1e-4)
