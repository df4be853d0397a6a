"""Build the kernel family's model from training cohorts: prior, regimes, forecasters, embedding axes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import whole_file
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.networks.metrics import homologue_pairs
from brainlm_core.features.shared.masked_baselines import STATISTICS_NAME
from brainlm_core.inference.windows import make_windows
from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_model import N_SIGNATURE_LAGS, KernelModel
from brainlm_core.model.kernel_prior import autocorrelation
from brainlm_core.training.fit_blend import fit_blend
from brainlm_core.training.group_prior import (
    Array,
    Moments,
    block_spectra,
    carry_weights,
    correlation,
    cortical_covariance,
    loadings_of,
    split_noise,
    whole_brain_covariance,
)

FloatArray = NDArray[np.float32]
Progress = Callable[[str], None]

#: Original sampling intervals in s that share a temporal regime; the first is the model's own.
REGIME_EDGES_S = (1.2, 1.85, 2.35)
#: Recordings per regime from which spectra are taken, and windows per recording for the axes.
MAX_SPECTRUM_RECORDINGS = 120


@dataclass(frozen=True, eq=False)
class TrainingCohort:
    """A cohort and the rows of it that training may see.

    Parameters
    ----------
    cohort : Cohort
    rows : ndarray (n,), int
    """

    cohort: Cohort
    rows: NDArray[np.intp]

    def scaled(
        self, model: KernelModel, rows: Sequence[int] | None = None
    ) -> Iterator[tuple[int, FloatArray]]:
        """Yield (row, whole recording (P, T) resampled and scaled as the model wants it)."""
        for row, recording in self.cohort.take(list(self.rows if rows is None else rows)):
            yield row, scaled_signals(recording, model)


def scaled_signals(recording: object, model: KernelModel) -> FloatArray:
    """Return a recording (P, T) at the model's interval, scaled over its whole length, gaps undone."""
    from brainlm_core.base.recording import Recording
    from brainlm_core.inference.windows import resample

    assert isinstance(recording, Recording)
    even = resample(recording, model.spec.tr_s)
    windows = make_windows(even, model.spec)
    out = (even.signals - windows.centre[:, None]) / windows.scale[:, None]
    return np.where(windows.flat[:, None], 0.0, out).astype(np.float32)


def regime_of(tr_s: float) -> int:
    """Return the temporal regime of an original sampling interval."""
    return int(np.searchsorted(REGIME_EDGES_S, tr_s))


def fit(
    config: KernelConfig, cortex: TrainingCohort, volume: TrainingCohort, *, say: Progress = lambda _: None
) -> tuple[KernelModel, dict[str, Array]]:
    """Fit everything that has a closed form.

    Parameters
    ----------
    config : KernelConfig
        With two banks: A424 and the volume parcellation of ``volume``.
    cortex : TrainingCohort
        Recordings of the 360 cortical A424 parcels near the model's sampling interval.
    volume : TrainingCohort
        Recordings of a whole-brain parcellation with coordinates, any sampling interval.
    say : callable
        Told what is being done.

    Returns
    -------
    KernelModel
        In ``eval`` mode, gates at zero.
    dict of ndarray
        Plain group statistics for the baselines (covariances and positions).
    """
    parcellation = volume.cohort.parcellation
    if (
        parcellation is None
        or cortex.cohort.parcellation is None
        or cortex.cohort.parcellation.n_parcels != 360
    ):
        raise ConfigError(
            "the prior needs a pack with the 360 cortical A424 parcels and one with whole-brain coordinates",
            "name both in the configuration",
        )
    if config.bank_sizes != (424, parcellation.n_parcels):
        raise ConfigError(
            f"bank_sizes is {config.bank_sizes} and the packs call for (424, {parcellation.n_parcels})",
            "correct the configuration",
        )
    model = KernelModel(config).eval()
    say("group covariance of the cortical recordings")
    cortical = [x for _, x in cortex.scaled(model)]
    plain = _covariance(cortical)
    say("group covariance of the volume recordings")
    wide = Moments(parcellation.n_parcels)
    by_regime: dict[int, list[FloatArray]] = {}
    for row, x in volume.scaled(model):
        wide.add(x)
        by_regime.setdefault(regime_of(float(volume.cohort.tr_s[row])), []).append(x)
    other = wide.covariance()
    _fill_banks(model, plain, other, parcellation.xyz)
    say("spectra of the components")
    rng = np.random.default_rng(0)
    for regime, items in by_regime.items():
        order = rng.permutation(len(items))[:MAX_SPECTRUM_RECORDINGS]
        _fill_regime(model, regime, [items[i] for i in order], model.bank_list()[1].loadings.double().numpy())
    _fill_regime(model, 0, cortical, _cortical_loadings(model))
    for regime in set(range(config.n_regimes)) - set(by_regime) - {0}:
        raise ConfigError(f"no recording falls into temporal regime {regime}", "lower n_regimes")
    say("weights of the forecasters")
    _fill_blend(model, cortex, cortical, other, parcellation.xyz)
    say("axes of the embeddings")
    xyz = torch.from_numpy(parcellation.xyz.copy())
    _fill_embedding(model, [(x, xyz) for items in by_regime.values() for x in items])
    statistics = {
        "positions_0": a424().xyz.astype(np.float64),
        "covariance_0": whole_brain_covariance(
            plain, a424().position.astype(np.float64), other, parcellation.xyz.astype(np.float64)
        ),
        "positions_1": parcellation.xyz.astype(np.float64),
        "covariance_1": other,
    }
    return model, statistics


def _covariance(recordings: Sequence[FloatArray]) -> Array:
    moments = Moments(len(recordings[0]))
    for x in recordings:
        moments.add(x)
    return moments.covariance()


def _fill_blend(
    model: KernelModel,
    cortex: TrainingCohort,
    cortical: list[FloatArray],
    other: Array,
    positions: FloatArray,
) -> None:
    """Forecasters' weights of the model's own interval; resampled recordings keep the Gaussian process alone.

    Resampling errors at the end of what is seen would be carried on by autoregressions.
    """

    def without(kept: NDArray[np.bool_]) -> KernelModel:
        items = [x for x, k in zip(cortical, kept, strict=True) if k]
        fold = copy.deepcopy(model)
        _fill_banks(fold, _covariance(items), other, positions)
        _fill_regime(fold, 0, items, _cortical_loadings(fold))
        return fold

    assert cortex.cohort.parcellation is not None
    xyz = torch.from_numpy(cortex.cohort.parcellation.xyz.copy())
    subjects = [cortex.cohort.subjects[row] for row in cortex.rows]
    weights = fit_blend(cortical, subjects, xyz, without)
    model.blend[0].copy_(torch.from_numpy(weights))


def _fill_banks(model: KernelModel, plain: Array, other: Array, positions: FloatArray) -> None:
    centres = a424().position.astype(np.float64)
    pairs = homologue_pairs(a424_cortex())
    homologue = np.array(
        [next((j for j in np.flatnonzero(pairs == p) if j != i), i) for i, p in enumerate(pairs)]
    )
    weights = carry_weights(centres[:360], positions.astype(np.float64))
    carried, _ = correlation(weights @ correlation(other)[0] @ weights.T)
    cortical = cortical_covariance(plain, centres[:360], homologue, carried)
    whole = whole_brain_covariance(cortical, centres, other, positions.astype(np.float64))
    published = a424().xyz
    for bank, covariance, where in (
        (model.bank_list()[0], whole, np.stack([published, a424().position])),
        (model.bank_list()[1], other, np.stack([positions, positions])),
    ):
        bank.loadings.copy_(torch.from_numpy(loadings_of(covariance)))
        bank.positions.copy_(torch.from_numpy(np.ascontiguousarray(where, dtype=np.float32)))


def _cortical_loadings(model: KernelModel) -> Array:
    block = model.bank_list()[0].loadings[:360].double().numpy()
    return loadings_of(block @ block.T)


def _fill_regime(model: KernelModel, regime: int, items: list[FloatArray], loadings: Array) -> None:
    spectra, noise = split_noise(block_spectra(items, loadings, model.config))
    missing = model.config.n_blocks - len(spectra)
    spectra = np.concatenate([spectra, np.repeat(spectra[-1:], missing, axis=0)])
    model.spectra[regime].copy_(torch.from_numpy(spectra))
    model.noise[regime] = noise
    length = model.config.n_timepoints
    signature = [
        autocorrelation(
            torch.from_numpy(x[:, :length].copy()), torch.ones(x[:, :length].shape), N_SIGNATURE_LAGS
        )
        for x in items
    ]
    model.signatures[regime].copy_(torch.stack(signature).mean(0))


def _fill_embedding(model: KernelModel, items: list[tuple[FloatArray, torch.Tensor]]) -> None:
    """Principal axes of the recordings' landmark connectivity."""
    from sklearn.cluster import KMeans

    embedding = model.embedding
    centres = a424().position
    clusters = KMeans(model.config.n_landmarks, n_init=1, random_state=0).fit(centres)
    embedding.landmarks.copy_(torch.from_numpy(clusters.cluster_centers_.astype(np.float32)))
    rows = torch.stack([embedding.features(torch.from_numpy(x), xyz)[0] for x, xyz in items])
    width = model.config.width
    embedding.centre.copy_(rows.mean(0))
    _, sizes, directions = torch.linalg.svd(rows - embedding.centre, full_matrices=False)
    kept = min(width, len(sizes))
    scale = float(sizes[0]) / len(rows) ** 0.5  # first axis to unit variance, the others keep their ratio
    embedding.axes.zero_()
    embedding.axes[:, :kept] = directions[:kept].T / scale
    embedding.axes.copy_(embedding.axes @ _rotation(width))


def _rotation(width: int) -> torch.Tensor:
    """Return a fixed random rotation (width, width).

    Principal axes shrink from first to last, and decoders that standardise each number would blow the
    last ones up to the first's size. Turned, all numbers vary about alike and distances stay as they were.
    """
    draws = torch.randn(width, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.linalg.qr(draws).Q.float()


def save_statistics(statistics: dict[str, Array], folder: Path) -> None:
    """Write the group statistics that the baselines are computed from, beside the weights."""
    arrays: dict[str, Any] = {k: v.astype(np.float32) for k, v in statistics.items()}
    with whole_file(folder / STATISTICS_NAME) as part:
        np.savez_compressed(part, **arrays)
