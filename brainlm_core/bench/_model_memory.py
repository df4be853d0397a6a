"""``python -m brainlm_core.bench._model_memory WHAT PARCELS``: print a candidate's peak in MB."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any


def memory_mb(entry: str) -> float:
    """Resident memory in MB: ``VmRSS`` now, ``VmHWM`` at its peak.

    Linux only gives the peak of this very program there; ``ru_maxrss`` inherits the parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text(encoding="utf-8").splitlines() if x.startswith(entry))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def main(what: str, parcels: int) -> None:
    """Run one candidate once and print the growth of the peak since the imports."""
    import torch

    from brainlm_core.bench import model as bench
    from brainlm_core.bench._peers import ParcelPeer

    small: Any = bench._parcel_setup(1)[0]  # imports and allocates what every side needs once
    ParcelPeer(small)
    torch.randn(512, 512) @ torch.randn(512, 512)
    del small
    before = memory_mb("VmRSS")
    model, signal, xyz = bench._parcel_setup(parcels)
    with torch.inference_mode():
        if what.startswith("peer"):
            kept = ParcelPeer(model)(signal, xyz, attentions=what == "peer_attention")
        elif what == "encode":
            kept = model.encode(signal, xyz[0])
        elif what == "maps":
            kept = model.attention(signal, xyz[0])
        elif what == "ours_attention":
            kept = bench._with_maps(model, signal, xyz)
        else:
            kept = model.reconstruct(signal, xyz[0], torch.zeros(signal.shape, dtype=torch.bool))
    peak = memory_mb("VmHWM") - before
    del kept
    sys.stdout.write(f"{peak:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
