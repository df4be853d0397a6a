"""Fit the closed-form prior of the kernel family from group statistics of training recordings.

Steps, in order:

1. scale each recording per parcel (robust) at the model's sampling interval;
2. group covariance per reference parcellation; for A424 half-symmetrised over homologues, mixed
   with connectivity carried over from the volume parcellation and with its own spatial smooth;
3. subcortex and cerebellum of A424 (no cortical recording has them): regression on the cortex and
   residual covariance, both carried over from the volume parcellation by position;
4. power spectrum of each block of components per original sampling interval; the white floor of the
   weakest components becomes the noise.

Only aggregates leave this module: means over all training subjects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_prior import block_bounds

Array = NDArray[np.float64]

#: Weight of the homologue-symmetric part, of carried-over connectivity, and of the spatial smooth.
SYMMETRIC, CARRIED, SMOOTHED = 0.65, 0.15, 0.10
#: Width in mm of the Gaussian that carries figures from one parcellation to another.
CARRY_MM = 8.0
#: Share of the spectral floor that counts as white noise; never less than this variance.
FLOOR_SHARE, MIN_NOISE = 0.95, 0.02
#: Half width in bins of the smoothing of spectra.
SPECTRUM_SMOOTHING = 3


@dataclass
class Moments:
    """Running sums over recordings of one parcellation.

    Parameters
    ----------
    n_parcels : int
    """

    n_parcels: int

    def __post_init__(self) -> None:
        self.products = np.zeros((self.n_parcels, self.n_parcels))
        self.counts = np.zeros((self.n_parcels, self.n_parcels))

    def add(self, values: NDArray[np.float32]) -> None:
        """Add a scaled recording (P, T); rows of zeros are left out pair by pair."""
        alive = (values.std(axis=1) > 1e-6).astype(np.float64)
        centred = (values - values.mean(axis=1, keepdims=True)) * alive[:, None]
        self.products += centred @ centred.T
        self.counts += np.outer(alive, alive) * values.shape[1]

    def covariance(self) -> Array:
        """Return the covariance (P, P), made positive definite."""
        matrix = self.products / np.maximum(self.counts, 1)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        return np.asarray((vectors * np.maximum(values, 1e-3 * values.mean())) @ vectors.T)


def correlation(covariance: Array) -> tuple[Array, Array]:
    """Return the correlation matrix and the standard deviations of a covariance."""
    sd = np.sqrt(np.diag(covariance))
    return covariance / np.outer(sd, sd), sd


def carry_weights(targets: Array, sources: Array, width_mm: float = CARRY_MM) -> Array:
    """Return Gaussian weights (targets, sources), rows summing to one; positions in mm."""
    square = ((targets[:, None] - sources[None]) ** 2).sum(-1)
    square -= square.min(axis=1, keepdims=True)  # a far target takes its nearest source, not nothing
    weights = np.exp(-square / (2 * width_mm**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def cortical_covariance(
    covariance: Array, centres: Array, homologue: NDArray[np.intp], carried: Array | None
) -> Array:
    """Regularise the group covariance of the cortical parcels.

    Parameters
    ----------
    covariance : ndarray (P, P)
        Of the training recordings.
    centres : ndarray (P, 3)
        mm.
    homologue : ndarray (P,), int
        Row of each parcel's mirror image.
    carried : ndarray (P, P) or None
        Correlation carried over from another parcellation.
    """
    mirrored = covariance[np.ix_(homologue, homologue)]
    base, sd = correlation((1 - SYMMETRIC / 2) * covariance + SYMMETRIC / 2 * mirrored)
    off = ~np.eye(len(base), dtype=bool)
    parts, weights = [base], [1.0]
    if carried is not None:
        other = (carried + carried[np.ix_(homologue, homologue)]) / 2
        other = other * (other[off] @ base[off]) / (other[off] @ other[off])
        parts.append(np.where(off, other, 1.0))
        weights.append(CARRIED)
    smoother = carry_weights(centres, centres)
    smooth = smoother @ base @ smoother.T
    smooth *= base[off].std() / smooth[off].std()
    parts.append(np.where(off, smooth, 1.0))
    weights.append(SMOOTHED)
    weights[0] -= sum(weights[1:])
    mixed = sum(w * p for w, p in zip(weights, parts, strict=True)) * np.outer(sd, sd)
    # The mixture gives the axes; how strong each is, the recordings themselves say.
    _, axes = np.linalg.eigh(mixed)
    strength = np.einsum("pk,pq,qk->k", axes, covariance, axes, optimize=True)
    return np.asarray((axes * strength) @ axes.T)


def whole_brain_covariance(cortex: Array, centres: Array, other: Array, positions: Array) -> Array:
    """Extend a cortical covariance (360, 360) to all 424 parcels.

    Parameters
    ----------
    cortex : ndarray (360, 360)
    centres : ndarray (424, 3)
        mm.
    other : ndarray (Q, Q)
        Covariance of the volume parcellation.
    positions : ndarray (Q, 3)
        mm.

    Returns
    -------
    ndarray (424, 424)
        Positive definite; its first block is ``cortex``.
    """
    n = len(cortex)
    weights = carry_weights(centres, positions)
    carried = weights @ other @ weights.T
    within = carried[:n, :n] + 0.1 * np.trace(carried[:n, :n]) / n * np.eye(n)
    regression = carried[n:, :n] @ np.linalg.inv(within)  # (64, 360)
    residual = carried[n:, n:] - regression @ within @ regression.T
    values, vectors = np.linalg.eigh((residual + residual.T) / 2)
    residual = (vectors * np.maximum(values, 0)) @ vectors.T
    cross = regression @ cortex
    deep = cross @ regression.T + residual
    # The carried figures are averages over neighbours: fill each parcel up to the cortical mean variance.
    deep += np.diag(np.maximum(np.trace(cortex) / n - np.diag(deep), 0.1))
    return np.block([[cortex, cross.T], [cross, deep]])


def loadings_of(covariance: Array) -> Array:
    """Return eigenvectors times roots of eigenvalues, strongest first, (P, P)."""
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1]
    return np.asarray(vectors[:, order] * np.sqrt(np.maximum(values[order], 1e-4)))


def block_spectra(recordings: Iterable[NDArray[np.float32]], loadings: Array, config: KernelConfig) -> Array:
    """Return the mean power spectrum of each block of components.

    Hann-tapered segments of twice a window, three quarters overlapping.

    Parameters
    ----------
    recordings : iterable of ndarray (P, T)
        Scaled.
    loadings : ndarray (P, K)

    Returns
    -------
    ndarray (blocks, n_timepoints + 1)
        Variance per component; the mean over the circle is the variance.
    """
    size = 2 * config.n_timepoints
    taper = np.hanning(size + 2)[1:-1]
    taper /= np.sqrt((taper**2).mean())
    basis = loadings / np.linalg.norm(loadings, axis=0)
    bounds = block_bounds(loadings.shape[1], config.n_blocks)
    total, n = np.zeros((len(bounds), size // 2 + 1)), 0
    for values in recordings:
        for start in range(0, values.shape[1] - size + 1, size // 4):
            piece = values[:, start : start + size]
            piece = basis.T @ (piece - piece.mean(axis=1, keepdims=True))
            power = np.abs(np.fft.rfft(piece * taper, axis=1)) ** 2 / size
            total += np.stack([power[a:b].mean(axis=0) for a, b in bounds])
            n += 1
    kernel = np.ones(2 * SPECTRUM_SMOOTHING + 1) / (2 * SPECTRUM_SMOOTHING + 1)
    padded = np.pad(total / max(n, 1), ((0, 0), (SPECTRUM_SMOOTHING, SPECTRUM_SMOOTHING)), mode="edge")
    return np.stack([np.convolve(row, kernel, "valid") for row in padded])


def split_noise(spectra: Array) -> tuple[Array, float]:
    """Divide spectra (blocks, F) into signal and one white noise variance.

    Returns
    -------
    ndarray (blocks, F)
        Spectra of the signal in units of each block's whole variance: their mean over the circle is the
        signal's share.
    float
        Noise variance.
    """
    high = spectra[-1:, int(0.75 * spectra.shape[1]) :]  # the weakest components
    noise = max(FLOOR_SHARE * float(np.median(high)), MIN_NOISE)
    signal = np.maximum(spectra - noise, 1e-3 * spectra.mean(axis=1, keepdims=True))
    whole = np.fft.irfft(spectra, n=2 * (spectra.shape[1] - 1))[:, :1]
    return signal / whole, noise
