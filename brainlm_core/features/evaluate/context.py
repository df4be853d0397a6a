"""What a model that reads the recording gains by it, and what its maps are maps of.

Masked reconstruction on the same entries by the model with the recording and with one window, by the process
that it starts from (with one window and in closed form with the recording), by ridge, and by the same model
whose person heads read something else: the group, another person, white noise. Maps of the two halves of each
recording: whose are they, and what does noise draw? Intervals draw people anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainlm_core.base.recording import Recording
from brainlm_core.base.recording_context import Memo, RecordingContext
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.networks.features import (
    attention_features,
    centred_connectivity_features,
)
from brainlm_core.features.networks.metrics import knn_accuracy, labelled_parcels
from brainlm_core.features.shared.connectivity import functional_connectivity
from brainlm_core.features.shared.error_sums import ErrorSums, error_sums
from brainlm_core.features.shared.masked_baselines import GroupRidge, draw_mask, statistics_folder
from brainlm_core.inference.windows import Windows
from brainlm_core.model.context.model import ContextModel
from brainlm_core.model.kernel_recording import reconstruct_in_recording

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Masks for which the rest of a recording can be of use; a forecast does not read it.
KINDS = ("random20", "random75", "random90", "parcel")
#: Shares of the group that maps are steadied with.
GROUP_SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, eq=False)
class _Scan:
    row: int
    subject: str
    windows: Windows


def context_scores(
    engine: Engine,
    cohort: Cohort,
    scans: list[tuple[int, Windows]],
    recordings: list[Recording],
    seed: int,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any]:
    """Return masked R² by method and mask, and what maps of halves of recordings have in common.

    Parameters
    ----------
    engine : Engine
        Of a model that reads the recording.
    cohort : Cohort
    scans : list of (row, Windows)
        Full windows with their context.
    recordings : list of Recording
        Those that halves are taken of.
    seed : int
    progress, cancel : callable, optional
    """
    known = [_Scan(row, cohort.subjects[row], windows) for row, windows in scans]
    sums: dict[str, dict[str, ErrorSums]] = {kind: {} for kind in KINDS}
    for done, scan in enumerate(known):
        if progress is not None:
            progress(done / len(known), f"Context: recording {done + 1} of {len(known)}")
        ridge = GroupRidge.load(statistics_folder(engine.info.model_name), scan.windows.xyz)
        usable = ~scan.windows.flat[None, :, None] & scan.windows.observed[:, None, :]
        for kind in KINDS:
            rng = np.random.default_rng([seed, scan.row, KINDS.index(kind)])
            hidden = draw_mask(kind, scan.windows.values.shape, engine.spec.patch_length, rng)
            scored = hidden & usable
            for method, answer in _answers(engine, scan, known, hidden, ridge, seed, cancel):
                entry = error_sums(scan.windows.values[scored], answer[scored])
                sums[kind].setdefault(method, ErrorSums()).add(scan.subject, entry)
    return {
        "masked_r2": {
            kind: {method: _beside(methods, method, seed) for method in methods}
            for kind, methods in sums.items()
        },
        "maps_of_halves": half_maps(engine, recordings, seed, cancel),
    }


def _answers(
    engine: Engine,
    scan: _Scan,
    known: list[_Scan],
    hidden: NDArray[np.bool_],
    ridge: GroupRidge | None,
    seed: int,
    cancel: Cancel | None,
) -> Iterator[tuple[str, FloatArray]]:
    windows, context = scan.windows, scan.windows.context
    assert context is not None

    def model(other: RecordingContext | None) -> FloatArray:
        return engine.reconstruct(replace(windows, context=other), hidden, cancel=cancel).predicted

    yield "model", model(context)
    yield "model_one_window", model(None)
    process, with_recording, group = engine.call(_of_process, windows, hidden)
    yield "process_one_window", process
    yield "process_with_recording", with_recording
    if ridge is not None:
        yield "ridge", ridge.predict(windows.values, hidden)
    n = int(np.median(context.n_outside()))
    yield "attention_of_the_group", model(_fixed(context, group, n))
    others = [s.windows.context for s in known if s.subject != scan.subject]
    strangers = [c for c in others if c is not None and c.total.shape == context.total.shape]
    if strangers:
        stranger = strangers[scan.row % len(strangers)]
        yield "attention_of_another_person", model(_fixed(context, stranger.total / stranger.n_samples, n))
    noise = np.random.default_rng([seed, scan.row]).normal(size=(len(context.total), n))
    noise *= np.sqrt(np.diag(context.total) / context.n_samples)[:, None]
    yield "attention_of_noise", model(_fixed(context, noise @ noise.T / n, n))


def _fixed(context: RecordingContext, moments: Array, n: int) -> RecordingContext:
    """Return a context that is the same for every window."""
    length = int(context.observed.shape[1])
    return replace(
        context,
        total=moments * n,
        n_samples=n + length,
        values=np.zeros_like(context.values),
        memo=Memo(),
    )


def _of_process(
    engine: Engine, windows: Windows, hidden: NDArray[np.bool_], *, progress: Any = None, cancel: Any = None
) -> tuple[FloatArray, FloatArray, Array]:
    """Return the process's answers without and with the recording, and the group's moments (P, P)."""
    context = windows.context
    assert context is not None
    with engine.gradients() as model, torch.inference_mode():
        assert isinstance(model, ContextModel)
        xyz = torch.from_numpy(windows.xyz.copy()).to(engine.device)
        values = torch.from_numpy(windows.values.copy()).to(engine.device)
        hide = torch.from_numpy(np.array(hidden)).to(engine.device)
        alone = model.process.reconstruct(values, xyz, hide).predicted
        both = []
        for window, mask, row in zip(values, hide, context.rows, strict=True):
            moments = torch.from_numpy(context.outside(int(row))).to(engine.device)
            both.append(reconstruct_in_recording(model.process, window, xyz, mask, moments))
        basis = model.basis(xyz)
        group = (basis.vectors * basis.values) @ basis.vectors.T
    return alone.cpu().numpy(), torch.stack(both).cpu().numpy(), group.double().cpu().numpy()


def half_maps(
    engine: Engine, recordings: list[Recording], seed: int, cancel: Cancel | None = None
) -> dict[str, Any]:
    """Return, by map, what halves of recordings say: of networks, of whom, and of noise.

    Parameters
    ----------
    engine : Engine
    recordings : list of Recording
        One a person; equal parcellations.
    seed : int
        Of the noise.

    Returns
    -------
    dict
        ``connectivity`` and ``group_share_0`` …: k-NN accuracy of a person's half and of white noise, mean
        correlation of maps of the same, another person and noise, the same of deviations from the mean
        map, and the share of halves that find their other half.
    """
    first = recordings[0]
    same = [r for r in recordings if r.parcellation.n_parcels == first.parcellation.n_parcels]
    halves = [(k, h, _half(r, h)) for k, r in enumerate(same) for h in (0, 1)]
    rng = np.random.default_rng(seed)
    length = halves[0][2].n_timepoints
    noise = rng.normal(size=(first.n_parcels, length)).astype(np.float32)
    halves.append((-1, 0, replace(halves[0][2], signals=noise)))
    maps: dict[str, dict[tuple[int, int], Any]] = {}
    for person, half, recording in halves:
        connectivity = centred_connectivity_features(functional_connectivity(recording.signals))
        maps.setdefault("connectivity", {})[person, half] = connectivity
        windows = engine.windows(recording).pick(slice(0, 1))
        for share in GROUP_SHARES if engine.model.reads_recording else (0.0,):
            attention = engine.attention(windows, steadied=share, cancel=cancel)
            features = attention_features(attention.parcel_map(), None)
            maps.setdefault(f"group_share_{share:g}", {})[person, half] = features
    labelled = labelled_parcels(first.parcellation)
    out: dict[str, Any] = {"n_people": len(same), "samples_per_half": length}
    for name, by_half in maps.items():
        knn = {k: knn_accuracy(f, labelled, n_repeats=2).value for k, f in by_half.items()}
        people = [v for (person, _), v in knn.items() if person >= 0 and v is not None]
        out[name] = {
            "knn_person": float(np.mean(people)) if people else None,
            "knn_noise": knn[-1, 0],
            **_likeness({k: f.values for k, f in by_half.items()}),
        }
    return out


def _half(recording: Recording, half: int) -> Recording:
    middle = recording.n_timepoints // 2
    piece = recording.signals[:, :middle] if half == 0 else recording.signals[:, middle : 2 * middle]
    return replace(recording, signals=np.ascontiguousarray(piece), quality=None)


def _likeness(maps: dict[tuple[int, int], Array]) -> dict[str, float | None]:
    """Return correlations of maps and of their deviations from the mean map."""
    upper = np.triu_indices(len(next(iter(maps.values()))), 1)
    people = sorted({person for person, _ in maps if person >= 0})
    first, second = (np.stack([maps[p, half][upper] for p in people]) for half in (0, 1))
    noise = maps[-1, 0][upper]
    mean = (first.mean(0) + second.mean(0)) / 2
    plain, moved = _across(first, second), _across(first - mean, second - mean)
    others = ~np.eye(len(people), dtype=bool)
    found = (plain.argmax(0) == np.arange(len(people))).mean() + (
        plain.argmax(1) == np.arange(len(people))
    ).mean()
    several = len(people) > 1
    return {
        "same_person": float(np.diag(plain).mean()),
        "other_person": float(plain[others].mean()) if several else None,
        "noise": float(_across(first, noise[None]).mean()),
        "deviation_same_person": float(np.diag(moved).mean()) if several else None,
        "deviation_other_person": float(moved[others].mean()) if several else None,
        "identified": float(found / 2) if several else None,
    }


def _across(a: Array, b: Array) -> Array:
    """Return the correlation of each row of a (n, k) with each of b (m, k), (n, m)."""
    a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
    sizes = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    return np.asarray(a @ b.T / np.maximum(sizes, 1e-12))


def _beside(methods: dict[str, ErrorSums], method: str, seed: int) -> dict[str, Any]:
    value, interval = methods[method].r2(seed)
    out: dict[str, Any] = {"value": float(value), "ci95": None if interval is None else interval.tolist()}
    gap = None if method == "model" else methods["model"].minus(methods[method], seed)
    if gap is not None:
        out["model_minus_this"] = {
            "value": float(gap[0]),
            "ci95": None if gap[1] is None else gap[1].tolist(),
        }
        pairs = zip(methods["model"].rows, methods[method].rows, strict=True)
        ahead = [bool(a[3] < b[3]) for a, b in pairs]
        out["n_recordings_model_ahead"] = int(sum(ahead))
    return out
