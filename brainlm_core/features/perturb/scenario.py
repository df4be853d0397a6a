"""A perturbation scenario as a value: what is done to which parcels, when, and what the model must answer.

A scenario never changes; a change is a new scenario. It travels as ``scenario.json``, as a string that is
safe inside an address, and as the dataclasses of this file, and each of the three leads back to the same
value. Reading is strict: one sentence says what is wrong with a file, and nothing of it is applied.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import YEO7, Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb import scenario_checks as check
from brainlm_core.features.perturb.scenario_checks import MAX_PARCEL, shown

Kind = Literal["add", "scale", "silence", "clamp", "noise", "delay", "swap", "sine"]
Readout = Literal["future", "others", "both"]
READOUTS: tuple[Readout, ...] = ("future", "others", "both")
HEMISPHERES = ("L", "R", "midline")
STRUCTURES = ("cortex", "subcortex", "cerebellum")

#: Largest amplitude in SD of a parcel's signal; recordings hardly pass 4.
MAX_AMPLITUDE_SD = 10.0
MAX_FACTOR = 10.0
MAX_DELAY_S = 60.0
MAX_FREQUENCY_HZ = 10.0
#: Longest onset, duration or ramp that a file may ask for, in s; the recording decides what fits.
MAX_TIME_S = 86_400.0
MAX_DRAWS = 256
MAX_ACTIONS = 64
MAX_SEED = 2**32 - 1
#: Version letter of the address form, and how much text it may unpack to.
_URL_PREFIX, _MAX_UNPACKED = "1", 1_000_000


@dataclass(frozen=True)
class Number:
    """A number that a kind of action takes.

    Parameters
    ----------
    key : str
        Its name in ``scenario.json``.
    low, high : float
        Allowed range, both ends included.
    default : float or None
        None when it must be given.
    """

    key: str
    low: float
    high: float
    default: float | None = None


_AMPLITUDE = Number("amplitude_sd", -MAX_AMPLITUDE_SD, MAX_AMPLITUDE_SD)
_POSITIVE = Number("amplitude_sd", 0.0, MAX_AMPLITUDE_SD, 1.0)
#: Every kind of action with the numbers it takes; its own number first.
KINDS: Mapping[str, tuple[Number, ...]] = {
    "add": (_AMPLITUDE,),
    "scale": (Number("factor", 0.0, MAX_FACTOR),),
    "silence": (),
    "clamp": (_AMPLITUDE,),
    "noise": (_POSITIVE,),
    "delay": (Number("delay_s", 0.0, MAX_DELAY_S),),
    "swap": (),
    "sine": (Number("frequency_hz", 1e-4, MAX_FREQUENCY_HZ), _POSITIVE),
}
#: Kinds that shift a signal up or down; the others leave its mean about where it was.
SHIFTING = frozenset({"add", "clamp"})
_NUMBER_KEYS = ("amplitude_sd", "factor", "delay_s", "frequency_hz")
_ACTION_KEYS = ("targets", "kind", *_NUMBER_KEYS, "onset_s", "duration_s", "ramp_s")
_SCENARIO_KEYS = ("actions", "readout", "draws", "seed", "model", "parcellation", "window")


@dataclass(frozen=True)
class Target:
    """Which parcels an action touches: numbers, or every parcel that fits all given descriptions.

    Parameters
    ----------
    parcels : tuple of int
        Parcel numbers counted from 1, rising, each once; empty when described otherwise.
    network : str or None
        One of :data:`brainlm_core.base.atlas.YEO7`.
    hemisphere : {"L", "R", "midline"} or None
    structure : {"cortex", "subcortex", "cerebellum"} or None
    """

    parcels: tuple[int, ...] = ()
    network: str | None = None
    hemisphere: str | None = None
    structure: str | None = None

    def rows(self, parcellation: Parcellation) -> NDArray[np.intp]:
        """Return the 0-based rows of the targets.

        Raises
        ------
        ConfigError
            If a number lies outside the parcellation or nothing fits the description.
        """
        if self.parcels:
            if self.parcels[-1] > parcellation.n_parcels:
                raise ConfigError(
                    f"the scenario names parcel {self.parcels[-1]} and {parcellation.name} has "
                    f"{parcellation.n_parcels} parcels",
                    "use a scenario made for this parcellation",
                )
            return np.asarray(self.parcels, dtype=np.intp) - 1
        chosen = np.ones(parcellation.n_parcels, dtype=bool)
        for wanted, column in (
            (self.network, parcellation.yeo7),
            (self.hemisphere, parcellation.hemisphere),
            (self.structure, parcellation.structure),
        ):
            if wanted is not None:
                chosen &= np.asarray(column) == wanted
        if not chosen.any():
            raise ConfigError(
                f"no parcel of {parcellation.name} belongs to {self.in_words()}", "choose another target"
            )
        return np.flatnonzero(chosen)

    def in_words(self) -> str:
        """Return the description as a phrase."""
        if self.parcels:
            listed = ", ".join(map(str, self.parcels[:4])) + (", …" if len(self.parcels) > 4 else "")
            return f"parcel{'s' if len(self.parcels) > 1 else ''} {listed}"
        side = {"L": "left", "R": "right", "midline": "midline", None: ""}[self.hemisphere]
        what = " ".join(w for w in (side, self.network, self.structure) if w)
        if self.hemisphere and not (self.network or self.structure):
            what += " hemisphere"
        return f"the {what}{' network' if self.network and not self.structure else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``scenario.json``."""
        if self.parcels:
            return {"parcels": list(self.parcels)}
        named = {"network": self.network, "hemisphere": self.hemisphere, "structure": self.structure}
        return {key: value for key, value in named.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Any, where: str = "targets") -> Target:
        """Read the form of ``scenario.json``; ConfigError says what is wrong."""
        check.known_keys(data, ("parcels", "network", "hemisphere", "structure"), where)
        if not data:
            raise ConfigError(f"{where} is empty", "name parcels, a network, a hemisphere or a structure")
        if "parcels" in data:
            if len(data) > 1:
                raise ConfigError(f"{where} mixes parcel numbers with a description", "give one of the two")
            return cls(parcels=check.parcels(data["parcels"], where))
        return cls(
            network=check.one_of(data, "network", YEO7, where),
            hemisphere=check.one_of(data, "hemisphere", HEMISPHERES, where),
            structure=check.one_of(data, "structure", STRUCTURES, where),
        )


@dataclass(frozen=True)
class Action:
    """One thing done to the signals of some parcels; see :mod:`brainlm_core.features.perturb.actions`.

    Parameters
    ----------
    targets : Target
    kind : str
        Key of :data:`KINDS`.
    amplitude_sd : float or None
        In SD of each parcel's own signal: what is added (add), the level set (clamp), the SD of the noise
        (noise), the height of the wave (sine).
    factor : float or None
        Of the deviation from the parcel's mean (scale).
    delay_s : float or None
        By which the signal comes later (delay).
    frequency_hz : float or None
        Of the wave (sine).
    onset_s : float
        Counted from the start of the window.
    duration_s : float or None
        None lasts until the model's view ends.
    ramp_s : float
        Time to full strength at the onset and back at the end.
    """

    targets: Target
    kind: str
    amplitude_sd: float | None = None
    factor: float | None = None
    delay_s: float | None = None
    frequency_hz: float | None = None
    onset_s: float = 0.0
    duration_s: float | None = None
    ramp_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``scenario.json``, with every number that this kind has."""
        out: dict[str, Any] = {"targets": self.targets.to_dict(), "kind": self.kind}
        for number in KINDS[self.kind]:
            out[number.key] = getattr(self, number.key)
        out["onset_s"] = self.onset_s
        if self.duration_s is not None:
            out["duration_s"] = self.duration_s
        out["ramp_s"] = self.ramp_s
        return out

    @classmethod
    def from_dict(cls, data: Any, where: str = "the action") -> Action:
        """Read the form of ``scenario.json``; ConfigError says what is wrong."""
        check.known_keys(data, _ACTION_KEYS, where)
        for key in ("targets", "kind"):
            if key not in data:
                raise ConfigError(f"{where} has no {key}", "add it")
        targets = Target.from_dict(data["targets"], f"targets of {where}")
        kind = data["kind"]
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigError(
                f"{where} is of the unknown kind {shown(kind)}", f"choose one of {', '.join(KINDS)}"
            )
        numbers: dict[str, float] = {}
        for number in KINDS[kind]:
            if data.get(number.key) is None and number.default is None:
                raise ConfigError(f"{where} is of kind {kind} and has no {number.key}", "add that number")
            value = data.get(number.key)
            numbers[number.key] = check.number(
                number.default if value is None else value, number.key, number.low, number.high, where
            )
        foreign = [k for k in _NUMBER_KEYS if k in data and k not in numbers]
        if foreign:
            raise ConfigError(f"{where} is of kind {kind}, which takes no {foreign[0]}", "leave it out")
        duration = data.get("duration_s")
        if duration is not None:
            duration = check.number(duration, "duration_s", 0.0, MAX_TIME_S, where)
            if duration == 0:
                raise ConfigError(f"{where} lasts 0 s", "give a positive duration_s, or leave it out")
        ramp = check.number(data.get("ramp_s", 0.0), "ramp_s", 0.0, MAX_TIME_S, where)
        if duration is not None and 2 * ramp > duration:
            raise ConfigError(
                f"{where} lasts {duration:g} s, too short for two ramps of {ramp:g} s", "shorten ramp_s"
            )
        return cls(
            targets,
            kind,
            onset_s=check.number(data.get("onset_s", 0.0), "onset_s", 0.0, MAX_TIME_S, where),
            duration_s=duration,
            ramp_s=ramp,
            **numbers,
        )


@dataclass(frozen=True)
class Scenario:
    """Actions, and what the model is asked; immutable, equal by value.

    Parameters
    ----------
    actions : tuple of Action
        Applied in this order.
    readout : {"future", "others", "both"}
        What is hidden from the model and must be answered: what follows the actions, the other parcels
        while the actions last, or both.
    draws : int
        Mask draws that the response is averaged over.
    seed : int
        Of masks and noise.
    model : str
        As :func:`brainlm_core.inference.weights.load` takes it.
    parcellation : str or None
        Name of the parcellation that it was made for; None fits any that has the parcels.
    window : int
        Which of the recording's windows, counted from 1.
    """

    actions: tuple[Action, ...]
    readout: Readout = "both"
    draws: int = 8
    seed: int = 0
    model: str = "default"
    parcellation: str | None = None
    window: int = 1

    def with_actions(self, actions: Sequence[Action]) -> Scenario:
        """Return the same question about other actions."""
        return replace(self, actions=tuple(actions))

    def check_parcellation(self, parcellation: Parcellation) -> None:
        """Raise ConfigError when the scenario was made for another parcellation."""
        if self.parcellation is not None and self.parcellation != parcellation.name:
            raise ConfigError(
                f"the scenario was made for {self.parcellation} and the recording is in {parcellation.name}",
                "use a recording with that parcellation, or make the scenario anew",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``scenario.json``."""
        out: dict[str, Any] = {
            "actions": [action.to_dict() for action in self.actions],
            "readout": self.readout,
            "draws": self.draws,
            "seed": self.seed,
            "model": self.model,
        }
        if self.parcellation is not None:
            out["parcellation"] = self.parcellation
        out["window"] = self.window
        return out

    @classmethod
    def from_dict(cls, data: Any) -> Scenario:
        """Read the form of ``scenario.json``.

        Raises
        ------
        ConfigError
            With the first thing that is wrong; unknown keys are wrong.
        """
        check.known_keys(data, _SCENARIO_KEYS, "the scenario")
        actions = data.get("actions")
        if not isinstance(actions, list) or not actions:
            raise ConfigError("the scenario has no actions", "give a list with at least one action")
        if len(actions) > MAX_ACTIONS:
            raise ConfigError(f"the scenario has {len(actions)} actions", f"give at most {MAX_ACTIONS}")
        readout = data.get("readout", "both")
        if readout not in READOUTS:
            raise ConfigError(f"there is no readout {shown(readout)}", f"choose one of {', '.join(READOUTS)}")
        parcellation = data.get("parcellation")
        return cls(
            tuple(Action.from_dict(a, f"action {i}") for i, a in enumerate(actions, 1)),
            readout,
            check.integer(data.get("draws", 8), "draws", 1, MAX_DRAWS),
            check.integer(data.get("seed", 0), "seed", 0, MAX_SEED),
            check.text(data.get("model", "default"), "model"),
            None if parcellation is None else check.text(parcellation, "parcellation"),
            check.integer(data.get("window", 1), "window", 1, MAX_PARCEL),
        )

    def to_json(self) -> str:
        """Return the text of ``scenario.json``."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Scenario:
        """Read the text of ``scenario.json``; ConfigError as :meth:`from_dict`."""
        try:
            data = json.loads(text, object_pairs_hook=check.no_duplicates, parse_constant=check.no_constant)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                "the scenario is not readable JSON", "check the file or save it again"
            ) from error
        return cls.from_dict(data)

    @classmethod
    def read(cls, path: str | Path) -> Scenario:
        """Read a file; ConfigError when it is missing or wrong."""
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{Path(path).name} cannot be read", "name an existing scenario.json"
            ) from error
        return cls.from_json(text)

    def to_url(self) -> str:
        """Return the scenario in characters that an address needs not escape."""
        text = json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        packed = zlib.compress(text.encode(), 9)  # ends with a checksum, so that a cut address is noticed
        return _URL_PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def from_url(cls, text: str) -> Scenario:
        """Read what :meth:`to_url` wrote; ConfigError when the address was cut or changed."""
        broken = ConfigError("the scenario in the address is damaged", "copy the whole link again")
        if not text.startswith(_URL_PREFIX):
            raise broken
        body = text[len(_URL_PREFIX) :]
        try:
            packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            inflate = zlib.decompressobj()
            data = inflate.decompress(packed, _MAX_UNPACKED)
        except (ValueError, binascii.Error, zlib.error) as error:
            raise broken from error
        if not inflate.eof or inflate.unused_data:
            raise broken
        return cls.from_json(data)
