from __future__ import annotations

import numpy as np
import pytest
from statsmodels.regression.linear_model import yule_walker
from statsmodels.tsa.ar_model import ar_select_order

from brainlm_core.base.errors import AnalysisError
from brainlm_core.features.shared.baselines import BASELINES, MAX_ORDER, baseline_forecasts, fit_ar


def slow(n: int, parcels: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros((parcels, n + 100))
    for t in range(2, n + 100):
        x[:, t] = 0.6 * x[:, t - 1] + 0.25 * x[:, t - 2] + rng.normal(size=parcels)
    return x[:, 100:]


def test_coefficients_equal_statsmodels():
    x = slow(180)
    x = x - x.mean(axis=1, keepdims=True)
    fit = fit_ar(x)
    for row, signal in enumerate(x):
        p = int(fit.order[row])
        assert p >= 1
        coefficients, sigma, *_ = yule_walker(
            signal, order=p, method="mle", demean=False, result_object=False
        )
        np.testing.assert_allclose(fit.coefficients[row, :p], coefficients, atol=1e-10)
        np.testing.assert_allclose(fit.noise[row], sigma**2, rtol=1e-10)
        assert not fit.coefficients[row, p:].any()


def test_order_agrees_with_statsmodels_where_there_is_much_data():
    x = slow(2000, parcels=6, seed=4)
    ours = fit_ar(x - x.mean(axis=1, keepdims=True)).order
    theirs = [len(ar_select_order(s, MAX_ORDER, ic="bic").ar_lags) for s in x]
    assert list(ours) == theirs


def test_white_noise_gets_order_zero_and_the_mean():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 180))
    assert (fit_ar(x - x.mean(axis=1, keepdims=True)).order == 0).mean() > 0.9


def test_forecasts_shift_and_scale_with_the_data_and_ignore_its_unit():
    seen = slow(180, 40)[None].astype(np.float32)
    plain = baseline_forecasts(seen, 12)
    scaled = baseline_forecasts(1000 + 3 * seen, 12)
    for name, values in plain.items():
        assert values.shape == (1, 12, 40)
        np.testing.assert_allclose(scaled[name], 1000 + 3 * values, atol=5e-3, err_msg=name)


def test_many_starts_at_once_equal_one_after_the_other():
    x = slow(400, 10)
    seen = np.stack([x[:, s - 100 : s] for s in (150, 200, 390)]).astype(np.float32)
    together = baseline_forecasts(seen, 5)
    for i in range(3):
        alone = baseline_forecasts(seen[i : i + 1], 5)
        for name in BASELINES:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(BASELINES))
def test_flat_parcels_stay_at_their_value(name):
    seen = slow(60, 5)[None].astype(np.float32)
    seen[0, 2] = 7.5
    out = BASELINES[name](seen, 4)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[0, :, 2], 7.5, rtol=1e-6)


def test_too_little_to_fit_is_refused():
    with pytest.raises(AnalysisError, match="too few"):
        baseline_forecasts(np.zeros((1, 3, 12), dtype=np.float32), 4)
