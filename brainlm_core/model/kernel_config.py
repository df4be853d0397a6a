"""Configuration of the kernel family: a Gaussian-process prior that each window adapts, with attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from brainlm_core.base.errors import CheckpointError

_LIMITS = {
    "n_timepoints": 4096,
    "n_blocks": 64,
    "n_regimes": 16,
    "n_landmarks": 1024,
    "width": 8192,
    "gate_width": 1024,
    "rounds": 10,
    "iterations": 500,
}


@dataclass(frozen=True)
class KernelConfig:
    """Shape and fixed settings of a :class:`brainlm_core.model.kernel_model.KernelModel`.

    Parameters
    ----------
    bank_sizes : tuple of int
        Anchors (parcels with a position and loadings) of each reference parcellation.
    n_timepoints, patch_length : int
        Samples per window and per token.
    tr_s : float
        Sampling interval in s of the windows.
    n_blocks : int
        Components are grouped by rank into this many blocks, each with its own autocorrelation.
    n_regimes : int
        Sets of autocorrelations: one per original sampling interval met in training.
    sharpness : tuple of float
        One attention head each: the exponent of the eigenvalues of the adapted kernel.
    n_landmarks : int
        Positions between which connectivity is embedded.
    width : int
        Width of the embeddings.
    gate_width : int
        Hidden units of the gates of the attention correction.
    rounds : int
        Times that the kernel is adapted to the window.
    adapt_first, adapt_last : float
        Weight of the window against the group for the first and the last component; log-linear in rank.
    noise_exponent : float
        How far the noise of each parcel follows the window, 0 not at all, 1 fully.
    noise_profile : float
        1 counts as noise what the group's components do not explain of a parcel, at the
        model's own sampling interval; 0 gives all parcels the same.
    own_regression, own_exponent : float
        Weight of the window's own regression where all parcels are visible, and how it falls with the
        visible share of the window (:mod:`brainlm_core.model.kernel_window`).
    forecast_noise : float
        Least noise variance when a recording of a longer sampling interval is forecast: near its end
        resampling leaves errors that a trusting kernel would carry on.
    iterations : int
        Steps of the conjugate gradients at most.
    tolerance : float
        Relative residual at which they stop.
    """

    bank_sizes: tuple[int, ...] = (424, 214)
    n_timepoints: int = 200
    patch_length: int = 20
    tr_s: float = 0.72
    n_blocks: int = 12
    n_regimes: int = 4
    sharpness: tuple[float, ...] = (1.0, 0.75, 0.5, 0.35)
    n_landmarks: int = 180
    width: int = 400
    gate_width: int = 32
    rounds: int = 2
    adapt_first: float = 0.2
    adapt_last: float = 0.4
    noise_exponent: float = 0.5
    noise_profile: float = 1.0
    own_regression: float = 0.55
    own_exponent: float = 0.6
    forecast_noise: float = 1.0
    iterations: int = 14
    tolerance: float = 1e-2
    family: str = field(default="kernel")

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            if not 0 < getattr(self, name) <= limit:
                _refuse(f"{name} is {getattr(self, name)}")
        if not self.bank_sizes or not all(0 < n <= 20_000 for n in self.bank_sizes):
            _refuse(f"bank_sizes is {self.bank_sizes}")
        if not self.sharpness or len(self.sharpness) > 64 or not all(0 < s <= 4 for s in self.sharpness):
            _refuse(f"sharpness is {self.sharpness}")
        if not 0 < self.patch_length <= self.n_timepoints:
            _refuse(f"patch_length is {self.patch_length}")
        if self.n_timepoints % self.patch_length:
            _refuse(f"{self.n_timepoints} samples do not divide into patches of {self.patch_length}")
        if not (0 < self.adapt_first <= 1 and 0 < self.adapt_last <= 1 and 0 <= self.noise_exponent <= 1):
            _refuse("adapt_first, adapt_last and noise_exponent must lie between 0 and 1")
        if not (
            0 <= self.noise_profile <= 2 and 0 <= self.own_regression <= 1 and 0 <= self.own_exponent <= 4
        ):
            _refuse("noise_profile, own_regression or own_exponent is out of range")
        if not 0 <= self.forecast_noise <= 100:
            _refuse(f"forecast_noise is {self.forecast_noise}")
        if not (self.tr_s > 0 and 0 < self.tolerance < 1):
            _refuse("tr_s must be positive and tolerance between 0 and 1")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KernelConfig:
        """Read a ``config.json`` dictionary; raise CheckpointError when it cannot be built."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            if item.name not in data:
                continue
            value, kind = data[item.name], type(item.default)
            if kind is tuple and isinstance(value, list | tuple):
                inner = type(item.default[0])  # type: ignore[index]
                value = tuple(
                    inner(v) if _is_number(v) else _refuse(f"{item.name} is {data[item.name]!r}")
                    for v in value
                )
            elif kind is float and _is_number(value):
                value = float(value)
            elif not isinstance(value, kind) or isinstance(value, bool):
                _refuse(f"{item.name} is {value!r}")
            values[item.name] = value
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary for ``config.json``."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(what: str) -> Any:
    raise CheckpointError(
        f"config.json is not usable: {what}", "use the config.json that came with the weights"
    )
