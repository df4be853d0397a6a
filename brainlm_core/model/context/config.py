"""Configuration of the context family: the process it starts from, and the layers of unrolled inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from brainlm_core.base.errors import CheckpointError
from brainlm_core.model.kernel_config import KernelConfig

_LIMITS = {"n_layers": 512, "n_person_heads": 16, "filter_reach": 512, "n_knots": 256}


@dataclass(frozen=True)
class ContextConfig:
    """Shape and fixed settings of a :class:`brainlm_core.model.context.model.ContextModel`.

    Parameters
    ----------
    process : KernelConfig
        The Gaussian process whose group statistics, forecasts and embedding axes the network takes over.
    n_layers : int
        Steps of unrolled inference.
    n_person_heads : int
        Attention heads a layer that read the recording.
    filter_widths : tuple of float
        Standard deviations in samples of the temporal filters beside the identity.
    filter_reach : int
        Samples to each side that a temporal filter sees.
    n_knots : int
        Ranks between which gains per component are interpolated (linear in the logarithm of the rank).
    ridge : float
        Penalty of the group head before training, in units of the mean variance.
    inference_of_regime : tuple of int
        Which set of trained gains serves each temporal regime of the process; -1 leaves it to the process.
    process_folder : str
        Name of a folder beside the weights' own that holds the process, where they do not hold it themselves.
    """

    process: KernelConfig = field(default_factory=KernelConfig)
    n_layers: int = 4
    n_person_heads: int = 2
    filter_widths: tuple[float, ...] = (1.0, 3.0, 8.0)
    filter_reach: int = 20
    n_knots: int = 32
    ridge: float = 0.15
    inference_of_regime: tuple[int, ...] = (0, -1, -1, -1)
    process_folder: str = ""
    family: str = field(default="context")

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            if not 0 < getattr(self, name) <= limit:
                _refuse(f"{name} is {getattr(self, name)}")
        if len(self.filter_widths) > 16 or not all(0 < w <= 100 for w in self.filter_widths):
            _refuse(f"filter_widths is {self.filter_widths}")
        if not 0 < self.ridge <= 10:
            _refuse(f"ridge is {self.ridge}")
        known = self.inference_of_regime
        if len(known) != self.process.n_regimes or not all(-1 <= i < len(known) for i in known):
            _refuse(f"inference_of_regime is {known} for {self.process.n_regimes} temporal regimes")

    @property
    def n_inferences(self) -> int:
        """Sets of trained gains."""
        return max(self.inference_of_regime, default=-1) + 1

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextConfig:
        """Read a ``config.json`` dictionary; raise CheckpointError when it cannot be built."""
        values: dict[str, Any] = {}
        for item in fields(cls):
            if item.name not in data:
                continue
            values[item.name] = _READERS.get(item.name, _plain)(item.name, data[item.name])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary for ``config.json``."""
        own = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {**own, "process": self.process.to_dict()}


def _plain(name: str, value: Any) -> Any:
    kind = type(getattr(ContextConfig, name))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return (
        value if isinstance(value, kind) and not isinstance(value, bool) else _refuse(f"{name} is {value!r}")
    )


def _numbers(name: str, value: Any) -> tuple[Any, ...]:
    kind = int if name == "inference_of_regime" else float
    if not isinstance(value, list | tuple) or any(
        isinstance(v, bool) or not isinstance(v, int | float) or (kind is int and not isinstance(v, int))
        for v in value
    ):
        _refuse(f"{name} is {value!r}")
    return tuple(kind(v) for v in value)


def _process(name: str, value: Any) -> KernelConfig:
    if not isinstance(value, Mapping):
        _refuse(f"{name} is {value!r}")
    return KernelConfig.from_dict(value)


_READERS = {"process": _process, "filter_widths": _numbers, "inference_of_regime": _numbers}


def _refuse(what: str) -> Any:
    raise CheckpointError(
        f"config.json is not usable: {what}", "use the config.json that came with the weights"
    )
