"""The figures of a report: each from one result, with all numbers that it draws."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.analyses import forecast_picture
from brainlm_core.analyses.perturb import responder_table
from brainlm_core.errors import ConfigError
from brainlm_core.look.attention import PUBLISHED, found_networks, known_networks, strip_rows, who_wins
from brainlm_core.look.forecast import strip_rows as race_rows
from brainlm_core.look.palette import DARK, LIGHT, group_words
from brainlm_core.look.panels import BrainPanel
from brainlm_core.look.perturb import dose_sentence, moments, null_sentence
from brainlm_core.look.perturb import strip_rows as agreement_rows
from brainlm_core.look.signals import LIMIT_SD, frames
from brainlm_core.look.strip import METHODS, Row, baseline_strip
from brainlm_core.look.words import duration
from brainlm_core.report.charts import Line, line_chart, scatter_chart
from brainlm_core.report.figure import Figure

if TYPE_CHECKING:
    from brainlm_core.analyses.forecast_result import ForecastResult
    from brainlm_core.analyses.networks import NetworksResult
    from brainlm_core.analyses.perturb import PerturbResult, Response
    from brainlm_core.atlas import Parcellation
    from brainlm_core.recording import Recording
    from brainlm_core.report.contents import Contents
    from brainlm_core.report.position import Position

#: Moments of one moving brain at most; a report of one scan stays small.
MAX_FRAMES = 300
MAX_RESPONSE_FRAMES = 60
_ACCENT = (LIGHT.accent, DARK.accent)
_MUTED = (LIGHT.muted, DARK.muted)
_DASHES = {"mean": "2 4", "last_value": "8 5", "ar": "8 4 2 4", "random_twin": "14 5"}


def _brains(panels: Sequence[BrainPanel], times_s: NDArray[np.float64] | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {f"panel{i}": panel.values for i, panel in enumerate(panels)}
    return data if times_s is None else {**data, "times_s": times_s}


def signal(recording: Recording) -> Figure:
    """Draw the signals moving on the brain."""
    n = min(recording.n_timepoints, MAX_FRAMES)
    times = (np.arange(n) * recording.tr_s).astype(np.float64)
    mark = " (simulated)" if recording.provenance.simulated else ""
    panel = BrainPanel(
        f"Signal over time{mark}",
        frames(recording)[:n],
        "SD from the parcel's mean",
        "diverging",
        (-LIMIT_SD, LIMIT_SD),
        alt=f"Brain surface coloured by the signal of {recording.n_parcels} parcels.",
    )
    carrying = recording.n_parcels if recording.quality is None else int((~recording.quality.flat).sum())
    length = duration(recording.duration_s)
    cut = "" if n == recording.n_timepoints else f" Shown: the first {duration(n * recording.tr_s)}."
    return Figure(
        "signal",
        "The recording",
        f"{carrying} of {recording.n_parcels} parcels carry signal over {length}.{cut}",
        "anything finer than a parcel, and absolute levels: colours are relative to a parcel's own mean.",
        recording.parcellation,
        (panel,),
        times,
        data=_brains([panel], times),
    )


def dvars(recording: Recording) -> Figure | None:
    """Draw how much the picture changes from volume to volume; None without quality figures."""
    quality = recording.quality
    if quality is None:
        return None
    times = np.arange(recording.n_timepoints) * recording.tr_s
    changes = quality.dvars.copy()
    changes[0] = np.nan  # there is no volume before the first
    data = {"times_s": times, "dvars": changes, "spikes": quality.spikes}
    lines = [Line("DVARS", changes, _ACCENT, width=1.4)]
    if quality.fd_mm is not None:
        data["fd_mm"] = quality.fd_mm
        lines.insert(0, Line("Framewise displacement (mm)", quality.fd_mm, _MUTED, "3 3", 1.2))
    spikes = int(quality.spikes.sum())
    verb = "differs" if spikes == 1 else "differ"
    return Figure(
        "dvars",
        "Steadiness",
        f"{spikes} of {recording.n_timepoints} volumes {verb} from the one before far more than usual.",
        "where in the brain a change comes from.",
        recording.parcellation,
        drawing=line_chart(
            times,
            lines,
            x_title="Time (s)",
            y_title="DVARS (SD)",
            said="DVARS over time.",
            legend=len(lines) > 1,
        ),
        data=data,
    )


def networks(result: NetworksResult) -> Figure:
    """Draw the networks found in the attention beside the known ones."""
    parcels = result.view.parcellation
    panels = (found_networks(result.clustering), known_networks(parcels))
    return Figure(
        "networks",
        "Networks",
        who_wins(result.scores, is_random=result.view.model.is_random),
        "how sure the clustering is of a parcel, and cause: attention says what the model reads.",
        parcels,
        panels,
        data={**_brains(panels), "attention": result.attention},
    )


def network_scores(result: NetworksResult) -> Figure:
    """Draw the model beside its baselines and its random-weights twin."""
    knn, clusters = strip_rows(result.scores, "knn"), strip_rows(result.scores, "ari")
    drawing = baseline_strip(
        knn,
        title="Known network named by the five nearest parcels (share)",
        limits=(0.2, 0.9),
        reference=PUBLISHED,
    ) + baseline_strip(
        clusters, title="Clusters against known networks (adjusted Rand index)", limits=(0.0, 0.6)
    )
    return Figure(
        "network-scores",
        "Networks: the model beside what needs no model",
        "Dots are scores, bars 95 % intervals over which parcels there are.",
        "other people: the intervals are about parcels of this recording.",
        result.view.parcellation,
        drawing=drawing,
        data={**_rows("knn", knn), **_rows("ari", clusters)},
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
        data=_brains(panels, times),
    )


def race(result: ForecastResult) -> Figure | None:
    """Draw R² by time ahead, every method; None when nothing could be tested."""
    run = result.race
    if run is None:
        return None
    lines = []
    for method in [m for m in METHODS if m in run.values["r2"]][::-1]:
        title, light, dark, _ = METHODS[method]
        band = run.intervals["r2"][method] if method == "model" else None
        wide = 3.0 if method == "model" else 1.8
        values = run.values["r2"][method]
        lines.append(
            Line(title, values, (light, dark), _DASHES.get(method, ""), wide, band, method == "model")
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
        race_rows(run, [m for m in METHODS if m in run.values["r2"]]),
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
        data=_brains(panels, own.times_s[samples]),
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
        "Connectivity, nearness and attention without the model's answer, and random weights.",
        "other people: intervals and nulls are about this recording and this model.",
        result.stage.parcellation,
        drawing=drawing,
        data={
            **_rows("agreement", rows),
            "dose_sd": doses,
            "dose_response_sd": dose.curve,
            "z": result.null.z,
            "q": result.null.q,
        },
    )


def place(result: Position) -> Figure:
    """Draw the recording among those of the bundled cohort, beside the random-weights twin."""
    drawing = ""
    data: dict[str, NDArray[Any]] = {}
    n = len(result.drawn.xy)
    for name, title, drawn, placed in (
        ("model", "Model", result.drawn, result.placed),
        ("twin", "Random weights", result.twin_drawn, result.twin_placed),
    ):
        drawing += scatter_chart(
            drawn.xy,
            placed.xy,
            title=title,
            x_title=f"First component ({100 * drawn.explained[0]:.0f} % of the variance)",
            y_title=f"Second component ({100 * drawn.explained[1]:.0f} %)",
            said=f"{title}: {len(drawn.xy)} recordings of the cohort, this one marked.",
        )
        drawing += (
            f'<p class="b-note">{html.escape(placed.sentence())} Neighbours that the map keeps: '
            f"{100 * float(drawn.trust.mean()):.0f} % (by chance {100 * drawn.chance:.0f} %).</p>"
        )
        data |= {f"{name}_xy": drawn.xy, f"{name}_own_xy": placed.xy, f"{name}_trust": drawn.trust}
        data |= {
            f"{name}_percentile": np.array(placed.percentile),
            f"{name}_distances": np.array(placed.distances),
        }
    return Figure(
        "place",
        "Place among other recordings",
        f"This recording among the {n} of the bundled cohort, in the model's summary token.",
        "what makes recordings differ: scanner, motion and length weigh as much as the person.",
        result.parcellation,
        drawing=drawing,
        data=data,
    )


@dataclass(frozen=True)
class Kind:
    """One entry of the registry.

    Parameters
    ----------
    section : {"recording", "networks", "forecast", "perturbation", "embedding"}
        Field of :class:`~brainlm_core.report.contents.Contents` that it is made from.
    make : callable
        From that result to a figure, or None when the result does not hold it.
    """

    section: str
    make: Callable[[Any], Figure | None]


#: Every figure of a report, in its order.
FIGURES: dict[str, Kind] = {
    "signal": Kind("recording", signal),
    "dvars": Kind("recording", dvars),
    "networks": Kind("networks", networks),
    "network-scores": Kind("networks", network_scores),
    "forecast": Kind("forecast", forecast),
    "race": Kind("forecast", race),
    "response": Kind("perturbation", response),
    "companions": Kind("perturbation", companions),
    "place": Kind("embedding", place),
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
        result = getattr(contents, kind.section)
        figure = None if isinstance(result, NotMade) else kind.make(result)
        if figure is not None:
            found.append(figure)
    return tuple(found)


def _rows(name: str, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    nothing = (np.nan, np.nan)
    return {
        f"{name}_method": np.array([row.method for row in rows], dtype=np.str_),
        f"{name}_value": np.array([np.nan if row.value is None else row.value for row in rows]),
        f"{name}_ci95": np.array([row.interval or nothing for row in rows], dtype=np.float64),
    }


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
