"""The bundled cohort: simulated people in whom it is known what can be found and what cannot.

Nobody was scanned. Signals are drawn from the group statistics of the simulated recordings
(:mod:`brainlm_core.scans.demo`); what differs between people is planted here and listed in :data:`PLANTED`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import assets_dir
from brainlm_core.base.recording import Provenance, Recording, Step
from brainlm_core.cohort.embeddings import ACQUISITION, EmbeddingProvenance, Embeddings
from brainlm_core.cohort.features import plain_features
from brainlm_core.cohort.files import read_embeddings, write_embeddings
from brainlm_core.scans.demo import GroupStatistics, component_series

Array = NDArray[np.float64]

NAME = "Simulated reference cohort"
FILE = "reference_cohort.parquet"
N_SUBJECTS, RUNS, DURATION_S, SEED = 120, 2, 216.0, 7
#: The planted signals have no faster part.
SLOW_HZ = 0.08
#: What was planted, in sentences; everything else is chance.
PLANTED = (
    "Default-mode parcels share less of a slow signal the older a person is.",
    "In patients, frontoparietal and limbic parcels share a slow signal that controls do not have.",
    "Head motion adds a signal that all parcels share.",
    "Sites differ in repetition time and noise.",
    "Each person has a connectivity of their own, the same in both runs.",
    "Sex and cups of coffee leave no trace.",
)
#: Site: repetition time in s, added white noise in SD.
SITES = {"North": (0.72, 0.3), "East": (1.4, 0.5), "South": (2.0, 0.4), "West": (2.5, 0.2)}


@dataclass(frozen=True)
class Person:
    """One simulated person.

    Parameters
    ----------
    number : int
    site : str
        Key of :data:`SITES`.
    age_years : float
    sex, group : str
    coffee_cups : float
        A day; nothing is planted.
    mean_fd_mm : tuple of float
        Head motion in each run.
    """

    number: int
    site: str
    age_years: float
    sex: str
    group: str
    coffee_cups: float
    mean_fd_mm: tuple[float, ...]


def people() -> tuple[Person, ...]:
    """Return everybody; the same each time."""
    rng = np.random.default_rng(SEED)
    out = []
    for number in range(N_SUBJECTS):
        age = float(np.round(rng.uniform(20, 80), 1))
        out.append(
            Person(
                number,
                list(SITES)[number % len(SITES)],
                age,
                str(rng.choice(["female", "male"])),
                str(rng.choice(["control", "patient"], p=[0.6, 0.4])),
                float(rng.poisson(2)),
                tuple(
                    float(np.round(0.08 + rng.gamma(2, 0.05 + 0.0008 * (age - 20)), 3)) for _ in range(RUNS)
                ),
            )
        )
    return tuple(out)


def simulate_person(person: Person, run: int, statistics: GroupStatistics) -> Recording:
    """Draw one run of a person.

    Steps, in order: group loadings turned a little towards the person's own; Gaussian component series
    with the group spectra; white noise per parcel and of the site; the planted signals; each parcel scaled
    to SD 1.

    Parameters
    ----------
    person : Person
    run : int
        0-based.
    statistics : GroupStatistics

    Returns
    -------
    Recording
        424 parcels, marked as simulated.
    """
    tr_s, site_noise = SITES[person.site]
    n = int(DURATION_S / tr_s)
    own = np.random.default_rng([SEED, person.number])
    rng = np.random.default_rng([SEED, person.number, run + 1])
    k = statistics.factors.shape[1]
    turn = np.eye(k) + 0.08 * own.standard_normal((k, k))
    signals = (statistics.factors @ turn) @ component_series(statistics, n, tr_s, rng)
    noise = np.sqrt(statistics.noise)[:, None] + site_noise
    signals += noise * rng.standard_normal(signals.shape)
    slow = _slow(n, tr_s, rng)
    network = np.array(a424().yeo7)
    signals[network == "Default"] += 0.75 * (1 - (person.age_years - 20) / 60) * slow[0]
    if person.group == "patient":
        signals[np.isin(network, ["Frontoparietal", "Limbic"])] += 0.4 * slow[1]
    signals += 1.2 * person.mean_fd_mm[run] * slow[2]
    signals -= signals.mean(axis=1, keepdims=True)
    signals /= signals.std(axis=1, keepdims=True)
    name = recording_id(person, run)
    step = Step("simulate", {"person": person.number, "run": run + 1, "seed": SEED, "tr_s": tr_s})
    provenance = Provenance(
        name, None, (step,), simulated=True, atlas="A424 (simulated, no volume was averaged)"
    )
    return Recording(signals.astype(np.float32), tr_s, a424(), provenance)


def _slow(n: int, tr_s: float, rng: np.random.Generator) -> Array:
    """Return three series (3, n) of noise below :data:`SLOW_HZ`, SD 1 each."""
    spectrum = np.fft.rfft(rng.standard_normal((3, n)), axis=1)
    grid = np.fft.rfftfreq(n, tr_s)
    spectrum[:, (grid == 0) | (grid > SLOW_HZ)] = 0
    series = np.fft.irfft(spectrum, n=n, axis=1)
    return np.asarray(series / series.std(axis=1, keepdims=True))


def recording_id(person: Person, run: int) -> str:
    """Return the name of a run."""
    return f"sim-{person.number + 1:03d}_run-{run + 1}"


def recordings() -> Iterator[tuple[Person, int, Recording]]:
    """Draw everybody's runs, one at a time, in the order of the bundled embeddings."""
    statistics = GroupStatistics.load()
    for person in people():
        for run in range(RUNS):
            yield person, run, simulate_person(person, run, statistics)


def phenotypes() -> pd.DataFrame:
    """Return one row per run, in order; age is missing for a few, as in any study."""
    rows = []
    for person in people():
        for run in range(RUNS):
            rows.append(
                {
                    "recording_id": recording_id(person, run),
                    "subject_id": f"sim-{person.number + 1:03d}",
                    "site": person.site,
                    "age_years": np.nan if person.number % 31 == 30 else person.age_years,
                    "sex": person.sex,
                    "group": person.group,
                    "coffee_cups": person.coffee_cups,
                    "mean_fd_mm": person.mean_fd_mm[run],
                }
            )
    return pd.DataFrame(rows)


def build(folder: Path) -> Path:
    """Embed the cohort with the default model and its random twin into ``reference_cohort.parquet``.

    Values are rounded to half precision, so that the file stays below one megabyte.
    """
    from brainlm_core.cohort.features import embed_recording
    from brainlm_core.inference.engine import Engine
    from brainlm_core.inference.weights import default_folder

    engine, twin = (
        Engine.load(name, device="cpu", precision="fp32") for name in ("default", "random:default")
    )
    own, other, plain, rows = [], [], [], []
    for _, _, recording in recordings():
        own.append(embed_recording(engine, recording))
        other.append(embed_recording(twin, recording))
        plain.append(plain_features(recording.signals))
        rows.append((recording.tr_s, recording.n_timepoints, recording.duration_s, own[-1].n_windows))
    table = phenotypes()
    acquisition = pd.DataFrame(rows, columns=list(ACQUISITION[:4]), dtype=np.float64)
    acquisition["mean_fd_mm"] = table.pop("mean_fd_mm")
    ids, subjects, sites = (tuple(table.pop(c)) for c in ("recording_id", "subject_id", "site"))
    digest = hashlib.sha256((default_folder() / "model.safetensors").read_bytes()).hexdigest()
    info = {**engine.info.to_dict(), "device": "cpu"}
    made = EmbeddingProvenance(
        NAME, info, simulated=True, settings={"seed": SEED, "weights_sha256": digest}, notices=PLANTED
    )
    embeddings = Embeddings(
        ids,
        subjects,
        sites,
        table,
        acquisition,
        _rounded([e.cls for e in own]),
        _rounded([e.mean for e in own]),
        made,
        twin_cls=_rounded([e.cls for e in other]),
        parcellation=a424(),
        autocorrelation=_rounded([p.autocorrelation for p in plain]),
    )
    return write_embeddings(embeddings, folder / FILE)


def _rounded(rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(rows).astype(np.float16).astype(np.float32)


@cache
def reference_cohort() -> Embeddings:
    """Return the bundled embeddings; without connectivity, which :func:`with_connectivity` draws again.

    Raises
    ------
    AtlasError
        If the bundled file is missing.
    """
    path = assets_dir() / FILE
    if not path.is_file():
        raise AtlasError(f"the bundled file {path.name} is missing", "reinstall BrainLM Explorer")
    return read_embeddings(path)


def with_connectivity(own: Embeddings | None = None) -> Embeddings:
    """Return the bundled embeddings with the connectivity of the same recordings, drawn again in seconds."""
    return replace(own or reference_cohort(), connectivity=_connectivity())


@cache
def _connectivity() -> NDArray[np.float32]:
    """Return (240, 89 676) values; kept, 86 MB, since drawing takes longer than a page may."""
    return np.stack([plain_features(recording.signals).connectivity for _, _, recording in recordings()])
