"""Windows: what a model gets to see of a recording.

The steps, in their order:

1. :func:`resample` to the model's sampling interval when it differs by more than 1 %;
2. centre and scale each parcel over the whole recording (or over ``reference``), multiply by ``gain``;
3. cut windows; the last one is aligned to the end so that no sample is lost, and a recording shorter
   than one window is padded at its end with the scaled value 0, marked as not observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, KINDS, InputRecipe, ukb_statistics
from brainlm_core.base.recording import Recording, Step
from brainlm_core.base.recording_context import MIN_CONTEXT, RecordingContext
from brainlm_core.model.base import InputSpec

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: Shortest recording that a model is shown, in samples at the model's interval.
MIN_SAMPLES = 60
#: Fewest volumes a recording may have before resampling: interpolation makes samples, not data.
MIN_VOLUMES = 20
#: Relative difference between two sampling intervals that is left alone.
TR_TOLERANCE = 0.01
SCALINGS = tuple(KINDS)
#: A parcel whose spread is below this share of its largest magnitude counts as flat.
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Windows:
    """Scaled windows of one recording.

    Parameters
    ----------
    values : ndarray (W, P, T), float32
        ``(signal - centre) / scale * gain``; 0 for flat parcels and padding. Dimensionless.
    starts_s : ndarray (W,), float64
        Start of each window in s from the start of the recording.
    tr_s : float
        Sampling interval in s.
    scale, centre : ndarray (P,), float32
        In the recording's units; scale is 1 for flat parcels.
    observed : ndarray (W, T), bool
        False where a sample is padding.
    flat : ndarray (P,), bool
        Parcels that do not vary.
    xyz : ndarray (P, 3), float32
        Parcel coordinates in mm, MNI152.
    notices : tuple of str
        What was done, in sentences, the recording's own notices included.
    recipe : InputRecipe
        What was done with the signals.
    context : RecordingContext or None
        What a model that reads the recording may read beside each window; None for all others.
    """

    values: FloatArray
    starts_s: NDArray[np.float64]
    tr_s: float
    scale: FloatArray
    centre: FloatArray
    observed: BoolArray
    flat: BoolArray
    xyz: FloatArray
    notices: tuple[str, ...]
    recipe: InputRecipe = DEFAULT_RECIPE
    context: RecordingContext | None = None

    @property
    def scaling(self) -> str:
        """Kind of the recipe."""
        return self.recipe.kind

    @property
    def gain(self) -> float:
        """Gain of the recipe."""
        return self.recipe.gain

    @property
    def n_windows(self) -> int:
        """Number of windows W."""
        return int(self.values.shape[0])

    @property
    def n_parcels(self) -> int:
        """Number of parcels P."""
        return int(self.values.shape[1])

    @property
    def n_timepoints(self) -> int:
        """Samples per window T."""
        return int(self.values.shape[2])

    def to_source_units(self, values: NDArray[np.floating]) -> FloatArray:
        """Undo the scaling of an array (…, P, T)."""
        out = values / self.gain * self.scale[:, None] + self.centre[:, None]
        return np.asarray(out, dtype=np.float32)

    def pick(self, index: NDArray[np.intp] | slice) -> Windows:
        """Return some of the windows."""
        return Windows(
            self.values[index],
            self.starts_s[index],
            self.tr_s,
            self.scale,
            self.centre,
            self.observed[index],
            self.flat,
            self.xyz,
            self.notices,
            self.recipe,
            None if self.context is None else self.context.pick(index),
        )


def resample(recording: Recording, tr_s: float | None) -> Recording:
    """Bring a recording to another sampling interval, with an anti-aliasing filter.

    The mean is removed, a polyphase filter (``scipy.signal.resample_poly``, Kaiser window) runs at
    a rational approximation of the ratio (relative error below 1e-4), the mean is put back.

    Parameters
    ----------
    recording : Recording
    tr_s : float or None
        Wanted interval in s; None leaves the recording alone.

    Returns
    -------
    Recording
        The same object when the intervals differ by at most 1 %; else with a step and a notice.
    """
    if tr_s is None or abs(recording.tr_s / tr_s - 1) <= TR_TOLERANCE:
        return recording
    if not 0.01 <= recording.tr_s / tr_s <= 100:
        raise EngineError(
            f"a repetition time of {recording.tr_s:g} s is too far from the model's {tr_s:g} s",
            "check the repetition time",
        )
    from scipy.signal import resample_poly

    ratio = _ratio(recording.tr_s / tr_s)
    new_tr = recording.tr_s * ratio.denominator / ratio.numerator
    mean = recording.signals.mean(axis=1, keepdims=True, dtype=np.float64)
    signals = resample_poly(
        recording.signals - mean, ratio.numerator, ratio.denominator, axis=1, padtype="line"
    )
    finer = new_tr < recording.tr_s
    notice = f"Resampled from {recording.tr_s:.3g} s to the model's {new_tr:.3g} s" + (
        f"; frequencies above {0.5 / recording.tr_s:.2g} Hz were never measured and stay empty."
        if finer
        else f"; frequencies above {0.5 / new_tr:.2g} Hz were filtered out."
    )
    step = Step("resample", {"from_tr_s": recording.tr_s, "to_tr_s": new_tr, "method": "polyphase, Kaiser"})
    return recording.with_step(
        step, notice=notice, signals=(signals + mean).astype(np.float32), tr_s=new_tr, quality=None
    )


def make_windows(
    recording: Recording,
    spec: InputSpec,
    *,
    scaling: str | None = None,
    gain: float = 1.0,
    stride_s: float | None = None,
    reference: slice | None = None,
) -> Windows:
    """Resample, scale and cut a recording as a model wants it; see the module for the steps.

    Parameters
    ----------
    recording : Recording
    spec : InputSpec
        Of the model.
    scaling : str or None
        Another kind than that of ``spec.recipe``. ``recording``: (x − median) / interquartile range of this
        recording; ``cohort``: mean removed, then median and interquartile range pooled over a cohort;
        ``ukb1000``: mean removed, then median, interquartile range and clipping limits of 1,000 UK Biobank
        recordings, for A424 data on that intensity scale; ``none``: as it is; ``zscore``: (x − mean) /
        standard deviation. None: the recipe's own, of a ``reference`` with the centre that the model wants
        (``spec.seen_by_mean``).
    gain : float
        Multiplies the scaled values, besides the recipe's gain.
    stride_s : float or None
        Distance between window starts in s; one window when None.
    reference : slice or None
        Samples (after resampling) that the scaling may look at, e.g. only the past of a forecast.

    Returns
    -------
    Windows

    Raises
    ------
    EngineError
        If the recording is too short or has another number of parcels than the model demands.
    ConfigError
        If a setting is out of range or ``ukb1000`` does not apply.
    """
    if spec.n_parcels is not None and recording.n_parcels != spec.n_parcels:
        raise EngineError(
            f"this model wants {spec.n_parcels} parcels and the recording has {recording.n_parcels}",
            "use a model that takes any parcels, such as default or 13m",
        )
    if not (np.isfinite(gain) and gain > 0):
        raise ConfigError(f"a gain of {gain} is impossible", "give a positive number")
    if recording.n_timepoints < MIN_VOLUMES:
        raise EngineError(
            f"the recording has {recording.n_timepoints} volumes", f"give at least {MIN_VOLUMES} volumes"
        )
    resampled = resample(recording, spec.tr_s)
    n = resampled.n_timepoints
    if n < MIN_SAMPLES:
        raise EngineError(
            f"the recording lasts {resampled.duration_s:.0f} s ({n} samples at {resampled.tr_s:.3g} s)",
            f"give at least {MIN_SAMPLES * resampled.tr_s:.0f} s ({MIN_SAMPLES} samples)",
        )
    recipe = spec.recipe.scaled_by(scaling, gain)
    by_mean = scaling is None and reference is not None and spec.seen_by_mean
    scaled, centre, scale, flat = _scale(resampled, recipe, reference, by_mean)
    gain = recipe.gain
    length, tr = spec.n_timepoints, resampled.tr_s
    stride = length if stride_s is None else max(1, round(stride_s / tr))
    starts = _starts(n, length, stride)
    values = np.zeros((len(starts), resampled.n_parcels, length), dtype=np.float32)
    observed = np.zeros((len(starts), length), dtype=bool)
    for i, start in enumerate(starts):
        piece = scaled[:, start : start + length]
        values[i, :, : piece.shape[1]] = piece * np.float32(gain)
        observed[i, : piece.shape[1]] = True
    notices = list(resampled.notices)
    if n < length:
        notices.append(
            f"The recording has {n} samples and the model wants {length}: the missing "
            f"{(length - n) * tr:.0f} s at the end are hidden from the model."
        )
    if flat.any():
        notices.append(f"{int(flat.sum())} of {flat.size} parcels do not vary; the model sees zeros there.")
    context = None
    if spec.context == "recording":
        context = RecordingContext.of_recording(scaled * np.float32(gain), values, observed)
        if not context.n_outside().any():
            notices.append(
                f"Outside its window the recording has {max(0, n - length)} samples and the model reads "
                f"{MIN_CONTEXT} or more: the window is read alone."
            )
    return Windows(
        values,
        np.asarray(starts * tr, dtype=np.float64),
        tr,
        scale,
        centre,
        observed,
        flat,
        np.asarray(resampled.parcellation.xyz, dtype=np.float32),
        tuple(notices),
        recipe,
        context,
    )


def _ratio(value: float) -> Fraction:
    """Return the simplest fraction within 1e-4 of ``value``."""
    for limit in (10, 30, 100, 300, 1000, 3000):
        ratio = (
            Fraction(value).limit_denominator(limit)
            if value >= 1
            else 1 / Fraction(1 / value).limit_denominator(limit)
        )
        if abs(float(ratio) / value - 1) < 1e-4:
            break
    return ratio


def _starts(n: int, length: int, stride: int) -> NDArray[np.intp]:
    """Window starts; the last window ends with the recording."""
    if n <= length:
        return np.zeros(1, dtype=np.intp)
    starts = np.arange(0, n - length + 1, stride, dtype=np.intp)
    if starts[-1] != n - length:
        starts = np.append(starts, n - length)
    return starts


def _scale(
    recording: Recording, recipe: InputRecipe, reference: slice | None, by_mean: bool = False
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Return scaled signals (P, N), centre (P,), scale (P,), flat (P,)."""
    signals = recording.signals
    seen = signals if reference is None else signals[:, reference]
    if seen.shape[1] < 2:
        raise ConfigError("the scaling sees fewer than 2 samples", "choose a longer reference")
    spread = np.ptp(seen, axis=1)
    limits = None
    if recipe.kind == "recording":
        low, centre, high = np.percentile(seen, (25, 50, 75), axis=1)
        centre = seen.mean(axis=1, dtype=np.float64) if by_mean else centre
        scale = spread = high - low
    elif recipe.kind == "zscore":
        centre, scale = seen.mean(axis=1, dtype=np.float64), seen.std(axis=1, dtype=np.float64)
        spread = scale
    elif recipe.kind == "none":
        centre, scale = np.zeros(len(seen)), np.ones(len(seen))
    else:
        median, scale, limits = _pooled(recording, recipe)
        centre = seen.mean(axis=1, dtype=np.float64) + median
        spread = np.minimum(spread, scale)
    if recipe.centre != "own":
        named = {"median": np.median(seen, axis=1), "mean": seen.mean(axis=1), "zero": np.zeros(len(seen))}
        centre = named[recipe.centre]
    flat = spread <= _FLAT * np.maximum(np.abs(seen).max(axis=1), np.finfo(np.float32).tiny)
    scale = np.where(flat, 1.0, scale)
    scaled = (signals - centre[:, None]) / scale[:, None]
    if limits is not None:
        scaled = np.clip(scaled, limits[0][:, None], limits[1][:, None])
    scaled = np.where(flat[:, None], 0.0, scaled)
    return scaled.astype(np.float32), centre.astype(np.float32), scale.astype(np.float32), flat


def _pooled(
    recording: Recording, recipe: InputRecipe
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]] | None]:
    """Return median and interquartile range (P,) of a cohort, and its clipping limits where it has some."""
    parcels = recording.parcellation
    if recipe.kind == "ukb1000":
        table = ukb_statistics()
        if not parcels.name.startswith("A424") or recording.n_parcels > len(table):
            raise ConfigError(
                "the UK Biobank statistics exist for the A424 parcels only", "choose the recording scaling"
            )
        median, iqr, low, high = table[: recording.n_parcels].T
        return median, iqr, (low, high)
    own = recipe.statistics
    assert own is not None  # a cohort recipe has them
    if parcels.names != own.names:
        raise ConfigError(
            f"the cohort's statistics are of {len(own.names)} parcels of {own.parcellation}, "
            f"the recording has {recording.n_parcels} of {parcels.name}",
            "give statistics of the same parcellation, or choose the recording scaling",
        )
    return np.array(own.median), np.array(own.iqr), None


def hidden_mask(
    windows: Windows, hidden: NDArray[np.bool_] | None, patch_length: int
) -> NDArray[np.bool_] | None:
    """Join what was asked to be hidden with the padding; None when everything is visible.

    A token that is padding throughout is hidden; one that is padding in part stays visible.

    Parameters
    ----------
    windows : Windows
    hidden : ndarray (W, P, T) or anything that broadcasts to it, bool, or None
    patch_length : int
        Samples per token.

    Returns
    -------
    ndarray (W, P, T), bool, or None

    Raises
    ------
    EngineError
        If the shapes do not fit.
    """
    filled = windows.observed.sum(axis=1)  # (W,)
    padding = np.arange(windows.n_timepoints) >= -(-filled[:, None] // patch_length) * patch_length  # (W, T)
    if hidden is None:
        if not padding.any():
            return None
        return np.broadcast_to(padding[:, None], windows.values.shape)
    try:
        asked = np.broadcast_to(np.asarray(hidden, dtype=bool), windows.values.shape)
    except ValueError as error:
        raise EngineError(
            f"a mask of shape {np.shape(hidden)} does not fit windows of shape {windows.values.shape}",
            "give one value per window, parcel and sample",
        ) from error
    return np.asarray(asked | padding[:, None])
