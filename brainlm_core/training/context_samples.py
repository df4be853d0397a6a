"""Training examples of the context family: people, mixtures of two people, holes and shortened recordings.

A batch is one recording, or a mixture of two people's, with a hole: windows come from the hole, context from
what is outside it. Batch ``n`` of a run depends on the seed and on ``n`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.shared.masked_baselines import draw_mask
from brainlm_core.training.samples import Series, networks_of

FloatArray = NDArray[np.float32]

#: Hole in a training recording, in windows; the least that is left outside it, in samples.
HOLE_WINDOWS, MIN_CONTEXT = 2, 60
#: How often a batch has context, how often that is shortened, how often two people are mixed.
CONTEXT_SHARE, SHORTENED_SHARE, MIXED_SHARE = 0.65, 0.33, 0.5
#: Longest of the shortened recordings, in samples.
SHORTENED_MOST = 790
#: Weight of the first person's variance in a mixture.
MIXTURE = (0.25, 0.75)
#: How often whole parcels are hidden, and their share.
PARCEL_SHARE, PARCEL_RANGE = 0.12, (0.05, 0.3)
#: Two recordings closer than this share of the median distance may be one person's; from this correlation on
#: they are one recording.
ALIKE, IDENTICAL = 0.6, 0.98
#: Share of tokens hidden otherwise.
TOKEN_RANGE = (0.2, 0.9)


@dataclass(frozen=True, eq=False)
class ContextSample:
    """A batch of windows of one recording.

    Parameters
    ----------
    signal : Tensor (B, P, T)
    hidden : Tensor (B, P, T), bool
    moments : Tensor (P, P)
        Mean outer product of the samples outside the hole; zeros without context.
    n_context : int
        Samples that these are of; 0 without context.
    people : frozenset of str
        Whom the recording is of.
    series : Series
        The first person's, for parcels and positions.
    """

    signal: Tensor
    hidden: Tensor
    moments: Tensor
    n_context: int
    people: frozenset[str]
    series: Series


class ContextSampler:
    """Draws batches by their number.

    Parameters
    ----------
    recordings : sequence of Series
        All of one parcellation.
    subjects : sequence of str
        Who was scanned, one a recording.
    n_timepoints, patch_length : int
        Of a window and a token, in samples.
    seed, stream : int
        A stream is a sequence of its own.

    Raises
    ------
    ConfigError
        If no recording is longer than the hole by :data:`MIN_CONTEXT` samples.
    """

    def __init__(
        self,
        recordings: Sequence[Series],
        subjects: Sequence[str],
        n_timepoints: int,
        patch_length: int,
        seed: int,
        stream: int = 0,
    ) -> None:
        hole = HOLE_WINDOWS * n_timepoints
        kept = [
            (r, s)
            for r, s in zip(recordings, subjects, strict=True)
            if r.values.shape[1] >= hole + MIN_CONTEXT
        ]
        if not kept:
            raise ConfigError(
                f"no recording is longer than {hole + MIN_CONTEXT} samples at the model's interval: two "
                "windows and some context",
                "use longer recordings or another family",
            )
        self._recordings, self._subjects = [r for r, _ in kept], [s for _, s in kept]
        self._length, self._patch, self._seed, self._stream = n_timepoints, patch_length, seed, stream

    def batch(self, number: int, size: int) -> ContextSample:
        """Return batch ``number`` with ``size`` windows."""
        rng = np.random.default_rng([self._seed, 17 + self._stream, number])
        values, people, series = self._recording(rng)
        n, length = values.shape[1], self._length
        hole = HOLE_WINDOWS * length
        start = int(rng.integers(n - hole + 1))
        firsts = start + rng.integers(hole - length + 1, size=size)
        signal = np.stack([values[:, f : f + length] for f in firsts])
        hidden = np.concatenate([self._mask(series, rng) for _ in range(size)])
        moments, n_context = self._context(np.delete(values, np.s_[start : start + hole], axis=1), rng)
        return ContextSample(
            torch.from_numpy(signal.astype(np.float32)),
            torch.from_numpy(hidden),
            torch.from_numpy(moments),
            n_context,
            people,
            series,
        )

    def _recording(self, rng: np.random.Generator) -> tuple[FloatArray, frozenset[str], Series]:
        first = int(rng.integers(len(self._recordings)))
        one, who = self._recordings[first], self._subjects[first]
        others = [k for k, s in enumerate(self._subjects) if s != who]
        if rng.random() >= MIXED_SHARE or not others:
            return one.values, frozenset({who}), one
        second = others[int(rng.integers(len(others)))]
        other = self._recordings[second].values
        n = min(one.values.shape[1], other.shape[1])
        weight = rng.uniform(*MIXTURE)
        shifted = np.roll(other[:, :n], int(rng.integers(n)), axis=1)
        mixed = np.sqrt(weight) * one.values[:, :n] + np.sqrt(1 - weight) * shifted
        return mixed.astype(np.float32), frozenset({who, self._subjects[second]}), one

    def _context(self, rest: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, int]:
        if rng.random() >= CONTEXT_SHARE:
            return np.zeros((len(rest), len(rest)), dtype=np.float32), 0
        if rng.random() < SHORTENED_SHARE:
            most = min(SHORTENED_MOST, rest.shape[1])
            length = round(float(np.exp(rng.uniform(np.log(MIN_CONTEXT), np.log(most)))))
            start = int(rng.integers(rest.shape[1] - length + 1))
            rest = rest[:, start : start + length]
        return (rest @ rest.T / rest.shape[1]).astype(np.float32), rest.shape[1]

    def _mask(self, series: Series, rng: np.random.Generator) -> NDArray[np.bool_]:
        shape = (1, len(series.values), self._length)
        if rng.random() >= PARCEL_SHARE:
            share = rng.uniform(*TOKEN_RANGE)
            return draw_mask(f"random{round(100 * share)}", shape, self._patch, rng)
        networks = networks_of(series.parcellation)
        if len(networks) < 2 or rng.random() < 0.8:
            return draw_mask("parcel", shape, self._patch, rng, share=rng.uniform(*PARCEL_RANGE))
        chosen = networks[int(rng.integers(len(networks)))]
        rows = np.array([n == chosen for n in series.parcellation.yeo7])
        return np.broadcast_to(rows[None, :, None], shape).copy()


def alike(recordings: Sequence[Series], subjects: Sequence[str]) -> list[tuple[int, int, float]]:
    """Return pairs of recordings that look like one person's but are given as two people's.

    Two recordings of a person have more of their connectivity in common than two people's: a pair counts
    when its distance (one minus the correlation of connectivity) is below :data:`ALIKE` of the median.

    Returns
    -------
    list of (int, int, float)
        Positions of both, counted from 0, and the correlation; the most alike first.
    """
    rows = []
    for series in recordings:
        with np.errstate(invalid="ignore", divide="ignore"):
            connectivity = np.atleast_2d(np.nan_to_num(np.corrcoef(series.values)))
        rows.append(connectivity[np.triu_indices(len(connectivity), 1)])
    if len(rows) < 3:
        return []
    table = np.atleast_2d(np.corrcoef(np.stack(rows)))
    pairs = [(i, j) for i in range(len(rows)) for j in range(i) if subjects[i] != subjects[j]]
    if not pairs:
        return []
    limit = 1 - ALIKE * (1 - float(np.median([table[p] for p in pairs])))
    found = [(j, i, float(table[i, j])) for i, j in pairs if table[i, j] > limit]
    return sorted(found, key=lambda pair: -pair[2])
