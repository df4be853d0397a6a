"""``python -m brainlm_core.bench._model_memory WHAT PARCELS``: print a candidate's peak in MB."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any


def _now_mb() -> float:
    """Resident memory now, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text(encoding="utf-8").splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    return _peak_mb()


def _peak_mb() -> float:
    """Largest resident memory so far, in MB (the unit of ``ru_maxrss`` differs on macOS)."""
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
    before = _now_mb()
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
    peak = _peak_mb() - before
    del kept
    sys.stdout.write(f"{peak:.1f}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
