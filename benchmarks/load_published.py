"""The published shapes from a hub to numbers: time and memory of fetch, load and one forward pass.

``python benchmarks/load_published.py [13m 111m 650m]``. The weights have the real layout and are a function
of their names (the real ones cannot be passed on). Limit: a float32 file has to be in memory once, so the
peak of loading cannot be below the size of the file; it is given as a multiple of that, above what Python,
torch and the imports take. Fetching is over loopback: its limit is one copy of the file and two digests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CHILD = """
import json, os, resource, sys, time
import torch
from brainlm_core.inference import hub
from brainlm_core.inference import weights
from brainlm_core.model.base import MaskedModel
from brainlm_core.model import checkpoints, image_token, parcel_token
import huggingface_hub, httpx2
def peak():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))
name = sys.argv[1]
told = {}
t = time.perf_counter(); folder = hub.fetch(weights.PUBLISHED[name].folder).folder
told["fetch_s"] = time.perf_counter() - t
before = peak()
t = time.perf_counter(); model = checkpoints.load_folder(folder)
told["load_s"] = time.perf_counter() - t
told["load_peak_mb"] = peak() - before
told["parameters"] = model.n_parameters()
size = (folder / "pytorch_model.bin").stat().st_size / 2**20
told["file_mb"] = size
told["load_peak_over_file"] = told["load_peak_mb"] / size
if os.environ.get("FORWARD"):
    from brainlm_core.base.atlas import a424
    x = torch.randn(1, 424, 200, generator=torch.Generator().manual_seed(0))
    hidden = torch.zeros(x.shape, dtype=torch.bool); hidden[:, ::4] = True
    with torch.no_grad():
        xyz = torch.from_numpy(a424().xyz.copy())
        t = time.perf_counter(); y = model.reconstruct(x, xyz, hidden).predicted
        told["forward_s"] = time.perf_counter() - t
    told["finite"] = bool(torch.isfinite(y).all())
    from brainlm_core.model import build
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    with torch.device("meta"):
        other = build(weights.PUBLISHED[name].config.to_dict())
    other = checkpoints.load_state(other, state, "direct")
    with torch.no_grad():
        z = other.reconstruct(x, torch.from_numpy(a424().xyz.copy()), hidden).predicted
    told["equal_to_direct"] = bool(torch.equal(y, z))
print(json.dumps(told))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["13m", "111m", "650m"])
    from brainlm_core.inference import weights
    from tests.engine.hub_stand_in import _etag as digest_of
    from tests.engine.hub_stand_in import serve
    from tests.engine.published_layout import write_published

    for name in parser.parse_args().models:
        published = weights.PUBLISHED[name]
        with tempfile.TemporaryDirectory() as scratch:
            write_published(Path(scratch) / "remote", published.folder, published.config)
            for path in (Path(scratch) / "remote").rglob("*.*"):
                digest_of(path)
            with serve(Path(scratch) / "remote") as remote:
                environment = {
                    **os.environ,
                    "BRAINLM_CACHE": f"{scratch}/cache",
                    "HF_HOME": f"{scratch}/hf",
                    "HF_ENDPOINT": remote.url,
                    "PYTHONPATH": str(ROOT),
                    "FORWARD": "1",
                }
                done = subprocess.run(
                    [sys.executable, "-c", CHILD, name],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
        if done.returncode:
            sys.exit(done.stderr)
        told = json.loads(done.stdout)
        print(
            name,
            json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in told.items()}),
            flush=True,
        )


if __name__ == "__main__":
    main()
