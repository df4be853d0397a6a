"""What the browser gets: sliders, single responses, the exact answer, companions' maps."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.perturb.answers import Desk, bank_key, frames_of
from app.perturb.rows import SLIDER_KINDS, SliderRow
from app.perturb.state import PageState, rows_of
from app.shell.theme import group_words
from app.shell.words import capital
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.features.perturb.analysis import Response, Stage

READOUT_WORDS = {
    "others": "the other parcels, meanwhile",
    "future": "what comes after",
    "both": "both",
}
#: What a brain can show, in the order of the list; the first is on the left where two fit beside each other.
MAP_WORDS = {
    "response": "Model's response",
    "time": "Response over time",
    "lag": "When the response peaks",
    "z": "Against random sets of parcels",
    "interaction": "Interaction of the sliders",
}
COMPARE_WORDS = {"a": "A", "b": "B", "change": "B minus A"}
GAP_WORDS = "acted upon, or no answer"
#: What the model sees of a window before anything is loaded, in s: the published window but its last block.
_SEEN_S = 129.6


def message(
    who_identity: str, state: PageState, recording: Recording, rows: tuple[SliderRow, ...], desk: Desk | None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return header and arrays of the component; see ``frontend/perturb.js``.

    Parameters
    ----------
    who_identity : str
        Changes with recording and model: the browser then forgets its sliders.
    state : PageState
    recording : Recording
    rows : tuple of SliderRow
    desk : Desk or None
        None before the model is loaded.
    """
    n = recording.n_parcels
    stage = None if desk is None else desk.stages.get(state.base.window)
    scenario = state.scenario
    first = None if desk is None or scenario is None else desk.answers.get(scenario)
    answer = None if desk is None else desk.best(scenario)
    compare = None if desk is None else desk.best(state.compare)
    result = None if desk is None or scenario is None else desk.results.get(scenario)
    samples, times, seen_until = _clock(state, rows, stage, answer)
    header_rows, bank = _bank(rows, state, desk, samples, n)
    exact_known = stage is not None and (scenario is None or answer is not None) and state.error is None
    zero = np.zeros(n, np.float32)
    arrays: dict[str, NDArray[Any]] = {
        **bank,
        "exact_effect": zero if answer is None else answer.summary,
        # What the first-order picture is held against: the same mask draws as the single responses.
        "first_effect": zero if first is None else first.summary,
        "exact_frames": np.zeros(len(samples) * n, np.float32)
        if answer is None
        else np.ascontiguousarray(answer.mean[:, samples].T).ravel(),
        "a_effect": np.full(n, np.nan, np.float32) if compare is None else compare.summary,
    }
    ready = ["response", "time", "interaction"]
    lag_limits = [0.0, 1.0]
    if answer is not None:
        arrays["lag"] = answer.lag_s()
        ready.append("lag")
        if not np.isnan(arrays["lag"]).all():
            lag_limits[1] = max(float(np.nanmax(arrays["lag"])), 1.0)
    if result is not None and not result.null.reason:
        arrays["z"] = result.null.z
        ready.append("z")
    tr = recording.tr_s if stage is None else stage.window.tr_s
    seen = _SEEN_S if stage is None else stage.grid.last_block() * tr
    limit, frame_limit = _limits(arrays)
    header = {
        "identity": f"{who_identity}/{state.token}",
        "serial": state.serial,
        "replaced": state.replaced,
        "rows": header_rows,
        "common": vars(state.common),
        "readout": state.base.readout,
        "base": {k: v for k, v in state.base.to_dict().items() if k not in ("actions", "readout")},
        "kinds": {name: {**vars(k), "switch": k.switch} for name, k in SLIDER_KINDS.items()},
        "readouts": READOUT_WORDS,
        "maps": {name: words for name, words in MAP_WORDS.items() if name in ready},
        "compare_maps": COMPARE_WORDS,
        "gap": GAP_WORDS,
        "limits": {"seen_s": round(seen, 4), "tr": round(tr, 6), "max_frequency": round(0.5 / tr, 3)},
        "frame_times": [round(float(t), 4) for t in times],
        "seen_until": seen_until,
        "exact": exact_known,
        "draws": 0 if answer is None else len(answer.effect_by_draw),
        "a": None if state.compare is None else state.compare.to_dict(),
        "a_ready": compare is not None,
        "unit": "SD" if answer is None or answer.statistic == "effect" else "SD (size)",
        "limit": limit,
        "frame_limit": frame_limit,
        "lag_limits": lag_limits,
        "camera": state.camera,
        "share": share_of(state),
        "loading": stage is None,
    }
    return header, arrays


def _clock(
    state: PageState, rows: tuple[SliderRow, ...], stage: Stage | None, answer: Response | None
) -> tuple[NDArray[np.intp], NDArray[np.float64], float | None]:
    """Return the samples on screen, their times in s, and until when the model sees the data."""
    plan = None if answer is None else answer.plan
    if plan is None and stage is not None and (state.scenario is not None or rows):
        from brainlm_core.features.perturb.masks import make_plan

        scenario = state.scenario or state.base.with_actions([rows[0].action(1.0)])
        with contextlib.suppress(BrainLMError):  # what is wrong with it, the page says when it asks
            plan = make_plan(scenario, stage.frame, stage.grid)
    if plan is None or stage is None:
        return np.arange(2), np.arange(2, dtype=np.float64), None
    samples = frames_of(plan, len(stage.times_s))
    border = None if plan.future == len(stage.times_s) else float(stage.times_s[plan.future - 1])
    return samples, stage.times_s[samples], border


def _bank(
    rows: tuple[SliderRow, ...], state: PageState, desk: Desk | None, samples: NDArray[np.intp], n: int
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """Return the rows with their nodes, and the responses at the nodes, frames in 8 bits."""
    effects: list[NDArray[np.float32]] = []
    frames: list[NDArray[np.int8]] = []
    scales: list[float] = []
    listed = []
    for row in rows:
        nodes = []
        for single in () if desk is None else desk.bank(row, state.base):
            nodes.append((single.value, len(effects)))
            effects.append(single.summary)
            frames.append(single.course[:, samples].T.ravel())  # frames × parcels
            scales.append(single.step)
        blocked = "" if desk is None else desk.blocked.get(bank_key(row, state.base), "")
        listed.append(row.to_message(nodes, capital(blocked) if blocked else ""))
    return listed, {
        "bank_effects": np.concatenate(effects) if effects else np.zeros(0, np.float32),
        "bank_frames": np.concatenate(frames) if frames else np.zeros(0, np.int8),
        "bank_scales": np.array(scales, dtype=np.float32),
    }


def _limits(arrays: dict[str, NDArray[Any]]) -> tuple[float, float]:
    """Return round ends of the colour bars, in SD: of the map and of the animation."""
    maps = np.abs(
        np.concatenate([arrays["bank_effects"], arrays["exact_effect"], np.nan_to_num(arrays["a_effect"])])
    )
    course = np.abs(arrays["exact_frames"])
    return _round_up(maps), _round_up(course)


def _round_up(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values) & (values > 0)]
    if not known.size:
        return 1.0
    top = float(np.percentile(known, 99))
    step = 10.0 ** np.floor(np.log10(top))
    return float(next(m for m in (1, 2, 5, 10) if m * step >= top * 0.999) * step)


def share_of(state: PageState) -> dict[str, str]:
    """Return the parameters of the link, the camera left to the browser."""
    out = {} if state.scenario is None else {"s": state.scenario.to_url()}
    if state.compare is not None:
        out["a"] = state.compare.to_url()
    return out


def sentence_of(state: PageState, recording: Recording, answer: Response | None) -> str:
    """Return the one sentence: who moves most, in the model's view."""
    if state.scenario is None:
        return "Drag a slider: the brain shows what the model expects to go with it."
    moved = [row for row in rows_of(state, recording) if row.active]
    what = "; ".join(_in_words(row) for row in moved) if len(moved) <= 2 else f"{len(moved)} sliders moved"
    if answer is None:
        return f"{what}: the model is answering."
    groups = np.array(recording.parcellation.group)
    means = {}
    for group in dict.fromkeys(groups):
        values = answer.summary[groups == group]
        if group not in ("cortex", "unknown") and (~np.isnan(values)).sum() >= 3:
            means[str(group)] = float(np.nanmean(values))
    if not means or max(abs(v) for v in means.values()) == 0:
        return f"{what}: the model expects no change anywhere else."
    top = max(means, key=lambda g: abs(means[g]))
    size = f"{means[top]:+.2f}" if answer.statistic == "effect" else f"{means[top]:.2f}"
    return f"{what}: the model expects {group_words(top)} to go along most, {size} SD on average.".replace(
        "-", "−"
    )


def _in_words(row: SliderRow) -> str:
    kind = SLIDER_KINDS[row.kind]
    if kind.switch:
        return f"{row.label} {'silenced' if row.kind == 'silence' else 'swapped'}"
    sign = "+" if row.value > 0 and row.kind == "add" else ""
    words = {"scale": " fluctuations", "noise": " noise", "sine": " sine", "delay": " late", "clamp": " held"}
    return f"{row.label} {sign}{row.value:g} {kind.unit}{words.get(row.kind, '')}"
