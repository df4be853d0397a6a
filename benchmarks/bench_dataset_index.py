"""Time to index a dataset of 200 fMRIPrep runs: ``python benchmarks/bench_dataset_index.py``.

The tree has what fMRIPrep 23 writes for 50 people × 2 sessions × 2 runs in three spaces: 12,200 files. CPU
time is printed beside wall time, since the machine may be busy; the time of ``os.walk`` alone is the floor.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from brainlm_core.scans.bids import index_dataset, runs_of

SPACES = ("_space-MNI152NLin2009cAsym_res-2", "_space-MNI152NLin6Asym_res-2", "_space-T1w", "")
ENDINGS = ("desc-preproc_bold.nii.gz", "desc-preproc_bold.json", "desc-brain_mask.nii.gz",
           "desc-brain_mask.json", "boldref.nii.gz", "boldref.json")  # fmt: skip
OTHERS = ("space-fsLR_den-91k_bold.dtseries.nii", "space-fsLR_den-91k_bold.json",
          "hemi-L_space-fsaverage5_bold.func.gii", "hemi-R_space-fsaverage5_bold.func.gii",
          "desc-confounds_timeseries.tsv", "desc-confounds_timeseries.json",
          "from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt")  # fmt: skip


def make(root: Path, n_people: int) -> None:
    for person in range(1, n_people + 1):
        sub = f"sub-{person:03d}"
        (root / sub / "figures").mkdir(parents=True)
        (root / sub / "anat").mkdir()
        for k in range(60):
            (root / sub / "figures" / f"{sub}_desc-{k}_bold.svg").touch()
            (root / sub / "anat" / f"{sub}_desc-{k}_T1w.nii.gz").touch()
        for session in (1, 2):
            func = root / sub / f"ses-{session}" / "func"
            func.mkdir(parents=True)
            for run in (1, 2):
                stem = f"{sub}_ses-{session}_task-rest_run-{run}"
                for name in (*(f"{s}_{e}" for s in SPACES for e in ENDINGS), *(f"_{o}" for o in OTHERS)):
                    (func / f"{stem}{name}").touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make(root, people)
        for repeat in range(3):
            began, cpu = time.perf_counter(), time.process_time()
            n_files = sum(len(files) for _, _, files in os.walk(root))
            floor = time.process_time() - cpu
            began, cpu = time.perf_counter(), time.process_time()
            runs = runs_of(index_dataset(root))
            print(
                f"{repeat + 1}: {len(runs)} runs, {n_files} files: {time.perf_counter() - began:.2f} s "
                f"({time.process_time() - cpu:.2f} s CPU; os.walk alone {floor:.2f} s CPU)"
            )


if __name__ == "__main__":
    main()
