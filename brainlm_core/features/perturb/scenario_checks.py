"""Checks that turn parts of ``scenario.json`` into values, each with one sentence for what is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from brainlm_core.base.errors import ConfigError

#: Largest parcel number that a file may name before any parcellation is known.
MAX_PARCEL = 100_000


def shown(value: Any) -> str:
    """Return a value as it may stand in a sentence: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; ValueError when a key appears twice."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key appears twice")
    return out


def no_constant(name: str) -> float:
    """Refuse NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{name} is no number")


def known_keys(data: Any, known: tuple[str, ...], where: str) -> None:
    """Raise ConfigError unless ``data`` is an object with known keys only."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where} is not a JSON object", f"write {where} as {{…}}")
    unknown = [key for key in data if key not in known]
    if unknown:
        raise ConfigError(f"{where} has the unknown key {shown(unknown[0])}", f"use only {', '.join(known)}")


def number(value: Any, key: str, low: float, high: float, where: str) -> float:
    """Return a finite number in its range, or raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key} of {where} is {shown(value)}, which is no number", "give a number")
    try:
        out = float(value)
    except OverflowError:
        out = math.inf
    if not (math.isfinite(out) and low <= out <= high):
        raise ConfigError(f"{key} of {where} is {out:g}", f"give a number from {low:g} to {high:g}")
    return out + 0.0  # -0.0 and 0.0 are the same number and must give the same text


def integer(value: Any, key: str, low: int, high: int) -> int:
    """Return a whole number in its range, or raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"{key} of the scenario is {shown(value)}", f"give a whole number from {low} to {high}"
        )
    return value


def text(value: Any, key: str) -> str:
    """Return a name, or raise ConfigError."""
    if not isinstance(value, str) or not value.strip() or len(value) > 500:
        raise ConfigError(f"{key} of the scenario is {shown(value)}", "give a name")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{key} of the scenario is not readable text", "give a name") from error
    return value


def one_of(data: Mapping[str, Any], key: str, known: Sequence[str], where: str) -> str | None:
    """Return the known name that ``data[key]`` means, None when it is not there, or raise ConfigError."""
    if key not in data:
        return None
    by_name = {name.lower(): name for name in known}
    value = data[key]
    if not isinstance(value, str) or value.strip().lower() not in by_name:
        raise ConfigError(
            f"{where} name the unknown {key} {shown(value)}", f"choose one of {', '.join(known)}"
        )
    return by_name[value.strip().lower()]


def parcels(value: Any, where: str) -> tuple[int, ...]:
    """Return parcel numbers, rising and each once, or raise ConfigError."""
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where} name no parcel", "give a list of parcel numbers, counted from 1")
    if any(isinstance(v, bool) or not isinstance(v, int) or not 1 <= v <= MAX_PARCEL for v in value):
        wrong = next(
            v for v in value if isinstance(v, bool) or not isinstance(v, int) or not 1 <= v <= MAX_PARCEL
        )
        raise ConfigError(f"{where} name parcel {shown(wrong)}", "give whole numbers, counted from 1")
    return tuple(sorted(set(value)))
