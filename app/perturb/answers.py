"""What the Perturb page has computed for one recording and model: single responses, answers, companions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.perturb.rows import SLIDER_KINDS, SliderRow
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.figures import moments
from brainlm_core.features.perturb.scenario import Scenario

if TYPE_CHECKING:
    from brainlm_core.features.perturb.analysis import PerturbResult, Response, Stage
    from brainlm_core.features.perturb.masks import Plan
    from brainlm_core.inference.engine import Engine

#: Answers and companions kept; the oldest goes first.
MAX_ANSWERS, MAX_RESULTS, MAX_BANKS = 24, 8, 60
#: Mask draws of a first answer and of the sliders' responses: two leave hardly a parcel without an answer.
FIRST_DRAWS = 2
#: Stands for "no answer" among the steps of a course.
GAP = -128
#: Moments of the animation at most.
MAX_FRAMES = 40
#: Sliders whose responses are computed in one request: what it holds until it ends is held for each visitor.
ROWS_PER_REQUEST = 1


@dataclass(frozen=True, eq=False)
class SingleResponse:
    """The response to one slider at one value.

    Parameters
    ----------
    value : float
    summary : ndarray (P,), float32
        In SD.
    course : ndarray (P, T), int8
        In steps of ``step``; :data:`GAP` without an answer. As the browser gets it.
    step : float
        In SD.
    """

    value: float
    summary: NDArray[np.float32]
    course: NDArray[np.int8]
    step: float

    @classmethod
    def of(cls, value: float, answer: Response) -> SingleResponse:
        """Keep what the page needs of an answer."""
        known = ~np.isnan(answer.mean)
        step = float(np.abs(answer.mean[known]).max(initial=0.0)) / 127 or 1.0
        course = np.full(answer.mean.shape, GAP, dtype=np.int8)
        course[known] = np.round(answer.mean[known] / step).astype(np.int8)
        return cls(value, answer.summary, course, step)


BankKey = tuple[object, ...]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(eq=False)
class Desk:
    """One recording, one model.

    Parameters
    ----------
    engine : Engine
    stages : dict
        Window number -> Stage.
    answers : OrderedDict
        Scenario -> Response of the first draws.
    full : OrderedDict
        Scenario -> Response of all draws that it asks for, once there.
    results : OrderedDict
        Scenario -> response and companions.
    banks : OrderedDict
        Slider without its value -> responses at a few values.
    blocked : dict
        Slider without its value -> why nothing can be asked of it.
    """

    engine: Engine
    stages: dict[int, Stage] = field(default_factory=dict)
    answers: OrderedDict[Scenario, Response] = field(default_factory=OrderedDict)
    full: OrderedDict[Scenario, Response] = field(default_factory=OrderedDict)
    results: OrderedDict[Scenario, PerturbResult] = field(default_factory=OrderedDict)
    banks: OrderedDict[BankKey, tuple[SingleResponse, ...]] = field(default_factory=OrderedDict)
    blocked: dict[BankKey, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, store: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
        """Store a value, dropping the oldest beyond ``limit``."""
        with self.lock:
            store[key] = value
            store.move_to_end(key)
            while len(store) > limit:
                store.popitem(last=False)

    def best(self, scenario: Scenario | None) -> Response | None:
        """Return the answer of most draws so far, None without any."""
        if scenario is None:
            return None
        return self.full.get(scenario) or self.answers.get(scenario)

    def bank(self, row: SliderRow, base: Scenario) -> tuple[SingleResponse, ...]:
        """Return the single responses of a slider known so far."""
        return self.banks.get(bank_key(row, base), ())

    def missing(self, rows: Sequence[SliderRow], base: Scenario) -> list[tuple[SliderRow, tuple[float, ...]]]:
        """Return which sliders lack which responses: what makes each one move before the rest."""
        first, later = [], []
        for row in sorted(rows, key=lambda r: not r.active):
            if bank_key(row, base) in self.blocked:
                continue
            known = {single.value for single in self.bank(row, base)}
            kind = SLIDER_KINDS[row.kind]
            early = tuple(v for v in kind.nodes[: kind.n_early] if v not in known)
            if early:
                first.append((row, early))
            elif rest := tuple(v for v in kind.nodes if v not in known):
                later.append((row, rest))
        return first or later


def bank_key(row: SliderRow, base: Scenario) -> BankKey:
    """Identify the single responses of a slider: all but its value."""
    return (
        row.targets, row.kind, row.onset_s, row.duration_s, row.ramp_s,
        row.frequency_hz if row.kind == "sine" else None,
        base.readout, min(FIRST_DRAWS, base.draws), base.seed, base.window,
    )  # fmt: skip


def fill_bank(
    desk: Desk,
    stage: Stage,
    wanted: Sequence[tuple[SliderRow, tuple[float, ...]]],
    base: Scenario,
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
    stored: Callable[[int], None],
) -> None:
    """Compute single responses, some sliders per request; ``stored`` is told how many sliders are done."""
    from brainlm_core.features.perturb.analysis import respond

    for start in range(0, len(wanted), ROWS_PER_REQUEST):
        part = [
            (row, values)
            for row, values in wanted[start : start + ROWS_PER_REQUEST]
            if _possible(desk, stage, row, base)
        ]
        scenarios = [base.with_actions([row.action(v)]) for row, values in part for v in values]
        names = ", ".join(row.label for row, _ in part)

        def tell(share: float, _text: str, at: int = start, n: int = len(part), names: str = names) -> None:
            progress((at + share * n) / len(wanted), f"Preparing the sliders: {names}")

        answers = iter(
            respond(
                desk.engine,
                stage,
                scenarios,
                draws=min(FIRST_DRAWS, base.draws),
                progress=tell,
                cancel=cancelled,
            )
        )
        for row, values in part:
            new = []
            for value in values:
                new.append(SingleResponse.of(value, next(answers)))
            known = {single.value: single for single in (*desk.bank(row, base), *new)}
            desk.keep(desk.banks, bank_key(row, base), tuple(known[v] for v in sorted(known)), MAX_BANKS)
        stored(min(start + ROWS_PER_REQUEST, len(wanted)))


def _possible(desk: Desk, stage: Stage, row: SliderRow, base: Scenario) -> bool:
    """Return whether anything can be asked of a slider; if not, keep why."""
    from brainlm_core.features.perturb.masks import make_plan

    try:
        make_plan(base.with_actions([row.action(SLIDER_KINDS[row.kind].nodes[0])]), stage.frame, stage.grid)
    except ConfigError as error:
        desk.blocked[bank_key(row, base)] = error.what
        return False
    return True


def frames_of(plan: Plan, n_timepoints: int) -> NDArray[np.intp]:
    """Return the samples that the animation shows."""
    return moments(plan, n_timepoints, MAX_FRAMES)
