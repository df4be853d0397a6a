"""One pass of a model over a recording, and every map that can be read from it without another.

Layers, heads and reductions are choices among numbers that are there already; the connectivity of the
very same samples is kept beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import YEO7, Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.progress import Cancel, Progress
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.base.recording_context import check_share
from brainlm_core.features.networks.scores import (
    Array,
    ScoreSetting,
    labelled_parcels,
)
from brainlm_core.features.shared.connectivity import functional_connectivity

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Attention, Engine, EngineInfo
    from brainlm_core.inference.windows import Windows

Reduction = Literal["average", "rollout", "layer/head"]
REDUCTIONS: tuple[Reduction, ...] = ("average", "rollout", "layer/head")
#: Cells along one side of a layer × head thumbnail.
THUMBNAIL_CELLS = 53


@dataclass(frozen=True)
class NetworksOptions:
    """What to look at.

    Parameters
    ----------
    reduction : {"average", "rollout", "layer/head"}
        Mean over layers and heads; attention rollout through all layers (Abnar & Zuidema 2020);
        or one layer and/or head.
    layer, head : int or None
        Counted from 0, for ``"layer/head"``; None averages over all of them.
    n_networks : int
        k of the clustering.
    windows : {"first", "all"} or tuple of int
        Windows whose maps are averaged.
    seed : int
        Of folds, clustering and intervals.
    steadied : float
        Share of the group that the scan's map is steadied with, 0 (this scan alone) to 1; above 0 only for
        models that read the recording.

    Raises
    ------
    ConfigError
        If settings contradict each other.
    """

    reduction: Reduction = "average"
    layer: int | None = None
    head: int | None = None
    n_networks: int = 7
    windows: Literal["first", "all"] | tuple[int, ...] = "first"
    seed: int = 0
    steadied: float = 0.0

    def __post_init__(self) -> None:
        check_share(self.steadied)
        if self.reduction not in REDUCTIONS:
            raise ConfigError(
                f"there is no reduction named {self.reduction!r}", f"choose {', '.join(REDUCTIONS)}"
            )
        one = self.layer is not None or self.head is not None
        if self.reduction == "layer/head" and not one:
            raise ConfigError("no layer or head was named", "name a layer, a head or both")
        if self.reduction != "layer/head" and one:
            raise ConfigError(
                f"the reduction {self.reduction!r} uses all layers and heads",
                "leave layer and head out, or choose the reduction layer/head",
            )

    def in_words(self) -> str:
        """Return the choice as a phrase; layers and heads counted from 1, as on the page."""
        steadied = f", steadied by the group (share {self.steadied:g})" if self.steadied else ""
        if self.reduction == "average":
            return f"average over all layers and heads{steadied}"
        if self.reduction == "rollout":
            return f"rollout through all layers{steadied}"
        layer = "all layers" if self.layer is None else f"layer {self.layer + 1}"
        return f"{layer}, {'all heads' if self.head is None else f'head {self.head + 1}'}{steadied}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        windows = self.windows if isinstance(self.windows, str) else list(self.windows)
        return {
            "reduction": self.reduction,
            "layer": self.layer,
            "head": self.head,
            "n_networks": self.n_networks,
            "windows": windows,
            "seed": self.seed,
            "steadied": self.steadied,
        }


@dataclass(frozen=True)
class Block:
    """A run of parcels of one group in network order: rows ``start`` to ``stop`` (exclusive)."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class AttentionView:
    """One pass of a model over window(s) of a recording, and what it is to be compared with.

    Parameters
    ----------
    attention : Attention
        Maps of all layers and heads, averaged over the windows.
    connectivity : ndarray (n_parcels, n_parcels), float64
        Pearson correlation over the same samples, averaged over the windows.
    windows : Windows
        The windows that were used.
    usable : ndarray (n_parcels,), bool
        False for parcels that do not vary in them.
    parcellation : Parcellation
    order : ndarray (n_parcels,), int
        Parcels sorted by network, then structure, then hemisphere.
    blocks : tuple of Block
        Groups along that order.
    model : EngineInfo
    notices : tuple of str
    provenance : Provenance
    """

    attention: Attention
    connectivity: Array
    windows: Windows
    usable: NDArray[np.bool_]
    parcellation: Parcellation
    order: NDArray[np.intp]
    blocks: tuple[Block, ...]
    model: EngineInfo
    notices: tuple[str, ...]
    provenance: Provenance

    @property
    def group(self) -> NDArray[np.int64]:
        """Token row of each parcel, (n_parcels,)."""
        return np.asarray(self.attention.group)

    def setting(self, options: NetworksOptions) -> ScoreSetting:
        """Return what every method is scored on."""
        labelled = labelled_parcels(self.parcellation, self.usable)
        return ScoreSetting(labelled, self.usable, options.n_networks, options.seed)


def attention_of(
    engine: Engine,
    recording: Recording,
    options: NetworksOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> AttentionView:
    """Run the model over the chosen window(s) once; layers, heads and reductions need no new pass.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    options : NetworksOptions, optional
        Only ``windows`` and ``steadied`` matter here.
    progress, cancel : callable, optional

    Raises
    ------
    ConfigError
        If a window does not exist.
    EngineError
        If the recording does not fit the model.
    """
    options = options or NetworksOptions()
    windows = pick_windows(engine.windows(recording), options)
    attention = engine.attention(
        windows, average=True, steadied=options.steadied, progress=progress, cancel=cancel
    )
    connectivity = np.mean(
        [
            functional_connectivity(values[:, seen])
            for values, seen in zip(windows.values, windows.observed, strict=True)
        ],
        axis=0,
    )
    usable = ~windows.flat & (np.abs(connectivity).sum(axis=1) > 0)
    order, blocks = network_order(recording.parcellation)
    return AttentionView(
        attention=attention,
        connectivity=connectivity,
        windows=windows,
        usable=usable,
        parcellation=recording.parcellation,
        order=order,
        blocks=blocks,
        model=engine.info,
        notices=(*windows.notices, *_notices(windows, usable, attention, recording)),
        provenance=recording.provenance,
    )


def chosen_map(view: AttentionView, options: NetworksOptions) -> NDArray[np.float32]:
    """Return the parcel × parcel attention of the chosen reduction, query × key."""
    if options.reduction == "rollout":
        return np.asarray(view.attention.rollout(), dtype=np.float32)
    _check_layer_head(view, options)
    return np.asarray(view.attention.parcel_map(options.layer, options.head), dtype=np.float32)


def chosen_cls(view: AttentionView, options: NetworksOptions) -> NDArray[np.float32]:
    """Return the summary token's attention to each parcel (rollout shows the average), (n_parcels,)."""
    _check_layer_head(view, options)
    return np.asarray(view.attention.cls_map(options.layer, options.head), dtype=np.float32)


def thumbnails(view: AttentionView, cells: int = THUMBNAIL_CELLS) -> NDArray[np.float32]:
    """Return every layer and head as a small picture in network order, (layers, heads, m, m)."""
    maps = np.asarray(view.attention.maps, dtype=np.float32)
    group = view.group[view.order]
    n = len(group)
    m = min(cells, n)
    cell = np.arange(n) * m // n
    pool = np.zeros((m, maps.shape[-1]), dtype=np.float32)  # mean over the parcels of a cell
    np.add.at(pool, (cell, group), 1.0)
    pool /= np.bincount(cell, minlength=m).astype(np.float32)[:, None]
    return np.asarray(pool @ maps @ pool.T, dtype=np.float32)


def network_order(parcellation: Parcellation) -> tuple[NDArray[np.intp], tuple[Block, ...]]:
    """Sort parcels by Yeo-7 network, then subcortex, cerebellum and the rest; left before right.

    Returns
    -------
    order : ndarray (n_parcels,), int
    blocks : tuple of Block
    """
    places = (*YEO7, "cortex", "subcortex", "cerebellum", "unknown")
    rank = {name: i for i, name in enumerate(places)}
    group = np.array([rank[name] for name in parcellation.group])
    side = np.array([{"L": 0, "R": 1}.get(h, 2) for h in parcellation.hemisphere])
    order = np.lexsort((np.arange(parcellation.n_parcels), side, group))
    sizes = np.bincount(group, minlength=len(places))
    stops = np.cumsum(sizes)
    names = {
        "cortex": "Other cortex",
        "subcortex": "Subcortex",
        "cerebellum": "Cerebellum",
        "unknown": "Unknown",
    }
    blocks = tuple(
        Block(names.get(name, name), int(stop - size), int(stop))
        for name, size, stop in zip(places, sizes, stops, strict=True)
        if size
    )
    return order, blocks


def pick_windows(windows: Windows, options: NetworksOptions) -> Windows:
    """Return the windows that the options name.

    Raises
    ------
    ConfigError
        If one of them does not exist.
    """
    if options.windows == "all":
        return windows
    index = (0,) if options.windows == "first" else options.windows
    if not index or not all(0 <= i < windows.n_windows for i in index):
        asked = ", ".join(str(i + 1) for i in index) or "at all"
        raise ConfigError(f"the recording has no window {asked}", f"choose 1 to {windows.n_windows}")
    return windows.pick(np.array(index))


def _check_layer_head(view: AttentionView, options: NetworksOptions) -> None:
    for what, chosen, size in zip(
        ("layer", "head"), (options.layer, options.head), view.attention.maps.shape[:2], strict=True
    ):
        if chosen is not None and not 0 <= chosen < size:
            raise ConfigError(f"{view.model.model_name} has no {what} {chosen + 1}", f"choose 1 to {size}")


def _notices(
    windows: Windows, usable: NDArray[np.bool_], attention: Attention, recording: Recording
) -> tuple[str, ...]:
    out: list[str] = []
    sizes = np.bincount(np.asarray(attention.group))
    if sizes.max() > 1:
        out.append(
            f"A token of this model mixes up to {sizes.max()} parcels of similar front-to-back position: "
            "parcels of one token share one attention row, and finer detail cannot be read from it."
        )
    if not usable.all():
        out.append(
            f"{int((~usable).sum())} parcels that do not vary are drawn grey and left out of every score."
        )
    if not recording.parcellation.name.startswith("A424"):
        out.append(
            "Networks of this parcellation are those of the nearest A424 parcel within 15 mm, "
            "not a measured assignment."
        )
    reason = labelled_parcels(recording.parcellation, usable).reason
    if reason:
        out.append(f"No scores: {reason}.")
    if not windows.observed.all():
        out.append("The connectivity uses the measured samples only, not the padding.")
    return tuple(out)
