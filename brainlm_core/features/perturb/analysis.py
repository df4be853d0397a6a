"""Perturb a recording in the computer and see what the model answers, beside what needs no model.

``analyse`` runs everything: :func:`~brainlm_core.features.perturb.response.prepare` and
:func:`~brainlm_core.features.perturb.response.respond` first, then :func:`accompany`, which publishes each
part as it comes.

A response is the model's output with an action minus its output without it. It says what the model expects
to go with a change; it is not a measured effect and shows no cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.progress import Cancel, Progress, Publish, portion
from brainlm_core.base.recording import Recording
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.base.shown import Shown
from brainlm_core.features.perturb.companions import (
    Agreement,
    DoseCurve,
    agreements,
    dose_curve,
    knowledge,
    scan_agreement,
    twin_agreement,
    twin_response,
)
from brainlm_core.features.perturb.controls import response_dependence
from brainlm_core.features.perturb.interaction import interaction
from brainlm_core.features.perturb.null import N_SETS, NullMap, matched_plans, no_null, null_map
from brainlm_core.features.perturb.response import Response, prepare, respond
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.features.perturb.trials import Stage
from brainlm_core.features.shared.scan_dependence import ScanDependence

if TYPE_CHECKING:
    from brainlm_core.features.perturb.masks import Plan
    from brainlm_core.inference.engine import Engine

__all__ = [
    "PerturbOptions",
    "PerturbResult",
    "Response",
    "Scenario",
    "Stage",
    "accompany",
    "analyse",
    "notices_of",
    "prepare",
    "respond",
    "responder_table",
]


@dataclass(frozen=True)
class PerturbOptions:
    """How much to compute beside the response.

    Parameters
    ----------
    n_sets : int
        Random matched sets of the null; 0 leaves the null out, otherwise at least 20.

    Raises
    ------
    ConfigError
        If the number is out of range.
    """

    n_sets: int = N_SETS

    def __post_init__(self) -> None:
        if self.n_sets != 0 and not 20 <= self.n_sets <= 10_000:
            raise ConfigError(
                f"a null of {self.n_sets} random sets is out of range",
                "choose 0 (none) or 20 to 10000; 200 is usual",
            )


@dataclass(frozen=True, eq=False, repr=False)
class PerturbResult(Saved, Shown):
    """A response and its companions.

    Parameters
    ----------
    stage : Stage
        The window, the model, where the recording came from.
    response : Response
    null : NullMap
    dose : DoseCurve
    agreement : tuple of Agreement
        Connectivity, distance, attention, twin.
    twin : Response
        Of the random-weights twin.
    notices : tuple of str
        What a reader must know.
    dependence : ScanDependence
        The answer beside the answer without the scan, and what the halves say of the difference.
    interaction : float or None
        Root mean square over parcels, in SD, of what several actions do together beyond each alone; None for
        a single action.
    """

    stage: Stage
    response: Response
    null: NullMap
    dose: DoseCurve
    agreement: tuple[Agreement, ...]
    twin: Response
    notices: tuple[str, ...]
    dependence: ScanDependence
    interaction: float | None = None

    first_figure: ClassVar[str] = "response"

    def in_words(self) -> str:
        """Return how strong the response is and how much of it stands out, one line."""
        n = self.null.n_significant
        out = "no null" if n is None else f"{n} of {int((~np.isnan(self.response.summary)).sum())} stand out"
        asked = f"response to {int(self.response.plan.targets.sum())} parcels"
        return f"{asked}, largest {_largest(self.response):.2f} SD, {out}"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures; maps and time courses are in :meth:`save`."""
        response, plan, null = self.response, self.response.plan, self.null
        by_name = {a.predictor: a for a in self.agreement}
        return {
            "response_max": _largest(response),
            "response_mean_abs": float(np.nanmean(np.abs(response.summary))),
            "n_significant_fdr05": null.n_significant,
            "agreement": {name: a.value for name, a in by_name.items()},
            "agreement_p": {name: a.p for name, a in by_name.items() if a.p is not None},
            "agreement_null_95": {
                name: [float(v) for v in np.percentile(a.null, (2.5, 97.5))]
                for name, a in by_name.items()
                if len(a.null)
            },
            "interaction_rms_sd": self.interaction,
            "statistic": response.statistic,
            "unit": "SD of each parcel's signal",
            "n_targets": int(plan.targets.sum()),
            "n_answering": int((~np.isnan(response.summary)).sum()),
            "null": {
                "n_sets": null.n_sets,
                "matched_on": list(null.matched_on),
                "n_draws": null.n_draws,
                "reason": null.reason or None,
            },
            "depends_on_scan": self.dependence.to_dict(),
            "dose": {
                "doses_sd": list(self.dose.doses_sd),
                "response": self.dose.curve.tolist(),
                "slope": self.dose.slope,
                "intercept": self.dose.intercept,
                "r2": self.dose.r2,
                "added_shift": self.dose.added,
            },
            "random_twin": {
                "response_max": _largest(self.twin),
                "response_mean_abs": float(np.nanmean(np.abs(self.twin.summary))),
            },
            "scenario": plan.scenario.to_dict(),
            "model": self.stage.model.to_dict(),
            "window": {"number": self.stage.number, "start_s": float(self.stage.window.starts_s[0])},
            "notices": list(self.notices),
            "provenance": self.stage.provenance.to_dict(),
        }

    def files(self) -> ResultFiles:
        """Return the figures, the scenario, tables of responders, doses and agreement, and the arrays."""
        dose = self.dose
        line = dose.intercept + dose.slope * np.asarray(dose.doses_sd)
        return ResultFiles(
            {"perturb.json": self.to_dict()},
            {"scenario.json": self.response.plan.scenario.to_json()},
            {
                "responders.csv": responder_table(self.response, self.stage, self.null),
                "dose.csv": pd.DataFrame(
                    {"dose_sd": dose.doses_sd, "response_sd": dose.curve, "line_sd": line}
                ),
                "agreement.csv": pd.DataFrame([_agreement_row(a) for a in self.agreement]),
            },
            {"response.npz": self._arrays()},
        )

    def _arrays(self) -> dict[str, Any]:
        response, null = self.response, self.null
        return {
            "times_s": response.times_s,
            "response_sd": response.mean,
            "spread_sd": response.spread,
            "effect_sd": response.effect,
            "magnitude_sd": response.magnitude,
            "lag_s": response.lag_s(),
            "targets": response.plan.targets,
            "input_change_sd": response.input_change,
            "null_mean": null.mean,
            "null_sd": null.sd,
            "z": null.z,
            "q": null.q,
            "dose_maps_sd": self.dose.maps,
            "no_scan_sd": self.dependence.no_scan.astype(np.float32),
            "added_by_scan_sd": self.dependence.difference.astype(np.float32),
            "added_by_scan_faded_sd": self.dependence.faded().astype(np.float32),
            "twin_sd": self.twin.summary,
            **{f"prediction_{a.predictor}": a.prediction for a in self.agreement},
            "parcel_names": np.array(self.stage.parcellation.names, dtype=np.str_),
        }


def responder_table(response: Response, stage: Stage, null: NullMap | None = None) -> pd.DataFrame:
    """Return one row per answering parcel, strongest response first."""
    parcellation, interval = stage.parcellation, response.interval()
    summary = response.summary
    rows = np.flatnonzero(~np.isnan(summary))
    rows = rows[np.argsort(-np.abs(summary[rows]), kind="stable")]
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(rows) + 1),
            "parcel": rows + 1,
            "name": [parcellation.names[i] for i in rows],
            "network": [parcellation.group[i] for i in rows],
            "hemisphere": [parcellation.hemisphere[i] for i in rows],
            f"{response.statistic}_sd": summary[rows],
            "low_sd": interval[rows, 0],
            "high_sd": interval[rows, 1],
            "lag_s": response.lag_s()[rows],
        }
    )
    if null is not None and not null.reason:
        table["z"], table["q_fdr"] = null.z[rows], null.q[rows]
    return table


def notices_of(stage: Stage, response: Response) -> tuple[str, ...]:
    """Return what a reader of a response must know, in sentences."""
    plan, tr = response.plan, stage.window.tr_s
    out = list(stage.window.notices)
    flat = plan.targets & (stage.frame.sd == 0)
    if flat.any():
        out.append(f"{int(flat.sum())} of {int(plan.targets.sum())} targets do not vary and were left alone.")
    shared = plan.excluded & ~plan.targets
    if shared.any():
        out.append(f"{int(shared.sum())} parcels share a token with a target and give no answer.")
    if plan.scenario.readout != "others" and (gap := plan.future - plan.stop) > 0:
        out.append(
            f"The model hides whole blocks of time, so it still sees {gap * tr:.1f} s after the actions "
            "before its future begins."
        )
    draws = response.effect_by_draw
    twice = np.isfinite(draws).sum(axis=0) > 1  # a parcel answers in the draws that hide it
    if twice.any() and not np.nanstd(draws[:, twice], axis=0).any():
        out.append("Nothing was left to draw: all mask draws are the same, so the spread is zero.")
    return tuple(out)


def analyse(
    engine: Engine,
    recording: Recording,
    scenario: Scenario,
    options: PerturbOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    twin: Engine | None = None,
) -> PerturbResult:
    """Ask a scenario of a recording and compute every companion.

    Parameters
    ----------
    engine : Engine
        The model to ask; ``scenario.model`` says which one it should be and is not loaded here.
    recording : Recording
    scenario : Scenario
    options : PerturbOptions, optional
    progress : callable, optional
        Called with a share 0–1 and what is being done.
    cancel : callable, optional
        Asked between batches; True stops.
    twin : Engine, optional
        The random-weights twin when it is loaded already.

    Returns
    -------
    PerturbResult

    Raises
    ------
    ConfigError, EngineError, AnalysisError
    """
    options = options or PerturbOptions()
    scenario.check_parcellation(recording.parcellation)
    stage = prepare(engine, recording, scenario.window)
    response = respond(engine, stage, [scenario], progress=portion(progress, 0.0, 0.15), cancel=cancel)[0]
    if np.isnan(response.summary).all():
        raise AnalysisError("no parcel answered", "use more draws or fewer targets")
    return accompany(
        engine, recording, stage, response, options, portion(progress, 0.15, 1.0), cancel, twin=twin
    )


def accompany(
    engine: Engine,
    recording: Recording,
    stage: Stage,
    response: Response,
    options: PerturbOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    twin: Engine | None = None,
    publish: Publish | None = None,
) -> PerturbResult:
    """Compute everything that must stand beside a response.

    Parameters
    ----------
    engine : Engine
        That gave the response.
    recording : Recording
        That the stage was cut from.
    stage : Stage
    response : Response
    options : PerturbOptions, optional
    progress, cancel : callable, optional
    twin : Engine, optional
        The random-weights twin when it is loaded already.
    publish : callable, optional
        Called with a name and a part of the result as soon as it is there: ``agreement`` (of what needs no
        answer of a model), ``dose``, ``interaction``, ``dependence``, and ``agreement`` again with the
        controls.

    Returns
    -------
    PerturbResult

    Raises
    ------
    EngineError
    """
    options, scenario = options or PerturbOptions(), response.plan.scenario
    hand_over = publish or (lambda name, part: None)
    known = knowledge(engine, stage, cancel)
    sets = _sets(stage, response, options)
    early = agreements(known, response, sets) if publish is not None else ()
    hand_over("agreement", early)
    dose = dose_curve(engine, stage, scenario, progress=portion(progress, 0.0, 0.08), cancel=cancel)
    hand_over("dose", dose)
    beyond = None
    if len(scenario.actions) > 1:
        beyond = interaction(engine, stage, scenario, cancel)
        hand_over("interaction", beyond)
    tell = portion(progress, 0.08, 0.12)
    found = response_dependence(engine, recording, stage, response, progress=tell, cancel=cancel)
    control = scan_agreement(response, found)
    hand_over("dependence", found)
    hand_over("agreement", (*early, control))
    twin = twin or engine.twin()
    other = twin_response(twin, stage, scenario, progress=portion(progress, 0.12, 0.15), cancel=cancel)
    own = twin_agreement(response, other)
    hand_over("agreement", (*early, control, own))
    null = _null(engine, stage, response, options, sets, portion(progress, 0.15, 1.0), cancel)
    return PerturbResult(
        stage,
        response,
        null,
        dose,
        (*(early or agreements(known, response, sets)), control, own),
        other,
        notices_of(stage, response),
        found,
        beyond,
    )


def _sets(stage: Stage, response: Response, options: PerturbOptions) -> tuple[Plan, ...]:
    """Return the actions on the random sets of the null, before their responses are known."""
    if options.n_sets == 0:
        return ()
    try:
        return matched_plans(stage, response.plan, options.n_sets)
    except ConfigError:
        return ()  # the null itself says why there are none


def _null(
    engine: Engine,
    stage: Stage,
    response: Response,
    options: PerturbOptions,
    sets: tuple[Plan, ...],
    progress: Progress | None,
    cancel: Cancel | None,
) -> NullMap:
    if options.n_sets == 0:
        return no_null(response, "no null was asked for")
    return null_map(
        engine, stage, response, n_sets=options.n_sets, plans=sets, progress=progress, cancel=cancel
    )


def _largest(response: Response) -> float:
    size = np.abs(response.mean[:, response.plan.counted])
    return float(np.nanmax(size)) if not np.isnan(size).all() else float("nan")


def _agreement_row(agreement: Agreement) -> dict[str, Any]:
    low, high = np.percentile(agreement.null, (2.5, 97.5)) if len(agreement.null) else (np.nan, np.nan)
    return {
        "predictor": agreement.predictor,
        "spearman": agreement.value,
        "null_low": low,
        "null_high": high,
        "p": agreement.p,
    }
