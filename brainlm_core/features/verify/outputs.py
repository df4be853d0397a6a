"""Find, among what a forward pass computed, the counterpart of each stored array, and compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.model.attention import RowReader
from brainlm_core.model.image_token import NativeImageOutput
from brainlm_core.model.parcel_token import NativeOutput

_MEAN_ROW = "first64:attn_last_layer_mean_over_heads_clsrow"
KINDS = ("latent", "logits", "attention", "loss")


@dataclass
class Comparison:
    """Collects differences over the runs of one case."""

    mask_equal: bool = True
    worst: dict[str, float] = field(default_factory=dict)
    compared: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def errors(self) -> dict[str, float | None]:
        """Return the largest absolute difference of each kind, None where nothing was stored."""
        return {kind: self.worst.get(kind) for kind in KINDS}

    def numbers(self, name: str, kind: str, ours: Any, stored: NDArray[Any]) -> None:
        """Compare values; NaN equals NaN and nothing else."""
        mine = np.asarray(ours, dtype=np.float64)
        theirs = np.asarray(stored, dtype=np.float64)
        if mine.shape != theirs.shape:
            if mine.size != theirs.size:
                self.skipped.append(f"{name} (shape {theirs.shape}, ours {mine.shape})")
                return
            mine = mine.reshape(theirs.shape)
        both_nan = np.isnan(mine) & np.isnan(theirs)
        difference = np.where(both_nan, 0.0, np.abs(mine - theirs))
        error = float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))
        self.worst[kind] = max(self.worst.get(kind, 0.0), error)
        self.compared.append(name)

    def any_layout(self, name: str, kind: str, layouts: Sequence[Any], stored: NDArray[Any]) -> None:
        """Compare with the nearest of several layouts: the order of tokens is not part of the numbers."""
        trials = []
        for ours in layouts:
            trial = Comparison()
            trial.numbers(name, kind, ours, stored)
            trials.append(trial)
        best = min(trials, key=lambda t: t.worst.get(kind, np.inf))
        if kind in best.worst:
            self.worst[kind] = max(self.worst.get(kind, 0.0), best.worst[kind])
        self.compared += best.compared
        self.skipped += best.skipped

    def exact(self, name: str, ours: Any, stored: NDArray[Any]) -> None:
        """Compare masks or indices; a packed mask (8 values a byte) is unpacked first."""
        mine = np.asarray(ours).ravel()
        theirs = np.asarray(stored).ravel()
        if theirs.dtype == np.uint8 and theirs.size == -(-mine.size // 8) and theirs.size != mine.size:
            theirs = np.unpackbits(theirs)[: mine.size]
        self.mask_equal &= mine.size == theirs.size and bool((mine == theirs).all())
        self.compared.append(name)


def wanted_rows(stored: Mapping[str, NDArray[Any]], n_layers: int, *, sorted_rows: bool = False) -> RowReader:
    """Return a reader for just the layers, and as far as possible the rows, that were stored.

    ``sorted_rows`` says that rows are stored in another order than computed, so that more than the
    first is only had from all.
    """
    layers: set[int] = set()
    rows: int | None = 0
    for key in stored:
        if key == "parcel_map" or key.startswith("first64:"):
            layers.add(n_layers - 1)
            rows = None if rows is None else max(rows, 1)
            continue
        match = re.fullmatch(r"attn_(?:layer(\d+)|last)(?:_(clsrow|rowsum|first(\d+)rows))?", key)
        if match is None:
            continue
        layers.add(n_layers - 1 if match[1] is None else int(match[1]))
        needed = 1 if match[2] == "clsrow" else (int(match[3]) if match[3] else None)
        if sorted_rows and needed is not None and needed > 1:
            needed = None
        rows = None if rows is None or needed is None else max(rows, needed)
    return RowReader(rows, layers)


def compare_parcel(
    output: NativeOutput,
    attention: Mapping[int, Tensor],
    stored: Mapping[str, NDArray[Any]],
    run: str,
    comparison: Comparison,
) -> None:
    """Compare a parcel-token run; per-token arrays are in noise order on both sides."""
    latent, logits = output.latent.numpy(), output.logits.numpy()
    shuffle = torch.argsort(output.ids_restore, dim=1)
    n_patches = output.mask.shape[2]
    last = max(attention, default=0)

    def parcel_map() -> NDArray[Any]:
        row = attention[last][:, :, 0, 1:].mean(dim=1)  # (B, kept)
        parcel = shuffle[:, : row.shape[1]] // n_patches
        out = torch.zeros(len(row), output.mask.shape[1]).scatter_add(1, parcel, row)
        return out.numpy()

    exact: dict[str, Callable[[], Any]] = {
        "ids_restore": lambda: output.ids_restore.numpy(),
        "ids_shuffle": lambda: shuffle.numpy(),
        "kept_token_ids": lambda: shuffle[:, : latent.shape[1] - 1].numpy(),
        "mask_flat": lambda: output.mask_flat.numpy(),
        "mask": lambda: output.mask.numpy(),
    }
    numbers: dict[str, tuple[str, Callable[[], Any]]] = {
        "embedding_output": ("latent", lambda: output.hidden_states[0].numpy()),
        "last_hidden_state": ("latent", lambda: latent),
        "cls": ("latent", lambda: latent[:, 0]),
        "logits": ("logits", lambda: logits),
        "loss": ("loss", lambda: output.loss.numpy()),
        "parcel_map": ("attention", parcel_map),
        "first64:last_hidden_state": ("latent", lambda: latent.ravel()[:64]),
        "first64:cls": ("latent", lambda: latent[:, 0].ravel()[:64]),
        "first64:logits": ("logits", lambda: logits.ravel()[:64]),
        _MEAN_ROW: ("attention", lambda: attention[last][:, :, 0].mean(dim=1).numpy().ravel()[:64]),
    }
    for key, value in stored.items():
        label = f"{run}/{key}" if run else key
        if key in exact:
            comparison.exact(label, exact[key](), value)
        elif key in numbers:
            kind, make = numbers[key]
            comparison.numbers(label, kind, make(), value)
        elif key.startswith("first64:cls_to_parcel_map_last_layer"):
            comparison.numbers(label, "attention", parcel_map().ravel()[:64], value)
        elif match := re.fullmatch(r"first64:logits_parcel(\d+)", key):
            comparison.numbers(label, "logits", logits[:, int(match[1])].ravel()[:64], value)
        elif match := re.fullmatch(r"hidden_every(\d+)", key):
            comparison.numbers(label, "latent", latent[:, :: int(match[1])], value)
        elif match := re.fullmatch(r"logits_every(\d+)\w*", key):
            comparison.numbers(label, "logits", logits[:, :: int(match[1])], value)
        elif match := re.fullmatch(r"logits_parcel(\d+)", key):
            comparison.numbers(label, "logits", logits[:, int(match[1])], value)
        elif match := re.fullmatch(r"hidden_after_layer(\d+)", key):
            comparison.numbers(label, "latent", output.hidden_states[int(match[1]) + 1].numpy(), value)
        else:
            _compare_attention(key, label, attention, last, value, comparison, lambda rows: rows)


def compare_image(
    output: NativeImageOutput,
    attention: Mapping[int, Tensor],
    stored: Mapping[str, NDArray[Any]],
    run: str,
    comparison: Comparison,
) -> None:
    """Compare an image-token run; per-token arrays are stored sorted by token id."""
    order = torch.argsort(output.kept, dim=1)  # (B, kept)
    ids = torch.gather(output.kept, 1, order)
    with_cls = torch.cat([torch.zeros_like(order[:, :1]), order + 1], dim=1)  # CLS, then by id
    latent = torch.gather(output.latent, 1, with_cls[:, :, None].expand_as(output.latent)).numpy()
    before_norm = torch.gather(output.hidden_states[-1], 1, with_cls[:, :, None].expand_as(output.latent))
    layouts = [latent, output.latent.numpy(), before_norm.numpy(), output.hidden_states[-1].numpy()]
    logits = output.logits.numpy()
    last = max(attention, default=0)

    def by_id(rows: Tensor) -> Tensor:
        """(B, heads, rows, N) with keys, and queries when all are there, sorted by token id."""
        b, heads, n_rows, n = rows.shape
        index = with_cls[:, None, None].expand(b, heads, n_rows, n)
        rows = torch.gather(rows, 3, index)
        if n_rows == n:
            rows = torch.gather(rows, 2, with_cls[:, None, :, None].expand(b, heads, n, n))
        return rows

    def sampled() -> NDArray[Any]:
        chosen = np.asarray(stored["latent_sampled_token_ids"]).astype(np.int64)
        chosen = np.broadcast_to(chosen, (len(latent), chosen.shape[-1]))
        place = [np.searchsorted(ids[i].numpy(), c) for i, c in enumerate(chosen)]
        return np.stack([latent[i, 1:][p] for i, p in enumerate(place)])

    exact: dict[str, Callable[[], Any]] = {
        "kept_token_ids": lambda: ids.numpy() if stored["kept_token_ids"].ndim > 1 else ids[0].numpy(),
        "token_mask": lambda: output.token_mask.numpy(),
        "mask": lambda: output.mask.numpy(),
        "padded_zeroed_columns": lambda: np.asarray(output.zeroed_columns, dtype=np.int64),
    }
    numbers: dict[str, tuple[str, Callable[[], Any]]] = {
        "cls": ("latent", lambda: latent[:, 0]),
        "logits": ("logits", lambda: logits),
        "loss": ("loss", lambda: output.loss.numpy()),
        "logits_mean_std": ("logits", lambda: np.array([logits.mean(), logits.std(ddof=1)])),
        "first64:cls": ("latent", lambda: latent[:, 0].ravel()[:64]),
        "first64:logits": ("logits", lambda: logits.ravel()[:64]),
    }
    for key, value in stored.items():
        label = f"{run}/{key}" if run else key
        if key == "latent_sampled_token_ids":
            continue
        if key == "ids_restore":  # equal noise values leave the order open in the predicting modes
            if output.ids_restore.numel() == value.size and len(np.unique(value)) == value.shape[-1]:
                comparison.exact(label, _same_kept(output, value), np.ones(len(ids), dtype=bool))
        elif key in exact:
            comparison.exact(label, exact[key](), value)
        elif key == "last_hidden_state":
            comparison.any_layout(label, "latent", layouts, value)
        elif key == "first64:last_hidden_state":
            comparison.any_layout(label, "latent", [x.ravel()[:64] for x in layouts], value)
        elif key == "latent_sampled" and "latent_sampled_token_ids" in stored:
            comparison.numbers(label, "latent", sampled(), value)
        elif key in numbers:
            kind, make = numbers[key]
            comparison.numbers(label, kind, make(), value)
        elif match := re.fullmatch(r"logits_every(\d+)\w*", key):
            comparison.numbers(label, "logits", logits[:, :: int(match[1])], value)
        elif match := re.fullmatch(r"hidden_every(\d+)", key):
            step = int(match[1])
            comparison.any_layout(label, "latent", [x[:, ::step] for x in layouts], value)
        else:
            _compare_attention(key, label, attention, last, value, comparison, by_id, lambda rows: rows)


def _same_kept(output: NativeImageOutput, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Per batch item: whether the same tokens are kept, in the same order."""
    theirs = np.asarray(stored).reshape(output.ids_restore.shape).astype(np.int64)
    return np.asarray((theirs == output.ids_restore.numpy()).all(axis=1))


def _compare_attention(
    key: str,
    label: str,
    attention: Mapping[int, Tensor],
    last: int,
    stored: NDArray[Any],
    comparison: Comparison,
    *arrangements: Callable[[Tensor], Tensor],
) -> None:
    match = re.fullmatch(r"attn_(?:layer(\d+)|last)(?:_(clsrow|rowsum|first(\d+)rows))?", key)
    if match is None:
        comparison.skipped.append(label)
        return
    layer = last if match[1] is None else int(match[1])
    if layer not in attention:
        comparison.skipped.append(label)
        return
    layouts = []
    for arrange in arrangements:
        rows = arrange(attention[layer]).numpy()  # (B, heads, rows, keys)
        if match[2] == "clsrow":
            rows = rows[:, :, 0]
        elif match[2] == "rowsum":
            rows = rows.sum(axis=-1)
        elif match[3]:
            rows = rows[:, :, : int(match[3])]
        layouts.append(rows)
    comparison.any_layout(label, "attention", layouts, stored)
