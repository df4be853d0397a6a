"""What the other windows of a recording are worth: masked reconstruction R² without and with them.

    python tools/other_windows.py COHORT.npz --rows 13 14 15 --model runs/default-validation/model

Windows do not overlap, masks are drawn as ``brainlm evaluate`` draws them. "with the recording" sees all
moments outside the window as well (:mod:`brainlm_core.model.kernel_recording`): an easier question, and no
figure of the one-window model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from brainlm_core.cohort.packs import open_cohort  # noqa: E402
from brainlm_core.features.evaluate.analysis import ErrorSums, error_sums  # noqa: E402
from brainlm_core.features.shared.masked_baselines import MASKS, draw_mask  # noqa: E402
from brainlm_core.model.checkpoints import load_folder  # noqa: E402
from brainlm_core.model.kernel_model import KernelModel  # noqa: E402
from brainlm_core.model.kernel_recording import reconstruct_in_recording  # noqa: E402
from brainlm_core.training.samples import load_series  # noqa: E402

#: Masks for which the other windows are of use; a forecast is better from the group's kernel.
KINDS = [kind for kind in MASKS if kind.startswith("random")]


def main() -> None:
    """Print one line per mask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cohort", help="a pack, as for brainlm evaluate")
    parser.add_argument(
        "--rows", type=int, nargs="+", required=True, help="recordings unknown to the model, from 1"
    )
    parser.add_argument("--model", required=True, help="folder with weights of the kernel family")
    parser.add_argument("--windows", type=int, default=3, help="masked windows per recording (3)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_folder(args.model)
    if not isinstance(model, KernelModel):
        raise SystemExit("these weights are not of the kernel family: name others with --model")
    cohort = open_cohort(args.cohort)
    length = model.spec.n_timepoints
    scores = {(kind, way): ErrorSums() for kind in KINDS for way in ("one window", "with the recording")}
    for number, row in enumerate(args.rows):
        (series,) = load_series(cohort, np.array([row - 1]), model.spec)
        whole = torch.from_numpy(series.values)
        n = whole.shape[1] // length
        picked = np.unique(np.linspace(0, n - 1, args.windows).round().astype(int))
        for kind in KINDS:
            rng = np.random.default_rng([0, number, MASKS.index(kind)])
            masks = draw_mask(kind, (len(picked), len(whole), length), model.spec.patch_length, rng)
            for index, mask in zip(picked, masks, strict=True):
                first = int(index) * length
                window, hidden = whole[:, first : first + length], torch.from_numpy(mask)
                rest = torch.cat([whole[:, :first], whole[:, first + length :]], dim=1)
                with torch.no_grad():
                    alone = model.reconstruct(window[None], series.xyz, hidden[None]).predicted[0]
                moments = rest @ rest.T / rest.shape[1]
                helped = reconstruct_in_recording(model, window, series.xyz, hidden, moments)
                for way, answer in (("one window", alone), ("with the recording", helped)):
                    sums = error_sums(window[hidden].numpy(), answer[hidden].numpy())
                    scores[kind, way].add(str(cohort.subjects[row - 1]), sums)
    for (kind, way), sums in scores.items():
        value, interval = sums.r2(0)
        told = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
        print(f"{kind:9} {way:18} {float(value):.4f}{told}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
