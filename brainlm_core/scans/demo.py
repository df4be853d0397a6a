"""Simulated recordings: what the dashboard shows before anybody has dropped a scan.

No person was scanned for them. They are drawn from aggregate statistics only (group
correlation of 424 parcels, group spectra; see ``tools/assets_build.py``) plus one
planted rhythm, and are labelled "simulated" wherever they appear.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import YEO7, a424
from brainlm_core.base.errors import AtlasError, ScanError
from brainlm_core.base.paths import assets_dir
from brainlm_core.base.recording import Provenance, Recording, Step

#: Sampling interval and length of the bundled recordings.
TR_S, N_TIMEPOINTS = 0.72, 300
#: Peak-to-mean amplitude of the planted rhythm, in SD of the background.
RHYTHM_SD = 0.9


@dataclass(frozen=True)
class DemoScenario:
    """One bundled recording: its seed, and the network whose rhythm was planted.

    Parameters
    ----------
    key : str
        File name stem.
    title : str
        Shown in the chooser.
    network : str
        One of :data:`brainlm_core.base.atlas.YEO7`.
    frequency_hz : float
        Frequency of the planted rhythm.
    seed : int
        Seed of the draw.
    """

    key: str
    title: str
    network: str
    frequency_hz: float
    seed: int


SCENARIOS = (
    DemoScenario("simulated-1", "Simulated 1: slow default-mode rhythm", "Default", 0.025, 101),
    DemoScenario("simulated-2", "Simulated 2: slow visual rhythm", "Visual", 0.035, 202),
    DemoScenario("simulated-3", "Simulated 3: slow somatomotor rhythm", "Somatomotor", 0.03, 303),
)


@dataclass(frozen=True)
class GroupStatistics:
    """Aggregate statistics that simulated recordings are drawn from.

    Parameters
    ----------
    factors : ndarray (424, K), float32
        Loadings of K components; ``factors @ factors.T + diag(noise)`` is the group correlation.
    noise : ndarray (424,), float32
        Variance per parcel that no component explains.
    spectra : ndarray (K, F), float32
        Power of each component at ``frequencies_hz``; each row has mean one.
    frequencies_hz : ndarray (F,), float32
        From 0 to the Nyquist frequency of the source recordings.
    """

    factors: NDArray[np.float32]
    noise: NDArray[np.float32]
    spectra: NDArray[np.float32]
    frequencies_hz: NDArray[np.float32]

    @classmethod
    def load(cls, path: Path | None = None) -> GroupStatistics:
        """Read ``assets/group_statistics.npz``; AtlasError when it is missing."""
        path = path or assets_dir() / "group_statistics.npz"
        if not path.is_file():
            raise AtlasError(f"the bundled file {path.name} is missing", "reinstall BrainLM Explorer")
        with np.load(path, allow_pickle=False) as store:
            return cls(
                *(store[k].astype(np.float32) for k in ("factors", "noise", "spectra", "frequencies_hz"))
            )


def component_series(
    statistics: GroupStatistics, n_timepoints: int, tr_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw Gaussian series (K, n_timepoints) with the group spectra, mean 0 and SD 1 each."""
    grid = np.fft.rfftfreq(n_timepoints, tr_s)
    power = np.stack([np.interp(grid, statistics.frequencies_hz, row) for row in statistics.spectra])
    power[:, 0] = 0.0
    white = np.fft.rfft(rng.standard_normal((len(power), n_timepoints)), axis=1)
    series = np.fft.irfft(white * np.sqrt(power), n=n_timepoints, axis=1)
    return np.asarray(series / series.std(axis=1, keepdims=True))


def simulate(
    statistics: GroupStatistics,
    scenario: DemoScenario,
    *,
    n_timepoints: int = N_TIMEPOINTS,
    tr_s: float = TR_S,
) -> NDArray[np.float32]:
    """Draw one recording.

    Steps, in order: Gaussian component series with the group spectra; mixed by the group
    loadings; white noise per parcel; a sine on every parcel of one network, whose phase drifts
    slowly and whose amplitude differs from parcel to parcel by 20 %; each parcel scaled to SD 1.

    Parameters
    ----------
    statistics : GroupStatistics
        Loadings, noise and spectra.
    scenario : DemoScenario
        Seed, planted network and frequency.
    n_timepoints : int
        Volumes to draw.
    tr_s : float
        Sampling interval in s.

    Returns
    -------
    ndarray (424, n_timepoints), float32
        Zero-mean signals, arbitrary units.
    """
    rng = np.random.default_rng(scenario.seed)
    signals = statistics.factors @ component_series(statistics, n_timepoints, tr_s, rng)
    signals += np.sqrt(statistics.noise)[:, None] * rng.standard_normal(signals.shape)
    network = np.array(a424().yeo7) == scenario.network
    phase = 2 * np.pi * scenario.frequency_hz * tr_s * np.arange(n_timepoints)
    phase = phase + np.cumsum(rng.normal(0, 0.04, n_timepoints))
    gain = RHYTHM_SD * rng.normal(1.0, 0.2, network.sum())
    signals[network] += gain[:, None] * np.sin(phase)[None] * np.sqrt(2)
    signals -= signals.mean(axis=1, keepdims=True)
    signals /= signals.std(axis=1, keepdims=True)
    return signals.astype(np.float32)


def write(signals: NDArray[np.float32], path: Path) -> None:
    """Store signals as 8-bit integers with one scale per parcel (error below 0.02 SD)."""
    scale = np.abs(signals).max(axis=1) / 127
    quantised = np.round(signals / scale[:, None]).astype(np.int8)
    with path.open("wb") as stream:
        np.savez_compressed(stream, signals=quantised, scale=scale.astype(np.float32))


@cache
def demo_recordings() -> tuple[Recording, ...]:
    """Return the three bundled simulated recordings, in the order of :data:`SCENARIOS`.

    Raises
    ------
    AtlasError
        If a bundled file is missing.
    """
    return tuple(_load(scenario) for scenario in SCENARIOS)


def named_demo(text: str) -> Recording | None:
    """Return a bundled recording for ``demo`` or ``demo:KEY``; None when the text is no such name.

    Raises
    ------
    ScanError
        If there is no demo of that key.
    """
    word, _, wanted = text.partition(":")
    if word != "demo":
        return None
    keys = [scenario.key for scenario in SCENARIOS]
    if wanted and wanted not in keys:
        raise ScanError(f"there is no demo recording {wanted!r}", f"choose one of {', '.join(keys)}")
    return demo_recordings()[keys.index(wanted) if wanted else 0]


def _load(scenario: DemoScenario) -> Recording:
    from brainlm_core.scans.quality import assess

    assert scenario.network in YEO7
    path = assets_dir() / "demo" / f"{scenario.key}.npz"
    if not path.is_file():
        raise AtlasError(f"the bundled recording {path.name} is missing", "reinstall BrainLM Explorer")
    data = path.read_bytes()
    with np.load(path, allow_pickle=False) as store:
        signals = store["signals"].astype(np.float32) * store["scale"][:, None]
    step = Step(
        "simulate",
        {
            "planted_network": scenario.network,
            "planted_frequency_hz": scenario.frequency_hz,
            "seed": scenario.seed,
            "tr_s": TR_S,
        },
    )
    recording = Recording(
        signals=signals,
        tr_s=TR_S,
        parcellation=a424(),
        provenance=Provenance(
            source_name=path.name,
            sha256=hashlib.sha256(data).hexdigest(),
            steps=(step,),
            simulated=True,
            atlas="A424 (simulated, no volume was averaged)",
        ),
    )
    return assess(recording)
