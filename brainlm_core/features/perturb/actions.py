"""What an action does to the signals that the model sees.

All times count from the start of the window; an action at sample time t has the strength w(t): 1 between
onset and end, rising and falling linearly over the ramps, 0 elsewhere. With the parcel's signal x, its mean
m and standard deviation s over the recording:

========  ====================================================================
add       x + w a s
scale     m + (1 + w (f - 1)) (x - m)
silence   (1 - w) x + w m
clamp     (1 - w) x + w (m + a s)
noise     (1 - w) x + w (m + a s e), e white Gaussian, own seed per parcel
delay     (1 - w) x + w x(t - d), the first sample held before the start
swap      (1 - w) x + w (signal of the counterpart in the other hemisphere, scaled to the own m and s)
sine      x + w a s sin(2 pi f (t - onset))
========  ====================================================================

An action reads and writes its own targets only (swap: targets and counterparts), so actions on disjoint
targets commute. Repeating a silence or a clamp that a parcel has just undergone changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.scenario import Action, Target

FloatArray = NDArray[np.float32]
#: Counterparts lie at most this far from each other's mirror image, in mm.
MAX_MIRROR_MM = 20.0
#: Slack when times are compared with samples, in samples.
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class Frame:
    """What actions need to know of the window.

    Parameters
    ----------
    parcellation : Parcellation
    mean, sd : ndarray (P,), float32
        Of each parcel over the recording, in the scaling of the window; sd is 0 for flat parcels.
    tr_s : float
        Sampling interval in s.
    n_seen : int
        Samples of the window that were recorded (the rest is padding).
    """

    parcellation: Parcellation
    mean: FloatArray
    sd: FloatArray
    tr_s: float
    n_seen: int


@dataclass(frozen=True, eq=False)
class Resolved:
    """An action with its parcels and its strength over time.

    Parameters
    ----------
    action : Action
    rows : ndarray, int
        0-based rows that it changes; for swap both sides.
    strength : ndarray (T,), float64
        w(t), 0–1.
    first, stop : int
        Samples in which the action lasts: ``first <= i < stop``.
    """

    action: Action
    rows: NDArray[np.intp]
    strength: NDArray[np.float64]
    first: int
    stop: int


def resolve(action: Action, frame: Frame, n_timepoints: int, until: int, number: int = 1) -> Resolved:
    """Find an action's parcels and its strength at every sample.

    Parameters
    ----------
    action : Action
    frame : Frame
    n_timepoints : int
        Samples of the window T.
    until : int
        First sample that an action may not reach: where the model's view ends.
    number : int
        Of the action, counted from 1, for messages.

    Raises
    ------
    ConfigError
        If the action touches nothing, starts after ``until``, lasts longer, or is faster than the sampling.
    """
    name, tr = f"action {number}", frame.tr_s
    rows = action.targets.rows(frame.parcellation)
    if action.kind == "swap":
        rows = _with_counterparts(rows, frame.parcellation, name)
    if not (frame.sd[rows] > 0).any():
        raise ConfigError(f"no target of {name} varies in this recording", "choose other parcels")
    end_s = until * tr
    if action.onset_s >= end_s - _SLACK * tr:
        raise ConfigError(
            f"{name} starts at {action.onset_s:g} s and the model sees only the first {end_s:.1f} s",
            "choose an earlier onset_s",
        )
    stop_s = end_s if action.duration_s is None else action.onset_s + action.duration_s
    if stop_s > end_s + _SLACK * tr:
        raise ConfigError(
            f"{name} lasts until {stop_s:g} s and the model sees only the first {end_s:.1f} s",
            "shorten duration_s, or leave it out to last to the end",
        )
    if action.kind == "sine" and action.frequency_hz is not None and action.frequency_hz > 0.5 / tr:
        raise ConfigError(
            f"{name} has {action.frequency_hz:g} Hz and samples of {tr:.3g} s hold at most {0.5 / tr:.3g} Hz",
            "choose a lower frequency_hz",
        )
    time = np.arange(n_timepoints) * tr
    first = int(np.ceil(action.onset_s / tr - _SLACK))
    stop = int(np.ceil(stop_s / tr - _SLACK))
    if stop <= first:
        raise ConfigError(
            f"{name} lasts {stop_s - action.onset_s:g} s, less than one sample of {tr:.3g} s",
            "lengthen duration_s",
        )
    strength = np.zeros(n_timepoints)
    inside = time[first:stop]
    strength[first:stop] = 1.0
    if action.ramp_s > _SLACK * tr:
        # Half a sample of head start: the first sample of a ramp is not lost, the last not doubled.
        rise = (inside - action.onset_s + 0.5 * tr) / action.ramp_s
        fall = (stop_s - inside - 0.5 * tr) / action.ramp_s
        strength[first:stop] = np.clip(np.minimum(rise, fall), 0.0, 1.0)
    return Resolved(action, rows, strength, first, stop)


def apply_actions(values: FloatArray, actions: Sequence[Resolved], frame: Frame, seed: int) -> FloatArray:
    """Return the signals after all actions, in their order.

    Parameters
    ----------
    values : ndarray (P, T), float32
        A scaled window; left alone.
    actions : sequence of Resolved
    frame : Frame
    seed : int
        Of noise.

    Returns
    -------
    ndarray (P, T), float32
        Bit-equal to ``values`` wherever no action changes anything.
    """
    out = np.array(values, dtype=np.float32)
    previous: dict[int, Action] = {}  # the last action on each parcel
    for resolved in actions:
        action = resolved.action
        rows = resolved.rows
        if action.kind in ("silence", "clamp"):
            timeless = _timing(action)
            rows = np.array(
                [r for r in rows if (p := previous.get(int(r))) is None or _timing(p) != timeless], np.intp
            )
        previous.update(dict.fromkeys(map(int, resolved.rows), action))
        rows = rows[frame.sd[rows] > 0]  # a parcel without a signal has nothing to change
        if rows.size:
            span = slice(resolved.first, resolved.stop)
            out[rows, span] = _changed(out, rows, resolved, frame, seed)[:, span]
    out[:, frame.n_seen :] = values[:, frame.n_seen :]
    return out


def _timing(action: Action) -> tuple[object, ...]:
    """Everything of an action but its targets."""
    return (action.kind, action.amplitude_sd, action.onset_s, action.duration_s, action.ramp_s)


def _changed(
    values: FloatArray, rows: NDArray[np.intp], resolved: Resolved, frame: Frame, seed: int
) -> NDArray[np.float64]:
    """Return the new signals of ``rows`` at all samples, (rows, T)."""
    action, w = resolved.action, resolved.strength
    x = values[rows].astype(np.float64)
    mean = frame.mean[rows, None].astype(np.float64)
    sd = frame.sd[rows, None].astype(np.float64)
    height = 0.0 if action.amplitude_sd is None else action.amplitude_sd
    time = np.arange(x.shape[1]) * frame.tr_s
    match action.kind:
        case "add":
            return x + w * height * sd
        case "sine":
            assert action.frequency_hz is not None
            return x + w * height * sd * np.sin(2 * np.pi * action.frequency_hz * (time - action.onset_s))
        case "scale":
            assert action.factor is not None
            return np.where(
                w * (action.factor - 1) == 0, x, mean + (1 + w * (action.factor - 1)) * (x - mean)
            )
        case "silence":
            other = np.broadcast_to(mean, x.shape)
        case "clamp":
            other = np.broadcast_to(mean + height * sd, x.shape)
        case "noise":
            draws = [np.random.default_rng([seed, int(r)]).standard_normal(x.shape[1]) for r in rows]
            other = mean + height * sd * np.stack(draws)
        case "delay":
            assert action.delay_s is not None
            other = np.stack([np.interp(time - action.delay_s, time, row) for row in x])
        case "swap":
            other = _counterpart_signals(values, rows, frame)
        case _:  # pragma: no cover - the scenario's reader lets no other kind through
            raise ConfigError(f"there is no action of kind {action.kind!r}", "use a known kind")
    return np.where(w == 0, x, (1 - w) * x + w * other)


def _counterpart_signals(values: FloatArray, rows: NDArray[np.intp], frame: Frame) -> NDArray[np.float64]:
    other = counterparts(frame.parcellation)[rows]
    source = values[other].astype(np.float64) - frame.mean[other, None]
    sd = frame.sd[other, None].astype(np.float64)
    unit = np.divide(source, sd, out=np.zeros_like(source), where=sd > 0)
    return np.asarray(frame.mean[rows, None] + frame.sd[rows, None] * unit, dtype=np.float64)


def _with_counterparts(rows: NDArray[np.intp], parcellation: Parcellation, name: str) -> NDArray[np.intp]:
    other = counterparts(parcellation)[rows]
    paired = other >= 0
    if not paired.any():
        raise ConfigError(
            f"no target of {name} has a counterpart in the other hemisphere", "swap parcels off the midline"
        )
    return np.unique(np.concatenate([rows[paired], other[paired]]))


@lru_cache(maxsize=8)
def counterparts(parcellation: Parcellation) -> NDArray[np.intp]:
    """Return each parcel's counterpart in the other hemisphere, (P,), -1 where there is none.

    Counterparts carry the same name but for the side; where names do not tell, they are each other's
    nearest parcel of the same structure after mirroring, at most :data:`MAX_MIRROR_MM` apart.
    """
    side = np.asarray(parcellation.hemisphere)
    out = np.full(parcellation.n_parcels, -1, dtype=np.intp)
    plain = [_without_side(name) for name in parcellation.names]
    by_name: dict[tuple[str, str], list[int]] = {}
    for i, (name, s) in enumerate(zip(plain, side, strict=True)):
        by_name.setdefault((name, str(s)), []).append(i)
    for (name, s), members in by_name.items():
        across = by_name.get((name, {"L": "R", "R": "L"}.get(s, "")), [])
        if len(members) == len(across) == 1 and name != parcellation.names[members[0]]:
            out[members[0]] = across[0]
    left = np.flatnonzero((side == "L") & (out < 0))
    right = np.flatnonzero((side == "R") & (out < 0))
    if left.size and right.size:
        mirrored = parcellation.xyz[left] * np.array([-1, 1, 1], dtype=np.float32)
        gap = np.linalg.norm(mirrored[:, None] - parcellation.xyz[right][None], axis=-1)  # (left, right)
        structure = np.asarray(parcellation.structure)
        gap[structure[left][:, None] != structure[right][None]] = np.inf
        to_right, to_left = gap.argmin(axis=1), gap.argmin(axis=0)
        mutual = (to_left[to_right] == np.arange(left.size)) & (gap.min(axis=1) <= MAX_MIRROR_MM)
        out[left[mutual]] = right[to_right[mutual]]
        out[right[to_right[mutual]]] = left[mutual]
    out.setflags(write=False)
    return out


def _without_side(name: str) -> str:
    """Return a parcel's name without its side: ``R_V1``, ``mAmyg_L``, ``Left_I-IV``."""
    for mark in ("L", "R", "Left", "Right", "LH", "RH"):
        if name.startswith(f"{mark}_"):
            return name[len(mark) + 1 :]
        if name.endswith(f"_{mark}"):
            return name[: -len(mark) - 1]
    return name


def parcels_target(rows: NDArray[np.intp]) -> Target:
    """Return the target that names these 0-based rows."""
    return Target(parcels=tuple(int(r) + 1 for r in np.unique(rows)))
