"""A model on its device, fed in batches that fit: one after the other, in turn with everybody else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.base import parallel as side_by_side
from brainlm_core.base.errors import EngineError
from brainlm_core.base.fair_lock import Cancelled, Turns
from brainlm_core.inference.devices import choose_precision, is_out_of_memory
from brainlm_core.inference.results import EngineInfo
from brainlm_core.inference.windows import Windows, hidden_mask
from brainlm_core.model.base import MaskedModel

BoolArray = NDArray[np.bool_]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Tokens × windows per batch on each kind of device.
BATCH_TOKENS = {"cuda": 200_000, "mps": 40_000, "cpu": 10_000}
#: Who may use the device; all engines of this process share it.
TURNS = Turns()


class Batches:
    """What an engine does batch by batch.

    Parameters
    ----------
    model : MaskedModel
        On the CPU.
    info : EngineInfo
        As far as it is known without a device that fails.
    device : torch.device
        Where the model is moved; onto the CPU when it does not fit there.
    """

    def __init__(self, model: MaskedModel, info: EngineInfo, device: torch.device) -> None:
        self.model, self.info, self.device = model, info, device
        self._batch: int | None = None
        try:
            model.to(device)
        except RuntimeError as error:
            if device.type == "cpu" or not is_out_of_memory(error):
                raise
            self._leave_device()

    def _leave_device(self) -> None:
        """Go on on the CPU."""
        lost = self.device.type.upper()
        self.model.to("cpu")
        self.device = torch.device("cpu")
        self._batch = None
        wanted = "fp32" if self.info.precision == "fp32" else "auto"
        precision = choose_precision(wanted, self.device, self.model)
        note = f"the {lost} device has too little memory"
        self.info = replace(self.info, device="cpu", precision=precision, note=note)

    def _run(
        self,
        windows: Windows,
        hidden: BoolArray | None,
        one: Callable[[slice, Tensor, Tensor, Tensor | None], None],
        label: str,
        progress: Progress | None,
        cancel: Cancel | None,
        times: int = 1,
        apart: bool = False,
    ) -> None:
        """Call ``one`` batch by batch; a batch that does not fit into memory is halved.

        With ``apart``, batches need no order and may run beside each other.
        """
        mask = hidden_mask(windows, hidden, self.model.spec.patch_length)
        total, start = windows.n_windows, 0
        size = times * self._batch_size(windows)
        apart = apart and self.model.small_steps and self.device.type == "cpu"
        lanes = side_by_side.at_once() if apart else 1
        if lanes > 1:
            size = min(size, -(-total // lanes))
        while start < total:
            if cancel is not None and cancel():
                raise Cancelled
            if progress is not None:
                progress(start / total, f"{label}: window {start + 1} of {total}")
            stop = min(start + lanes * size, total)
            parts = [slice(at, min(at + size, stop)) for at in range(start, stop, size)]

            def queued(ahead: int, at: int = start) -> None:
                if progress is not None:
                    progress(at / total, f"Waiting for the model, {ahead} before you")

            with TURNS.take(queued, cancel):
                done = self._fits(parts, windows, mask, one)
                if not done and stop - start == 1 and self.device.type != "cpu":
                    self._leave_device()
                    size = times * self._batch_size(windows)
                    if progress is not None:
                        progress(start / total, f"Going on on the CPU, slower: {self.info.note}")
                    continue
            if done:
                start = stop
                continue
            if lanes > 1:
                lanes = 1
                continue
            size = (parts[0].stop - parts[0].start) // 2
            if size == 0:
                what = (
                    f"one window of {windows.n_parcels} parcels does not fit into {self.device.type} memory"
                )
                raise EngineError(what, "choose a smaller model or another device")
            self._batch = size
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        if progress is not None:
            progress(1.0, f"{label}: done")

    def _fits(
        self,
        parts: list[slice],
        windows: Windows,
        mask: BoolArray | None,
        one: Callable[[slice, Tensor, Tensor, Tensor | None], None],
    ) -> bool:
        """Run batches beside each other, holding the turn; False when memory ran out."""

        def run(part: slice) -> None:
            with torch.inference_mode(), self._precision():  # both hold for the calling thread only
                signal = self._put(windows.values[part])
                hide = None if mask is None else self._put(mask[part])
                one(part, signal, self._put(windows.xyz), hide)

        try:
            if len(parts) == 1:
                run(parts[0])
            else:
                side_by_side.run([partial(run, part) for part in parts])
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                return False
            raise
        return True

    def _context(self, windows: Windows, part: slice, whole: bool = False) -> dict[str, Any]:
        """Return the keyword for what the windows of a batch may read; nothing for most models.

        A rest of a recording is diagonalised once, however many questions are asked of its window. With
        ``whole`` nothing is hidden in the windows, and all of the recording may be read, themselves included.
        """
        if windows.context is None or not self.model.reads_recording:
            return {}
        from brainlm_core.model.context.statistics import ContextStatistics

        picked = windows.context.pick(part)
        lengths, parts = picked.n_outside(), []
        whole = whole and bool(lengths.any())
        for row, number in enumerate(picked.numbers[:1] if whole else picked.numbers):
            key = ("whole" if whole else int(number), str(self.device))
            known = picked.memo.get(key)
            if known is None:
                found = picked.whole() if whole else picked.outside(row)
                moments = torch.from_numpy(found)[None].to(self.device)
                n = torch.tensor([float(picked.n_samples if whole else lengths[row])], device=self.device)
                known = ContextStatistics.of_moments(moments, n)
                picked.memo.put(key, known)
            parts.append(known)
        rows = np.zeros_like(picked.rows) if whole else picked.rows
        return {"context": ContextStatistics.joined(parts, torch.from_numpy(rows).to(self.device))}

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array.copy()).to(self.device)

    def _batch_size(self, windows: Windows) -> int:
        if self._batch is not None:
            return self._batch
        patches = -(-windows.n_timepoints // self.model.spec.patch_length)
        tokens = max(1, windows.n_parcels * patches // self.model.spec.parcels_per_token)
        return max(1, BATCH_TOKENS.get(self.device.type, 10_000) // tokens)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.info.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.info.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)
