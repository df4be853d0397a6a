"""What an engine is, and what it answers as arrays on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is, for pages and provenance.

    Parameters
    ----------
    model_name : str
        As it was asked for.
    family : str
        Key of :data:`brainlm_core.model.FAMILIES`.
    licence, source : str
        Of the weights.
    revision : str or None
        Pinned revision of a download.
    device : str
        ``cpu``, ``cuda`` or ``mps``.
    precision : {"fp32", "bf16", "fp16"}
    n_parameters : int
        Trainable parameters.
    is_random : bool
        True for a twin that was never trained.
    note : str
        Why it does not run where it was asked to; empty otherwise.
    host : str
        Machine that it runs on; empty for this one.
    sha256 : str or None
        Of the weights, where they are on another machine.
    recipe : InputRecipe
        How the signals were scaled.
    """

    model_name: str
    family: str
    licence: str
    source: str
    revision: str | None
    device: str
    precision: str
    n_parameters: int
    is_random: bool
    note: str = ""
    host: str = ""
    sha256: str | None = None
    recipe: InputRecipe = DEFAULT_RECIPE

    @property
    def where(self) -> str:
        """Device and machine in words, with the reason when it is not the device asked for."""
        place = f"{self.device.upper()} on {self.host}" if self.host else self.device.upper()
        return f"{place} ({self.note})" if self.note else place

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary; without ``note``, ``host`` and ``sha256`` when empty."""
        facts = {k: v for k, v in self.__dict__.items() if k != "recipe"}
        facts["input"] = self.recipe.to_dict()
        return {k: v for k, v in facts.items() if v or k not in ("note", "host", "sha256")}


@dataclass(frozen=True, eq=False)
class Predicted:
    """Masked reconstruction of windows.

    Parameters
    ----------
    predicted : ndarray (W, P, T), float32
        Model output everywhere, in the scaling of the windows.
    hidden : ndarray (W, P, T), bool
        What the model truly did not see: the request, rounded up to whole tokens, and padding.
    """

    predicted: FloatArray
    hidden: BoolArray


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of windows.

    Parameters
    ----------
    cls : ndarray (W, D), float32
        Summary token.
    tokens : ndarray (W, P, D), float32
        Mean over each parcel's tokens.
    """

    cls: FloatArray
    tokens: FloatArray


@dataclass(frozen=True, eq=False)
class Attention:
    """Encoder attention between groups of tokens, mean over windows unless asked otherwise.

    Parameters
    ----------
    maps : ndarray (layers, heads, G, G) or (W, layers, heads, G, G), float32
        Query × key: mean over the query group's tokens of the sum over the key group's tokens.
    cls : ndarray (layers, heads, G) or (W, layers, heads, G), float32
        Attention of the summary token, summed over each group's tokens.
    group : ndarray (P,), int64
        Group of each parcel; ``arange(P)`` when every parcel has its own tokens.
    """

    maps: FloatArray
    cls: FloatArray
    group: NDArray[np.int64]

    @property
    def n_layers(self) -> int:
        """Number of encoder layers."""
        return int(self.maps.shape[-4])

    @property
    def n_heads(self) -> int:
        """Number of heads."""
        return int(self.maps.shape[-3])

    def parcel_map(self, layer: int | None = None, head: int | None = None) -> FloatArray:
        """Return parcel × parcel attention (P, P), query × key.

        ``None`` averages over all layers or heads (and windows). Where parcels share tokens, a
        group's weight is spread evenly over its parcels, so that rows keep their sum.
        """
        return self._to_parcels(self._pick(self.maps, layer, head, 2))

    def cls_map(self, layer: int | None = None, head: int | None = None) -> FloatArray:
        """Return the summary token's attention to each parcel (P,); arguments as above."""
        picked = self._pick(self.cls, layer, head, 1)
        return np.asarray(picked[self.group] / self._size()[self.group], dtype=np.float32)

    def rollout(self) -> FloatArray:
        """Return attention rollout (P, P) over all layers (Abnar and Zuidema 2020).

        Per layer: mean over heads, half identity for the residual path, rows to one; then the
        product of all layers. Computed between groups of tokens, without the summary token.
        """
        per_layer = self._pick(self.maps, None, None, 2, keep_layers=True)  # (layers, G, G)
        result = np.eye(per_layer.shape[-1])
        for layer in per_layer.astype(np.float64):
            total = layer.sum(axis=1, keepdims=True)
            layer = np.divide(layer, total, out=np.zeros_like(layer), where=total > 0)
            result = (0.5 * layer + 0.5 * np.eye(len(layer))) @ result
        return self._to_parcels(result)

    def _pick(
        self, array: FloatArray, layer: int | None, head: int | None, trailing: int, keep_layers: bool = False
    ) -> FloatArray:
        if array.ndim == trailing + 3:
            array = array.mean(axis=0)  # (layers, heads, …)
        if keep_layers:
            return np.asarray(array.mean(axis=1))
        array = array.mean(axis=0) if layer is None else array[self._index(layer, self.n_layers, "layer")]
        return np.asarray(
            array.mean(axis=0) if head is None else array[self._index(head, self.n_heads, "head")]
        )

    @staticmethod
    def _index(value: int, count: int, what: str) -> int:
        if not -count <= value < count:
            raise ConfigError(f"there is no {what} {value}", f"choose 0 to {count - 1}")
        return value

    def _size(self) -> NDArray[np.int64]:
        return np.maximum(np.bincount(self.group, minlength=self.maps.shape[-1]), 1)

    def _to_parcels(self, matrix: NDArray[Any]) -> FloatArray:
        spread = matrix[np.ix_(self.group, self.group)] / self._size()[self.group]
        return np.asarray(spread, dtype=np.float32)
