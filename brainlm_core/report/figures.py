"""The figures of a report: each from one result, with all numbers that it draws."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.methods import METHODS, ordered, title_of
from brainlm_core.features.forecast import picture as forecast_picture
from brainlm_core.features.forecast.figures import strip_rows as race_rows
from brainlm_core.features.networks.figures import (
    PUBLISHED_WORDS,
    attention_words,
    dependence_words,
    found_networks,
    known_networks,
    strip_rows,
    who_wins,
)
from brainlm_core.features.perturb.analysis import responder_table
from brainlm_core.features.perturb.figures import dependence_sentence, dose_sentence, moments, null_sentence
from brainlm_core.features.perturb.figures import strip_rows as agreement_rows
from brainlm_core.report.charts import Line, line_chart
from brainlm_core.report.figure import Figure, brains_data, rows_data
from brainlm_core.report.figures_cohort import attribution, cohort_map, decoding, place
from brainlm_core.report.figures_scan import dvars, quality, reconstruction, signal, slices
from brainlm_core.viz.palette import DARK, LIGHT, group_words
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.strip import baseline_strip

if TYPE_CHECKING:
    from brainlm_core.base.atlas import Parcellation
    from brainlm_core.features.forecast.result import ForecastResult
    from brainlm_core.features.networks.analysis import NetworksResult
    from brainlm_core.features.perturb.analysis import PerturbResult, Response
    from brainlm_core.report.contents import Contents

#: Moments of one moving brain at most; a report of one scan stays small.
MAX_FRAMES = 300
MAX_RESPONSE_FRAMES = 60
_ACCENT = (LIGHT.accent, DARK.accent)
_MUTED = (LIGHT.muted, DARK.muted)


def networks(result: NetworksResult) -> Figure:
    """Draw the networks found in the attention beside the known ones."""
    parcels = result.view.parcellation
    panels = (found_networks(result.clustering), known_networks(parcels))
    return Figure(
        "networks",
        "Networks",
        who_wins(result.scores, is_random=result.view.model.is_random, dependence=result.dependence),
        f"how sure the clustering is of a parcel, and cause. {attention_words(result.view.model.family)}",
        parcels,
        panels,
        data={**brains_data(panels), "attention": result.attention},
    )


def network_scores(result: NetworksResult) -> Figure:
    """Draw the model beside its baselines and its random-weights twin."""
    knn, clusters = strip_rows(result.scores, "knn"), strip_rows(result.scores, "ari")
    drawing = baseline_strip(
        knn,
        title="Known network named by the five nearest parcels (share)",
        limits=(0.1, 0.9),
    ) + baseline_strip(
        clusters, title="Clusters against known networks (adjusted Rand index)", limits=(0.0, 0.6)
    )
    return Figure(
        "network-scores",
        "Networks: the model beside what needs no model",
        "Dots are scores, bars 95 % intervals over which parcels there are. "
        f"{dependence_words(result.dependence)} {PUBLISHED_WORDS}",
        "other people: the intervals are about parcels of this recording.",
        result.view.parcellation,
        drawing=drawing,
        data={**rows_data("knn", knn), **rows_data("ari", clusters)},
    )


def forecast(result: ForecastResult) -> Figure:
    """Draw observed, forecast and their difference on one clock."""
    own = result.forecast
    scene = forecast_picture.scene_of(own, result.parcellation, simulated=result.provenance.simulated)
    panels = tuple(BrainPanel(p.title, p.frames, p.unit, p.scale, p.limits) for p in scene.panels)
    times = forecast_picture.frame_times(own)
    return Figure(
        "forecast",
        "Forecast",
        result.verdict.sentence,
        "how often a forecast this near is luck; the race says that.",
        result.parcellation,
        panels,
        times,
        float(own.seen_times_s[-1]),
        forecast_picture.lead_in(own),
        data=brains_data(panels, times),
    )


def race(result: ForecastResult) -> Figure | None:
    """Draw R² by time ahead, every method; None when nothing could be tested."""
    run = result.race
    if run is None:
        return None
    lines = []
    for method in ordered(run.values["r2"])[::-1]:
        title, drawn = title_of(method, "forecast"), METHODS[method]
        band = run.intervals["r2"][method] if method == "model" else None
        wide = 3.0 if method == "model" else 1.8
        values = run.values["r2"][method]
        lines.append(
            Line(title, values, (drawn.light, drawn.dark), drawn.svg_dash, wide, band, method == "model")
        )
    low = min(0.0, float(np.nanmin(run.values["r2"]["model"])), -0.3)
    high = max(0.5, max(float(np.nanmax(line.y)) for line in lines) + 0.05)
    drawing = line_chart(
        run.times_s,
        lines,
        x_title="Time after the last seen volume (s)",
        y_title="Explained variance R²",
        said="R² by time ahead, the model against every baseline.",
        y_limits=(low, high),
    ) + baseline_strip(
        race_rows(run, everything=True),
        title=f"Explained variance R², {result.forecast.tr_s:.2g} s ahead",
        limits=(-0.1, 0.5),
    )
    held = result.coverage
    interval = "" if held.share is None else f" The 90 % interval held {100 * held.share:.0f} % of the truth."
    return Figure(
        "race",
        "The race of forecasts",
        f"R² over {run.n_starts} start points of this recording, band and bars 95 % intervals.{interval}",
        "other recordings: another person or scanner may differ. Values below the axis are cut.",
        result.parcellation,
        drawing=drawing,
        data={
            "times_s": run.times_s,
            **{f"r2_{m}": v for m, v in run.values["r2"].items()},
            **{f"r2_ci95_{m}": v for m, v in run.intervals["r2"].items()},
        },
    )


def response(result: PerturbResult) -> Figure:
    """Draw the model's response to the scenario, in all and over time."""
    return response_alone(result.response, result.stage.parcellation)


def response_alone(own: Response, parcellation: Parcellation) -> Figure:
    """Draw a response that has no companions yet."""
    samples = moments(own.plan, len(own.times_s), MAX_RESPONSE_FRAMES)
    course = np.ascontiguousarray(own.mean[:, samples].T)
    top, moving = _end(own.summary), _end(course)
    panels = (
        BrainPanel("Model's response", own.summary, "SD", "diverging", (-top, top)),
        BrainPanel("Response over time", course, "SD", "diverging", (-moving, moving)),
    )
    size = float(np.nanmean(np.abs(own.summary)))
    peak = int(np.nan_to_num(np.abs(course)).mean(axis=1).argmax())
    return Figure(
        "response",
        "Perturbation",
        f"The model expects a mean change of {size:.3f} SD in the parcels that answer; grey parcels were "
        "acted upon or gave no answer.",
        "cause. A response is what the model expects to go with a change, not what it would do to a brain.",
        parcellation,
        panels,
        own.times_s[samples],
        start_frame=peak,
        data=brains_data(panels, own.times_s[samples]),
    )


def companions(result: PerturbResult) -> Figure:
    """Draw what would have said the same, the null, the dose curve, the strongest responders."""
    rows, dose = agreement_rows(result.agreement), result.dose
    doses = np.asarray(dose.doses_sd, dtype=np.float64)
    line = dose.intercept + dose.slope * doses
    table = responder_table(result.response, result.stage, result.null).head(20)
    drawing = (
        baseline_strip(
            rows,
            title="What would have said the same? (rank correlation with the response)",
            limits=(-0.5, 1.0),
        )
        + f'<p class="b-note">{html.escape(null_sentence(result.null))}</p>'
        + line_chart(
            doses,
            [Line("Straight line", line, _MUTED, "6 4"), Line("Response", dose.curve, _ACCENT, dots=True)],
            x_title="Dose (SD)",
            y_title="Response (SD)",
            said="Response of the ten strongest responders against dose, with a straight line.",
        )
        + f'<p class="b-note">{html.escape(dose_sentence(dose))}</p>'
        + _responders(table, result.response.statistic)
    )
    return Figure(
        "companions",
        "Perturbation: what must stand beside it",
        f"{dependence_sentence(result.dependence)} Beside it: what connectivity, nearness, attention and the "
        "group would have said without the model's answer, and random weights.",
        "other people: intervals and nulls are about this recording and this model.",
        result.stage.parcellation,
        drawing=drawing,
        data={
            **rows_data("agreement", rows),
            "dose_sd": doses,
            "dose_response_sd": dose.curve,
            "z": result.null.z,
            "q": result.null.q,
        },
    )


@dataclass(frozen=True)
class Kind:
    """One entry of the registry.

    Parameters
    ----------
    section : str
        What it is made from: a field of :class:`~brainlm_core.report.contents.Contents`, or a further key of
        :data:`brainlm_core.report.reproduce.STEPS`.
    title : str
        What it is called where one is chosen.
    make : callable
        From that result to a figure, or None when the result does not hold it.
    """

    section: str
    title: str
    make: Callable[[Any], Figure | None]


#: Every figure that can be made again; those of a report in its order.
FIGURES: dict[str, Kind] = {
    "signal": Kind("recording", "Signal over time", signal),
    "quality": Kind("recording", "Signal to noise, coverage", quality),
    "slices": Kind("recording", "Mean image and parcels", slices),
    "dvars": Kind("recording", "Steadiness (DVARS)", dvars),
    "networks": Kind("networks", "Networks", networks),
    "network-scores": Kind("networks", "Scores beside baselines", network_scores),
    "forecast": Kind("forecast", "Forecast", forecast),
    "race": Kind("forecast", "Race of forecasts", race),
    "response": Kind("perturbation", "Response", response),
    "companions": Kind("perturbation", "What stands beside it", companions),
    "place": Kind("embedding", "Place among other recordings", place),
    "reconstruction": Kind("reconstruction", "Observed, seen, filled in", reconstruction),
    "cohort-map": Kind("cohort-map", "Map of the cohort", cohort_map),
    "decoding": Kind("decoding", "Decoding beside baselines", decoding),
    "attribution": Kind("attribution", "Attribution", attribution),
}


def make(name: str, result: Any) -> Figure:
    """Return one figure of a result.

    Raises
    ------
    ConfigError
        If there is no figure of that name, or the result does not hold it.
    """
    if name not in FIGURES:
        raise ConfigError(f"there is no figure {name!r}", f"choose one of {', '.join(FIGURES)}")
    figure = FIGURES[name].make(result)
    if figure is None:
        raise ConfigError(f"this result holds no {name}", "see the report for the reason")
    return figure


def figures_of(contents: Contents) -> tuple[Figure, ...]:
    """Return every figure that the contents of a report can fill, in order."""
    from brainlm_core.report.contents import NotMade

    found = []
    for kind in FIGURES.values():
        result = getattr(contents, kind.section, None)
        figure = None if result is None or isinstance(result, NotMade) else kind.make(result)
        if figure is not None:
            found.append(figure)
    return tuple(found)


def _end(values: NDArray[np.float32]) -> float:
    known = np.abs(values[~np.isnan(values)])
    return float(np.percentile(known, 99)) if known.size and known.max() > 0 else 1.0


def _responders(table: Any, statistic: str) -> str:
    head = ["Rank", "Parcel", "Network", "Response (SD)", "95 % interval over draws", "q (FDR)"]
    rows = []
    for row in table.to_dict("records"):
        low, high = row["low_sd"], row["high_sd"]
        interval = "–" if np.isnan(low) else f"{low:+.3f} to {high:+.3f}"
        cells = [
            str(row["rank"]),
            str(row["name"]),
            group_words(row["network"]),
            f"{row[f'{statistic}_sd']:+.3f}",
            interval,
            f"{row['q_fdr']:.3f}" if "q_fdr" in row and not np.isnan(row["q_fdr"]) else "–",
        ]
        rows.append(
            "".join(
                f"<td>{html.escape(c.replace('-', '−') if i > 2 else c)}</td>" for i, c in enumerate(cells)
            )
        )
    titles = "".join(f"<th>{h}</th>" for h in head)
    body = "".join(f"<tr>{r}</tr>" for r in rows)
    return f'<div class="r-scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
