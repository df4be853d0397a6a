"""The forecast: a batched back-test against one call per start point, and vectorised AR against statsmodels.

All sides run in one process, interleaved, after one warm-up; medians are compared.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from brainlm_core.bench import BenchResult
from brainlm_core.bench.model import interleave

#: Start points and horizon of the promised figure, and what it may take on two cores, in s.
N_STARTS, STEPS, LIMIT_S = 50, 20, 10.0


def run(quick: bool = False) -> list[BenchResult]:
    """Compare the back-test of the default model and the fit of the AR baseline with their peers.

    Parameters
    ----------
    quick : bool
        10 start points and 100 parcels.

    Returns
    -------
    list of BenchResult
    """
    return [*_back_test(10 if quick else N_STARTS, 3), _ar(100 if quick else 424)]


def _back_test(n_starts: int, rounds: int) -> list[BenchResult]:
    from brainlm_core.features.forecast.analysis import ForecastOptions, back_test, even_starts, plan
    from brainlm_core.features.forecast.windows import Look, forecast_looks
    from brainlm_core.inference.engine import Engine
    from brainlm_core.scans.demo import demo_recordings

    recording = demo_recordings()[0]
    engine = Engine.load("default", device="cpu")
    what = plan(recording, engine.spec, ForecastOptions(steps=STEPS, n_starts=n_starts))
    starts = even_starts(recording, what.grid, n_starts)
    looks = [Look(int(s), what.grid.context) for s in starts]

    def batched() -> Any:
        return back_test(engine, recording, what, starts=starts)

    def one_by_one() -> Any:
        return [back_test(engine, recording, what, starts=starts[i : i + 1]) for i in range(len(starts))]

    def model_batched() -> Any:
        return forecast_looks(engine, recording, what.grid, looks)

    def model_one_by_one() -> Any:
        return [forecast_looks(engine, recording, what.grid, [look]) for look in looks]

    def model_decoding_everything() -> Any:
        return [forecast_looks(cast(Engine, _Whole(engine)), recording, what.grid, [look]) for look in looks]

    times = interleave(
        {
            "batched": batched,
            "one by one": one_by_one,
            "model batched": model_batched,
            "model one by one": model_one_by_one,
        },
        rounds,
    )
    whole = interleave({"whole": model_decoding_everything}, 1)["whole"]
    size = f"{len(starts)} start points × {STEPS} steps, {recording.n_parcels} parcels"
    return [
        BenchResult(
            f"back-test with every baseline, {size}",
            "one call per start point",
            time_ratio=times["one by one"] / times["batched"],
            details={
                "seconds": times["batched"],
                "seconds_one_by_one": times["one by one"],
                "share_of_one_by_one": times["batched"] / times["one by one"],
                "limit_s": LIMIT_S,
            },
        ),
        BenchResult(
            f"model's part of the back-test, {size}",
            "one call per start point",
            time_ratio=times["model one by one"] / times["model batched"],
            details={
                "seconds": times["model batched"],
                "seconds_one_by_one": times["model one by one"],
                "share_of_one_by_one": times["model batched"] / times["model one by one"],
            },
        ),
        BenchResult(
            f"model's part of the back-test, {size}",
            "one call per start point, the whole window decoded",
            time_ratio=whole / times["model batched"],
            details={
                "seconds": times["model batched"],
                "seconds_whole": whole,
                "share_of_whole": times["model batched"] / whole,
            },
        ),
    ]


class _Whole:
    """An engine that decodes whole windows, whatever is asked."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.spec = engine, engine.spec

    def reconstruct(self, windows: Any, hidden: Any, **settings: Any) -> Any:
        return self.engine.reconstruct(windows, hidden, **settings | {"only_hidden": False})


def _ar(n_parcels: int) -> BenchResult:
    import warnings

    from statsmodels.regression.linear_model import yule_walker

    from brainlm_core.features.shared.baselines import MAX_ORDER, fit_ar

    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n_parcels, 182))
    signals = noise[:, 2:] + 0.8 * noise[:, 1:-1] + 0.4 * noise[:, :-2]
    signals -= signals.mean(axis=1, keepdims=True)

    def theirs() -> list[int]:
        orders = []
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # about the form of the result, which we take as it is
            for signal in signals:
                n, scores = len(signal), [len(signal) * np.log(signal @ signal / len(signal))]
                for p in range(1, MAX_ORDER + 1):
                    sigma = yule_walker(signal, order=p, method="mle", demean=False)[1]
                    scores.append(n * np.log(sigma**2) + p * np.log(n))
                orders.append(int(np.argmin(scores)))
        return orders

    if list(fit_ar(signals).order) != theirs():
        raise AssertionError("the orders differ from statsmodels")
    times = interleave({"ours": lambda: fit_ar(signals), "theirs": theirs}, 3)
    return BenchResult(
        f"AR order by BIC for {n_parcels} parcels",
        "statsmodels yule_walker",
        time_ratio=times["theirs"] / times["ours"],
        details={"seconds": times["ours"], "seconds_peer": times["theirs"]},
    )
