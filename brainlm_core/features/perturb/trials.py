"""One window ready to be acted upon, and the passes of a request run together.

A trial is one scenario at one mask. All trials of a request go to the engine as one batch; the pass without
actions is made once per distinct mask, and a trial that changes nothing needs no pass: its response is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.recording import Provenance
from brainlm_core.features.perturb.actions import Frame, apply_actions
from brainlm_core.features.perturb.masks import Plan, TokenGrid, answers

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine, EngineInfo
    from brainlm_core.inference.windows import Windows

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Passes handed to the engine at once, by device; the engine cuts them into batches that fit its memory. On
#: a CPU a batch is one pass, or a few: more would only wait in memory, for each visitor whose turn it is not.
CHUNKS, CHUNK = {"cpu": 8}, 64


@dataclass(frozen=True, eq=False)
class Stage:
    """One window of a recording, ready to be acted upon.

    Parameters
    ----------
    window : Windows
        One window.
    whole : ndarray (P, N), float32
        All recorded samples in the scaling of the window; what connectivity is computed from.
    frame : Frame
    grid : TokenGrid
    model : EngineInfo
    provenance : Provenance
    number : int
        Of the window, counted from 1.
    """

    window: Windows
    whole: FloatArray
    frame: Frame
    grid: TokenGrid
    model: EngineInfo
    provenance: Provenance
    number: int

    @property
    def parcellation(self) -> Parcellation:
        """Parcellation of the rows."""
        return self.frame.parcellation

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Time of each sample from the start of the window, (T,), in s."""
        return np.arange(self.window.n_timepoints, dtype=np.float64) * self.window.tr_s


@dataclass(frozen=True, eq=False)
class Trial:
    """One scenario at one mask.

    Parameters
    ----------
    plan : Plan
        What is done, and where answers count.
    mask : ndarray (P, T), bool
        True where the model must not look.
    """

    plan: Plan
    mask: BoolArray


def run_trials(
    engine: Engine,
    stage: Stage,
    trials: Sequence[Trial],
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    label: str = "Asking the model",
) -> Iterator[tuple[int, FloatArray]]:
    """Run many trials together and give the responses as they come; see the module.

    Parameters
    ----------
    engine : Engine
    stage : Stage
    trials : sequence of Trial
    progress, cancel : callable or None
    label : str
        Said while it runs.

    Yields
    ------
    trial : int
        Position among ``trials``; in no particular order.
    response : ndarray (P, T), float32
        In SD; NaN where there is no answer.
    """
    jobs = _Jobs(stage, trials)
    # Where only the future counts, the model need not fill in the rest: some families are faster then.
    future = all(trial.plan.scenario.readout == "future" for trial in trials)
    total, chunk = max(1, len(jobs.passes)), CHUNKS.get(stage.model.device, CHUNK)
    for start in range(0, len(jobs.passes), chunk):
        part = jobs.passes[start : start + chunk]
        values = np.stack([stage.window.values[0] if i is None else jobs.changed(i) for _, i in part])
        masks = np.stack([jobs.masks[mask] for mask, _ in part])
        batch = replace(stage.window.pick(np.zeros(len(part), dtype=np.intp)), values=values)
        tell = None if progress is None else _part(progress, start, len(part), total, label)
        answer = engine.reconstruct(batch, masks, only_hidden=future, progress=tell, cancel=cancel)
        del values, masks, batch  # the reader of the answers may take their time
        for (mask, i), predicted, truly in zip(part, answer.predicted, answer.hidden, strict=True):
            if i is None:
                jobs.plain[mask] = predicted.copy()  # not a view: it would hold all answers of the part
                continue
            yield i, jobs.answer(i, predicted - jobs.plain[mask], truly)
            jobs.release(mask)
        del answer, predicted, truly  # before the next part has its own
    for i in jobs.unchanged:
        yield i, jobs.answer(i, np.zeros_like(stage.window.values[0]), trials[i].mask)
    if progress is not None:
        progress(1.0, f"{label}: done")


class _Jobs:
    """The passes of a request: which inputs at which masks, each distinct one once."""

    def __init__(self, stage: Stage, trials: Sequence[Trial]) -> None:
        self.stage, self.trials = stage, trials
        self.masks: list[BoolArray] = []
        self.plain: dict[int, FloatArray] = {}
        self.unchanged: list[int] = []
        self._cache: tuple[Plan, FloatArray] | None = None
        known: dict[bytes, int] = {}
        users: dict[int, list[int]] = {}
        for i, trial in enumerate(trials):
            number = known.setdefault(np.packbits(trial.mask).tobytes(), len(self.masks))
            if number == len(self.masks):
                self.masks.append(trial.mask)
            if (self.changed(i) != stage.window.values[0]).any():
                users.setdefault(number, []).append(i)
            else:
                self.unchanged.append(i)
        #: (mask, trial or None for "without actions"), in the order in which they run
        self.passes: list[tuple[int, int | None]] = []
        for number, mine in users.items():
            self.passes += [(number, None), *((number, i) for i in mine)]
        self._users = {number: len(mine) for number, mine in users.items()}

    def changed(self, trial: int) -> FloatArray:
        """Return the window after a trial's actions, (P, T)."""
        plan = self.trials[trial].plan
        if self._cache is None or self._cache[0] is not plan:
            values = apply_actions(
                self.stage.window.values[0], plan.actions, self.stage.frame, plan.scenario.seed
            )
            self._cache = (plan, values)
        return self._cache[1]

    def release(self, mask: int) -> None:
        """Let a pass without actions go once nobody needs it."""
        self._users[mask] -= 1
        if self._users[mask] == 0:
            del self.plain[mask]

    def answer(self, trial: int, difference: FloatArray, truly: BoolArray) -> FloatArray:
        """Scale a difference of outputs and blank what is no answer."""
        frame = self.stage.frame
        counts = answers(self.trials[trial].plan, truly, frame)
        sd = np.where(frame.sd > 0, frame.sd, 1)[:, None]
        return np.where(counts, difference / sd, np.nan).astype(np.float32)


def _part(progress: Progress, start: int, size: int, total: int, label: str) -> Progress:
    return lambda share, _text: progress(
        (start + share * size) / total,
        f"{label}: pass {min(start + round(share * size) + 1, total)} of {total}",
    )
