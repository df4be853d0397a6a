"""Surrogate signals: what a recording looks like to a model when nothing of the person is left in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shuffled_phases(signals: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """Give every parcel its own random phases: spectrum and mean stay, what parcels share goes.

    Parameters
    ----------
    signals : ndarray (n_parcels, n_timepoints)
        Any unit.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (n_parcels, n_timepoints), float32
        The size of each Fourier coefficient is that of the input; the mean (frequency 0) and, for an even
        number of samples, the coefficient at the Nyquist frequency are real and stay as they are.

    References
    ----------
    Theiler et al. 1992, Physica D 58: 77-94.
    """
    spectrum = np.fft.rfft(signals.astype(np.float64), axis=1)
    phase = rng.uniform(0, 2 * np.pi, spectrum.shape)
    phase[:, 0] = 0
    if signals.shape[1] % 2 == 0:
        phase[:, -1] = 0
    return np.fft.irfft(spectrum * np.exp(1j * phase), signals.shape[1], axis=1).astype(np.float32)


def white_noise_like(signals: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return white noise with each parcel's mean and standard deviation, (n_parcels, n_timepoints)."""
    mean = signals.mean(axis=1, keepdims=True, dtype=np.float64)
    sd = signals.std(axis=1, keepdims=True, dtype=np.float64)
    return (mean + sd * rng.standard_normal(signals.shape)).astype(np.float32)
