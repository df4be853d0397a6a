"""The sliders of the Perturb page as values: which there are, and which scenario they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.shell.theme import NETWORK_COLOURS, group_words
from brainlm_core.base.atlas import YEO7, Parcellation
from brainlm_core.base.errors import BrainLMError, ConfigError
from brainlm_core.features.perturb.scenario import KINDS, MAX_TIME_S, Action, Scenario, Target


@dataclass(frozen=True)
class SliderKind:
    """What a slider does.

    Parameters
    ----------
    label, unit : str
        In words.
    key : str
        The number of the action that it sets; empty for a switch.
    low, high, step : float
        Range.
    neutral : float
        Where nothing is done.
    nodes : tuple of float
        Values whose responses are computed beforehand: those that make the slider move at all first.
    jump : bool
        True where leaving neutral is no small step, so that no line may be drawn from there.
    """

    label: str
    unit: str
    key: str
    low: float
    high: float
    step: float
    neutral: float
    nodes: tuple[float, ...]
    jump: bool = False

    @property
    def switch(self) -> bool:
        """On or off, nothing between."""
        return not self.key

    @property
    def n_early(self) -> int:
        """Responses without which no line can be drawn: one beside neutral, two where neutral is none."""
        return 2 if self.jump else 1


SLIDER_KINDS: dict[str, SliderKind] = {
    "add": SliderKind("Add", "SD", "amplitude_sd", -3, 3, 0.1, 0, (2, -2, -3, -1, 1, 3)),
    "scale": SliderKind("Scale fluctuations", "×", "factor", 0, 3, 0.1, 1, (0, 2, 3)),
    "silence": SliderKind("Silence", "", "", 0, 1, 1, 0, (1,)),
    "clamp": SliderKind("Hold at a level", "SD", "amplitude_sd", -3.1, 3, 0.1, -3.1, (-3, 3, 0), True),
    "noise": SliderKind("Replace by noise", "SD", "amplitude_sd", -0.1, 3, 0.1, -0.1, (1, 2, 0, 3), True),
    "delay": SliderKind("Delay", "s", "delay_s", 0, 20, 0.5, 0, (5, 10, 20)),
    "swap": SliderKind("Swap hemispheres", "", "", 0, 1, 1, 0, (1,)),
    "sine": SliderKind("Add a sine", "SD", "amplitude_sd", 0, 3, 0.1, 0, (2, 1, 3)),
}
#: Amplitudes of a computed response beyond the slider's ends are allowed in files, not drawn on sliders.
_STRUCTURES = ("subcortex", "cerebellum")


@dataclass(frozen=True)
class Common:
    """What all sliders share unless a scenario file says otherwise.

    Parameters
    ----------
    kind : str
    frequency_hz, onset_s : float
    duration_s : float or None
        None lasts until the model's view ends.
    """

    kind: str = "add"
    frequency_hz: float = 0.05
    onset_s: float = 28.8
    duration_s: float | None = 28.8

    @classmethod
    def from_message(cls, data: Any) -> Common:
        """Read what the browser sent; ConfigError when it makes no sense."""
        try:
            out = cls(
                str(data["kind"]),
                float(data["frequency_hz"]),
                float(data["onset_s"]),
                None if data["duration_s"] is None else float(data["duration_s"]),
            )
            times = (out.frequency_hz, out.onset_s, 1.0 if out.duration_s is None else out.duration_s)
            if not all(0 <= v <= MAX_TIME_S for v in times):  # not NaN either
                raise ValueError(f"a time or a frequency of {times}")
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError("the sliders sent something unreadable", "reload the page") from error
        if out.kind not in SLIDER_KINDS:
            raise ConfigError(f"there is no slider of kind {out.kind!r}", "reload the page")
        return out


@dataclass(frozen=True)
class SliderRow:
    """One slider.

    Parameters
    ----------
    id : str
    label, colour : str
    targets : Target
    parcels : tuple of int
        0-based rows of the targets.
    removable : bool
        True for what the visitor added.
    kind : str
    value : float
        In the unit of the kind.
    frequency_hz, onset_s, ramp_s : float
    duration_s : float or None
        None lasts until the model's view ends.
    """

    id: str
    label: str
    colour: str
    targets: Target
    parcels: tuple[int, ...]
    removable: bool
    kind: str
    value: float
    frequency_hz: float
    onset_s: float
    duration_s: float | None
    ramp_s: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it does anything."""
        return self.value != SLIDER_KINDS[self.kind].neutral

    def action(self, value: float) -> Action:
        """Return what the slider does at a value."""
        kind = SLIDER_KINDS[self.kind]
        numbers: dict[str, float] = {kind.key: float(value)} if kind.key else {}
        if self.kind == "sine":
            numbers["frequency_hz"] = self.frequency_hz
        return Action(
            self.targets,
            self.kind,
            onset_s=self.onset_s,
            duration_s=self.duration_s,
            ramp_s=self.ramp_s,
            **numbers,
        )

    def to_message(self, nodes: Sequence[tuple[float, int]], blocked: str) -> dict[str, Any]:
        """Return what the browser needs.

        Parameters
        ----------
        nodes : sequence of (float, int)
            Value and position in the bank of every response that is there.
        blocked : str
            Why nothing can be asked of this slider; empty when something can.
        """
        out = asdict(self)
        out["targets"] = self.targets.to_dict()
        out["parcels"] = list(self.parcels)
        out["nodes"] = [{"value": v, "at": at} for v, at in nodes]
        out["blocked"] = blocked
        return out


def make_rows(
    parcellation: Parcellation, common: Common, scenario: Scenario | None, extra: Sequence[int]
) -> tuple[SliderRow, ...]:
    """Return the sliders: networks, subcortex, cerebellum, added parcels, set as the scenario says.

    Parameters
    ----------
    parcellation : Parcellation
    common : Common
    scenario : Scenario or None
        Every action finds its slider, or gets one of its own.
    extra : sequence of int
        Parcel numbers counted from 1 that the visitor added.
    """
    rows: dict[str, SliderRow] = {}

    def put(name: str, label: str, colour: str, targets: Target, removable: bool) -> None:
        try:
            parcels = tuple(int(i) for i in targets.rows(parcellation))
        except BrainLMError:
            return  # a parcellation without this network has no slider for it
        neutral = SLIDER_KINDS[common.kind].neutral
        rows[name] = SliderRow(
            name, label, colour, targets, parcels, removable, common.kind, neutral,
            common.frequency_hz, common.onset_s, common.duration_s,
        )  # fmt: skip

    for network in YEO7:
        put(f"n:{network}", group_words(network), NETWORK_COLOURS[network], Target(network=network), False)
    for name in _STRUCTURES:
        put(f"s:{name}", group_words(name), NETWORK_COLOURS[name], Target(structure=name), False)
    for number in extra:
        if 1 <= number <= parcellation.n_parcels:
            put(f"p{number}", parcellation.names[number - 1], "var(--accent)", Target((number,)), True)
    for i, action in enumerate(scenario.actions if scenario else (), 1):
        name = _id_of(action.targets, i, rows)
        if name not in rows:
            one = len(action.targets.parcels) == 1
            label = parcellation.names[action.targets.parcels[0] - 1] if one else action.targets.in_words()
            put(name, label[:1].upper() + label[1:], "var(--accent)", action.targets, True)
        rows[name] = _set(rows[name], action)
    return tuple(rows.values())


def _id_of(targets: Target, number: int, rows: dict[str, SliderRow]) -> str:
    for name, row in rows.items():
        if row.targets == targets and not row.active:
            return name
    return (
        f"p{targets.parcels[0]}"
        if len(targets.parcels) == 1 and f"p{targets.parcels[0]}" not in rows
        else f"x{number}"
    )


def _set(row: SliderRow, action: Action) -> SliderRow:
    kind = SLIDER_KINDS[action.kind]
    return replace(
        row,
        kind=action.kind,
        value=float(getattr(action, kind.key)) if kind.key else 1.0,
        frequency_hz=action.frequency_hz if action.frequency_hz is not None else row.frequency_hz,
        onset_s=action.onset_s,
        duration_s=action.duration_s,
        ramp_s=action.ramp_s,
    )


def common_of(scenario: Scenario | None, fallback: Common) -> Common:
    """Return what the first action says about kind and time."""
    if scenario is None:
        return fallback
    first = scenario.actions[0]
    return Common(
        first.kind,
        first.frequency_hz if first.frequency_hz is not None else fallback.frequency_hz,
        first.onset_s,
        first.duration_s,
    )


assert set(SLIDER_KINDS) == set(KINDS), "every kind of action has its slider"
