"""One sentence: who wins the race, and until which second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainlm_core.base.methods import METHODS, words_of
from brainlm_core.features.forecast.metrics import Race

#: R² below this counts as none, also where it is above chance.
SMALLEST_R2 = 0.01


@dataclass(frozen=True)
class Verdict:
    """Who wins.

    Parameters
    ----------
    sentence : str
        For the top of the page.
    winners : tuple of str
        Method with the highest R² at each step, ``mean`` where nobody has skill.
    skill_until_s : float
        The last moment up to which somebody forecasts better than nothing at every step, in s.
    ahead_until_s : float
        The same for the model against every baseline.
    """

    sentence: str
    winners: tuple[str, ...] = ()
    skill_until_s: float = 0.0
    ahead_until_s: float = 0.0


def verdict(result: Race) -> Verdict:
    """Say who wins.

    A step has skill when the best R² is at least .01 and, where an interval is known, its lower end
    is above 0. The model is ahead at a step when its R² exceeds the best baseline's there and, where
    known, the lower end of the interval of the difference is above 0. Only an unbroken run of steps
    from the first counts.
    """
    r2 = result.values["r2"]  # controls do not race
    racers = [m for m in r2 if METHODS[m].kind != "control"]
    table = np.stack([np.nan_to_num(r2[m], nan=-np.inf) for m in racers])  # (methods, H)
    best = table.argmax(axis=0)
    winners, skill, ahead = [], [], []
    for h, index in enumerate(best):
        method = racers[index]
        low = result.intervals["r2"][method][h, 0]
        has_skill = bool(table[index, h] >= SMALLEST_R2 and not low <= 0)
        skill.append(has_skill)
        winners.append(method if has_skill else "mean")
        gap = table[racers.index("model"), h] - r2[result.best_baseline[h]][h]
        ahead.append(has_skill and bool(gap > 0 and not result.ahead[h, 0] <= 0))
    skill_until, ahead_until = _run(skill, result), _run(ahead, result)
    said = _sentence(result, winners, skill_until, ahead_until)
    return Verdict(said + _beside_no_scan(result, skill_until), tuple(winners), skill_until, ahead_until)


def _run(flags: list[bool], result: Race) -> float:
    """Return the time of the last step of the unbroken run from the first, 0 when there is none."""
    length = flags.index(False) if False in flags else len(flags)
    return float(result.times_s[length - 1]) if length else 0.0


def _sentence(result: Race, winners: list[str], skill_until: float, ahead_until: float) -> str:
    r2, first = result.values["r2"], float(result.times_s[0])
    if skill_until == 0:
        return "Nobody forecasts this recording better than its mean, not even one volume ahead."
    end = f"After {_seconds(skill_until)} nobody does better than the mean."
    if skill_until >= float(result.times_s[-1]):
        end = f"There is skill up to the last step, {_seconds(skill_until)} ahead."
    rival = result.best_baseline[0]
    figures = (
        f"({r2['model'][0]:.2f} against {r2[rival][0]:.2f} of the variance, {_seconds(first)} ahead, "
        f"for {words_of(rival, 'forecast')})"
    )
    if ahead_until >= skill_until:
        return f"The model beats every baseline as long as there is anything to forecast {figures}. {end}"
    if ahead_until > 0:
        return f"The model beats every baseline up to {_seconds(ahead_until)} {figures}. {end}"
    if winners[0] == "model":
        return f"The model is level with the best baseline {figures}. {end}"
    if np.isfinite(result.ahead[0]).all() and result.ahead[0, 1] >= 0:
        return f"The model is level with the best baseline {figures}. {end}"
    return (
        f"{_capital(words_of(rival, 'forecast'))} wins: it explains {r2[rival][0]:.2f} of the variance "
        f"{_seconds(first)} ahead, the model {r2['model'][0]:.2f}. {end}"
    )


def _beside_no_scan(result: Race, skill_until: float) -> str:
    """Say what the model explains of the same rhythms without anything that parcels share."""
    if "no_scan" not in result.values["r2"] or skill_until == 0:
        return ""
    own, control = (float(result.values["r2"][m][0]) for m in ("model", "no_scan"))
    high = float(result.intervals["r2"]["no_scan"][0, 1])
    if own > (high if np.isfinite(high) else control):
        return f" Of no scan (phases shuffled) the model explains {control:.2f}."
    return (
        f" Of no scan (phases shuffled) the model explains as much ({control:.2f}): "
        "here it goes by each parcel's own past."
    )


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
