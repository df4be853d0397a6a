"""What one model costs on this machine: seconds and memory for one window, in a process of its own.

A process of its own, because the peak of a server that serves others meanwhile says nothing about
the model. ``python -m brainlm_core.bench.footprint MODEL DEVICE PRECISION`` prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brainlm_core.base.errors import EngineError

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

#: Calls of which the median is taken, after one that warms up.
ROUNDS = 3
#: Longest wait for the whole measurement, in s.
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Footprint:
    """Cost of one window of 200 samples on one device.

    Parameters
    ----------
    device, precision : str
    n_parcels : int
        Of the window.
    load_s : float
        From the name to a model that answers, in s.
    encode_s, attention_s, reconstruct_s : float
        Median time of an embedding, of the attention maps, and of a masked reconstruction, in s.
    weights_mb : float
        Parameters and tables in memory, in MB.
    peak_mb : float or None
        Largest growth of memory while the three ran, in MB; None where the system does not tell.
    """

    device: str
    precision: str
    n_parcels: int
    load_s: float
    encode_s: float
    attention_s: float
    reconstruct_s: float
    weights_mb: float
    peak_mb: float | None


def measure_apart(
    model: str, device: str = "auto", precision: str = "auto", cancelled: Callable[[], bool] | None = None
) -> Footprint:
    """Measure a model in a process of its own.

    Parameters
    ----------
    model : str
        As :func:`brainlm_core.inference.weights.load` takes it; published weights must have been accepted.
    device, precision : str
        As :meth:`brainlm_core.inference.engine.Engine.load`.
    cancelled : callable or None
        Asked now and then; True ends the process.

    Raises
    ------
    EngineError
        If it did not end well; the message is the process's own sentence.
    """
    command = [sys.executable, "-m", "brainlm_core.bench.footprint", model, device, precision]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                out, err = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                if (cancelled is not None and cancelled()) or time.monotonic() > deadline:
                    process.kill()
    if process.returncode != 0:
        said = err.strip().splitlines()[-1] if err.strip() else "the process was ended"
        raise EngineError(f"the model could not be measured ({said})", "try again, or choose another model")
    return Footprint(**json.loads(out))


def measure_where(
    engine: Engine,
    model: str,
    device: str,
    precision: str,
    *,
    progress: Callable[[float, str], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Footprint:
    """Measure on the machine where an engine's model is; to be called through ``engine.call``."""
    return measure_apart(model, device, precision, cancel)


def measure(model: str, device: str, precision: str) -> Footprint:
    """Measure a model in this very process; see :func:`measure_apart`."""
    import numpy as np
    import torch

    from brainlm_core.bench._model_memory import memory_mb
    from brainlm_core.inference.engine import Engine
    from brainlm_core.scans.demo import demo_recordings

    recording = demo_recordings()[0]
    started = time.perf_counter()
    engine = Engine.load(model, device=device, precision=precision)
    load_s = time.perf_counter() - started
    windows = engine.windows(recording).pick(slice(0, 1))
    hidden = np.zeros(windows.values.shape, dtype=bool)
    hidden[:, ::4] = True
    on_gpu = engine.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() / 1e6 if on_gpu else memory_mb("VmRSS")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: engine.embed(windows),
        lambda: engine.attention(windows),
        lambda: engine.reconstruct(windows, hidden),
    )
    encode_s, attention_s, reconstruct_s = (_median_s(call) for call in calls)
    after = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else memory_mb("VmHWM")
    tensors = [*engine.model.parameters(), *engine.model.buffers()]
    return Footprint(
        engine.info.device,
        engine.info.precision,
        windows.n_parcels,
        load_s,
        encode_s,
        attention_s,
        reconstruct_s,
        sum(t.numel() * t.element_size() for t in tensors) / 1e6,
        max(after - before, 0.0) if on_gpu or sys.platform == "linux" else None,
    )


def _median_s(call: Callable[[], Any]) -> float:
    call()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main(argv: list[str]) -> int:
    """Print the footprint as JSON, or one sentence on stderr."""
    from brainlm_core.base.errors import BrainLMError

    try:
        found = measure(*argv)
    except BrainLMError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(found.__dict__) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
