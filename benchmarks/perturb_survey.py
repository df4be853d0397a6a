"""What simple predictions would have said of a model's responses, network by network, over many people.

Per recording and network: the response to a shift of the whole network, its rank correlation with what
functional connectivity, distance, the model's attention and the random-weights twin say, and the same
correlations with the predictions for random matched sets of parcels. Over recordings: the mean with its
interval, and the mean that each random set would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import YEO7
from brainlm_core.base.errors import AnalysisError, ScanError
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.perturb.companions import (
    Agreement,
    agreements,
    chance_p,
    knowledge,
    twin_agreement,
    twin_response,
)
from brainlm_core.features.perturb.null import N_SETS, matched_plans
from brainlm_core.features.perturb.response import prepare, respond
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.features.perturb.trials import Cancel, Progress

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

#: When the shift starts and how long it lasts, in s, as the sliders of the dashboard do at first.
ONSET_S, DURATION_S = 28.8, 28.8


@dataclass(frozen=True, eq=False)
class Survey(Saved):
    """Agreement of responses with simple predictions.

    Parameters
    ----------
    recordings : tuple of str
        Which recordings answered.
    networks : tuple of str
    predictors : tuple of str
        Methods of the task ``perturb`` (:mod:`brainlm_core.base.methods`).
    rho : ndarray (recordings, networks, predictors), float64
        Spearman's rank correlation; NaN where something does not vary.
    chance : ndarray (recordings, networks, predictors, sets), float64
        The same with the predictions for random matched sets; NaN for the twin.
    model : str
    notices : tuple of str
    """

    recordings: tuple[str, ...]
    networks: tuple[str, ...]
    predictors: tuple[str, ...]
    rho: NDArray[np.float64]
    chance: NDArray[np.float64]
    model: str
    notices: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per network and predictor: mean over recordings, its interval, the same by chance.

        ``low`` and ``high``: 95 % interval of the mean over recordings (Student's t). ``chance_low`` and
        ``chance_high``: middle 95 % of the means that the random sets give; ``p``: two-sided, from them.
        """
        from scipy.stats import t

        rows = []
        for i, network in enumerate(self.networks):
            for j, predictor in enumerate(self.predictors):
                values = self.rho[:, i, j]
                values = values[~np.isnan(values)]
                n = len(values)
                mean = float(values.mean()) if n else float("nan")
                half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
                by_set = self.chance[:, i, j][~np.isnan(self.rho[:, i, j])].mean(axis=0) if n else np.empty(0)
                by_set = by_set[~np.isnan(by_set)]
                row: dict[str, Any] = {
                    "network": network,
                    "predictor": predictor,
                    "n": n,
                    "rho": mean,
                    "low": mean - half,
                    "high": mean + half,
                    "chance_low": np.nan,
                    "chance_high": np.nan,
                    "p": np.nan,
                }
                if by_set.size and n:
                    row["chance_low"], row["chance_high"] = np.percentile(by_set, (2.5, 97.5))
                    row["p"] = chance_p(mean, by_set)
                rows.append(row)
        return pd.DataFrame(rows)

    def each(self) -> pd.DataFrame:
        """Return one row per recording, network and predictor."""
        return pd.DataFrame(
            [
                {"recording": r, "network": n, "predictor": p, "rho": self.rho[a, b, c]}
                for a, r in enumerate(self.recordings)
                for b, n in enumerate(self.networks)
                for c, p in enumerate(self.predictors)
            ]
        )

    def files(self) -> ResultFiles:
        """Return ``agreement.csv`` (means) and ``agreement_each.csv``."""
        tables = {"agreement.csv": self.table(), "agreement_each.csv": self.each()}
        return ResultFiles(tables=tables, float_format="%.4f")


def network_scenario(network: str, *, draws: int = 8, amplitude_sd: float = 2.0) -> Scenario:
    """Return the scenario "shift a whole network, ask the other parcels"."""
    action = {"targets": {"network": network}, "kind": "add", "amplitude_sd": amplitude_sd}
    action |= {"onset_s": ONSET_S, "duration_s": DURATION_S}
    return Scenario.from_dict({"actions": [action], "readout": "others", "draws": draws})


def survey(
    engine: Engine,
    cohort: Cohort,
    *,
    twin: Engine,
    networks: Sequence[str] = YEO7,
    draws: int = 8,
    n_sets: int = N_SETS,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Survey:
    """Compare responses with simple predictions in the first window of every recording.

    Parameters
    ----------
    engine : Engine
    cohort : Cohort
    twin : Engine
        The random-weights twin.
    networks : sequence of str
    draws : int
        Mask draws per response.
    n_sets : int
        Random matched sets; they need no passes of the model.
    progress, cancel : callable or None

    Returns
    -------
    Survey
        Recordings that cannot be read are left out, with a notice.

    Raises
    ------
    AnalysisError
        If no recording answers.
    ConfigError
        If a network is unknown or fills too much of a hemisphere.
    EngineError
        If the caller cancelled.
    """
    scenarios = [network_scenario(network, draws=draws) for network in networks]
    names: list[str] = []
    notices: list[str] = []
    found: list[list[tuple[Agreement, ...]]] = []
    for row in range(len(cohort)):
        if progress is not None:
            progress(row / len(cohort), f"Recording {row + 1} of {len(cohort)}")
        try:
            stage = prepare(engine, cohort.recording(row))
        except ScanError as error:
            notices.append(f"{cohort.ids[row]} was left out: {error.what}.")
            continue
        known = knowledge(engine, stage, cancel)
        mine = []
        for scenario in scenarios:
            response = respond(engine, stage, [scenario], cancel=cancel)[0]
            sets = matched_plans(stage, response.plan, n_sets)
            other = twin_response(twin, stage, scenario, cancel=cancel)
            mine.append((*agreements(known, response, sets), twin_agreement(response, other)))
        names.append(cohort.ids[row])
        found.append(mine)
    if not found:
        raise AnalysisError("no recording of the cohort could be read", "check the files")
    if progress is not None:
        progress(1.0, "Done")
    predictors = tuple(a.predictor for a in found[0][0])
    rho = np.array([[[a.value for a in one] for one in mine] for mine in found])
    chance = np.full((*rho.shape, n_sets), np.nan)
    for i, mine in enumerate(found):
        for j, one in enumerate(mine):
            for k, agreement in enumerate(one):
                chance[i, j, k, : len(agreement.null)] = agreement.null
    return Survey(
        tuple(names), tuple(networks), predictors, rho, chance, engine.info.model_name, tuple(notices)
    )
