"""Which parcels, and when, move a read-out of the embedding: integrated gradients and occlusion (Captum).

The question is always "compared with what". Here: with the same window after its Fourier phases were shuffled
in each parcel by itself, so that every parcel keeps its spectrum and loses what it shares; several
such surrogates are averaged. (From an all-zero window the path would say nothing: an embedding that ignores
the scale of the signals does not change along it.)

- Integrated gradients (Sundararajan et al. 2017): gradients along the straight path from surrogate to window,
  times the difference. Their sum should be the difference of the two read-outs; what is missing is shown.
- Occlusion: a parcel (or a network for some seconds) is replaced by its surrogate, the change is its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from brainlm_core.base.errors import AnalysisError, EngineError
from brainlm_core.base.recording import Recording
from brainlm_core.base.surrogates import shuffled_phases
from brainlm_core.features.attribution.direction import Direction
from brainlm_core.features.attribution.result import AttributeOptions, Attribution
from brainlm_core.inference.engine import Cancelled, Engine
from brainlm_core.inference.windows import Windows

FloatArray = NDArray[np.float32]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Above this many tokens occlusion goes by network and patch instead of by parcel, on a CPU.
MAX_TOKENS_BY_PARCEL = 2000
#: Path points that are computed at once, and occlusions that are computed at once.
_AT_ONCE, _MAX_TOKENS_AT_ONCE = 4, 5000


def attribute(
    engine: Engine,
    recording: Recording,
    direction: Direction,
    options: AttributeOptions | None = None,
    *,
    twin: Engine | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Attribution:
    """Attribute a read-out to parcels and time.

    Parameters
    ----------
    engine : Engine
    recording : Recording
        With at least one whole window.
    direction : Direction
        Of this model's embeddings.
    options : AttributeOptions, optional
    twin : Engine, optional
        The same architecture with random weights: a map that it gives too says nothing of the training.
    progress, cancel : callable, optional

    Raises
    ------
    AnalysisError
        If the recording has no whole window, or the direction belongs to another model.
    Cancelled
    """
    options = options or AttributeOptions()
    done: Attribution = engine.call(
        _attribute, recording, direction, options, twin=twin, progress=progress, cancel=cancel
    )
    return done


def _attribute(
    engine: Engine,
    recording: Recording,
    direction: Direction,
    options: AttributeOptions,
    *,
    twin: Engine | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> Attribution:
    """Do it beside the model: a path's gradients are many passes."""
    windows = _whole_windows(engine, recording, options.max_windows)
    total = 2 if twin is not None else 1
    own = _shares(engine, windows, recording, direction, options, _part(progress, 0, total), cancel)
    strength = np.abs(own.parcels)
    attention = engine.attention(windows, cancel=cancel).cls_map()
    agreement = {
        "attention": _rank(strength, attention, windows.flat),
        "connectivity": _rank(strength, _mean_connectivity(windows), windows.flat),
    }
    if twin is not None:
        other = _shares(twin, windows, recording, direction, options, _part(progress, 1, total), cancel)
        agreement["random_twin"] = _rank(strength, np.abs(other.parcels), windows.flat)
    if progress is not None:
        progress(1.0, "Attribution: done")
    return Attribution(
        direction,
        options,
        own.values,
        own.parcels,
        own.parcels_sd,
        windows.flat,
        windows.starts_s,
        windows.tr_s,
        own.resolution,
        own.value,
        own.reference,
        own.completeness_error,
        attention,
        agreement,
        _notices(engine, windows),
        {
            "scan": recording.provenance.source_name,
            "sha256": recording.provenance.sha256,
            "model": engine.info.to_dict(),
        },
    )


@dataclass(frozen=True, eq=False)
class _Shares:
    values: FloatArray
    parcels: FloatArray
    parcels_sd: FloatArray
    value: float
    reference: float
    completeness_error: float
    resolution: str


class _Readout:
    """Read-out of windows (B, P, T) → (B,), differentiable; counts its work and stops when asked to."""

    def __init__(
        self,
        engine: Engine,
        windows: Windows,
        direction: Direction,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        self.engine, self.layer, self.offset = engine, direction.layer, direction.offset
        self.progress, self.cancel = progress, cancel
        self.expected, self.done = 1, 0
        self.xyz = torch.from_numpy(windows.xyz.copy()).to(engine.device)
        self.weights = torch.from_numpy(direction.weights).float().to(engine.device)
        varying = np.arange(windows.n_parcels) if windows.flat.all() else np.flatnonzero(~windows.flat)
        self.varying = torch.from_numpy(varying).to(engine.device)
        patches = -(-windows.n_timepoints // engine.spec.patch_length)
        tokens = max(1, windows.n_parcels * patches // engine.spec.parcels_per_token)
        self.at_once = max(1, min(_AT_ONCE, _MAX_TOKENS_AT_ONCE // tokens))

    def __call__(self, signal: Tensor) -> Tensor:
        """Return the read-out; the caller holds the device (:meth:`Engine.gradients`)."""
        if self.cancel is not None and self.cancel():
            raise Cancelled
        if self.progress is not None:
            self.progress(min(1.0, self.done / self.expected), "Attribution: asking the model")
        if self.xyz.device.type != self.engine.device.type:
            raise EngineError(
                f"the device was given up: {self.engine.info.note}", "start it again, on the CPU"
            )
        self.done += len(signal)
        answer = self.engine.model.encode(signal, self.xyz)
        vector = (answer.tokens[:, self.varying].mean(1) if self.layer == "mean" else answer.cls).float()
        if vector.shape[1] != len(self.weights):
            raise AnalysisError(
                f"a direction of {len(self.weights)} numbers does not fit embeddings of {vector.shape[1]}",
                "use the model that made the cohort's embeddings",
            )
        return vector @ self.weights + self.offset

    def alone(self, signal: Tensor) -> Tensor:
        """Return the read-out without gradients, holding the device for just this call."""
        with self.engine.gradients(), torch.no_grad():
            return self(signal)


def _shares(
    engine: Engine,
    windows: Windows,
    recording: Recording,
    direction: Direction,
    options: AttributeOptions,
    progress: Progress | None,
    cancel: Cancel | None,
) -> _Shares:
    random = np.random.default_rng(options.seed)
    n_references = 1 if options.reference == "zero" else options.n_references
    readout = _Readout(engine, windows, direction, progress, cancel)
    groups, resolution = _groups(engine, windows, recording, options)
    work = options.n_steps if groups is None else int(groups.max()) + 2
    readout.expected = n_references * windows.n_windows * (work + 2)
    shares = np.zeros((n_references, *windows.values.shape), dtype=np.float32)
    told = np.zeros((n_references, windows.n_windows, 2))
    for w, values in enumerate(windows.values):
        for r in range(n_references):
            other = np.zeros_like(values) if options.reference == "zero" else shuffled_phases(values, random)
            x = torch.from_numpy(values.copy())[None].to(engine.device)
            x0 = torch.from_numpy(other)[None].to(engine.device)
            told[r, w] = [float(readout.alone(v)[0]) for v in (x, x0)]
            shares[r, w] = _one(readout, x, x0, groups, options)
    value, reference = told.mean(axis=(0, 1))
    # The difference of each window and reference must be met by its own sum: misses must not cancel out.
    missed = np.abs(shares.sum(axis=(2, 3)) - (told[..., 0] - told[..., 1])).mean()
    size = np.abs(told[..., 0] - told[..., 1]).mean()
    by_reference = shares.sum(axis=3).mean(axis=1)  # (references, P)
    spread = by_reference.std(axis=0, ddof=1) if n_references > 1 else np.full(windows.n_parcels, np.nan)
    return _Shares(
        shares.mean(axis=0),
        by_reference.mean(axis=0),
        spread.astype(np.float32),
        float(value),
        float(reference),
        float(missed / max(size, 1e-12)),
        resolution,
    )


def _one(
    readout: _Readout, x: Tensor, x0: Tensor, groups: Tensor | None, options: AttributeOptions
) -> FloatArray:
    """Return the shares (P, T) of one window against one reference.

    The device is held for a few path points or occlusions at a time, so that others take turns.
    """
    from captum.attr import FeatureAblation, IntegratedGradients

    if groups is None:
        method = IntegratedGradients(readout, multiply_by_inputs=True)
        gradients = method.gradient_func

        def in_turn(*arguments: Any, **named: Any) -> Any:
            with readout.engine.gradients():
                return gradients(*arguments, **named)

        method.gradient_func = in_turn
        share = method.attribute(x, x0, n_steps=options.n_steps, internal_batch_size=readout.at_once)
        return np.asarray(share[0].detach().cpu().numpy(), dtype=np.float32)
    share = FeatureAblation(readout.alone).attribute(
        x, x0, feature_mask=groups[None], perturbations_per_eval=readout.at_once
    )[0]
    size = torch.bincount(groups.reshape(-1)).to(share.device)[groups]
    return np.asarray((share / size).cpu().numpy(), dtype=np.float32)  # a group's share, spread over it


def _groups(
    engine: Engine, windows: Windows, recording: Recording, options: AttributeOptions
) -> tuple[Tensor | None, str]:
    """Return what is occluded together (P, T), None for integrated gradients; and its words."""
    if options.method == "integrated_gradients":
        return None, "one sample of one parcel"
    length = engine.spec.patch_length
    patches = -(-windows.n_timepoints // length)
    tokens = windows.n_parcels * patches / engine.spec.parcels_per_token
    if tokens <= MAX_TOKENS_BY_PARCEL or engine.device.type != "cpu" or engine.info.family == "kernel":
        rows = torch.arange(windows.n_parcels)[:, None].expand(-1, windows.n_timepoints)
        return rows.contiguous().to(engine.device), "one parcel for the whole window"
    _, network = np.unique(np.array(recording.parcellation.group), return_inverse=True)
    patch = np.arange(windows.n_timepoints) // length
    together = torch.from_numpy(network[:, None] * patches + patch[None])
    words = f"one network for {length * windows.tr_s:.3g} s"
    return together.contiguous().to(engine.device), words


def _whole_windows(engine: Engine, recording: Recording, most: int) -> Windows:
    interval = engine.spec.tr_s or recording.tr_s
    windows = engine.windows(recording, stride_s=engine.spec.n_timepoints * interval)
    whole = np.flatnonzero(windows.observed.all(axis=1))
    if not len(whole):
        seconds = engine.spec.n_timepoints * interval
        raise AnalysisError(
            f"the recording is shorter than one window of {seconds:.0f} s", "attribute a longer recording"
        )
    picked = np.unique(np.linspace(0, len(whole) - 1, min(most, len(whole))).round().astype(int))
    return windows.pick(whole[picked])


def _mean_connectivity(windows: Windows) -> FloatArray:
    """Return each parcel's mean absolute correlation with the others (P,)."""
    out = np.zeros(windows.n_parcels)
    for values in windows.values:
        centred = values - values.mean(axis=1, keepdims=True)
        unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        out += (np.abs(unit @ unit.T).sum(axis=1) - 1) / max(1, windows.n_parcels - 1)
    return (out / windows.n_windows).astype(np.float32)


def _rank(a: NDArray[np.floating], b: NDArray[np.floating], flat: NDArray[np.bool_]) -> float:
    a, b = a[~flat], b[~flat]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def _notices(engine: Engine, windows: Windows) -> tuple[str, ...]:
    out = list(windows.notices)
    if engine.info.family == "kernel":
        out.append(
            "This model's embedding does not pass through its attention, so the two maps need not agree."
        )
    if engine.spec.parcels_per_token > 1:
        out.append("Several parcels share a token in this model; attention cannot tell them apart.")
    return tuple(out)


def _part(progress: Progress | None, number: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda share, sentence: progress((number + share) / total * 0.98, sentence)
