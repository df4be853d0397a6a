"""What a long-lived process loads ahead, so that the first scan need not wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

_SCRIPT = """
import sys
from brainlm_core.base.errors import ScanError
from brainlm_core.scans import read_scan, volumes
volumes.warm_up()
before = set(sys.modules)
try:
    read_scan(sys.argv[1], atlas="a424-approximation")
except ScanError as refused:  # noise is no brain; by then every voxel has been read
    assert "MNI" in str(refused), refused
heavy = {"nibabel", "scipy", "pandas", "zlib_ng", "pooch", "nilearn"}
print(sorted({name for name in set(sys.modules) - before if name in heavy}))
"""


def test_a_first_scan_loads_no_heavy_package_after_warm_up(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 900, (23, 28, 23, 24), dtype=np.int16)
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = [-90, -126, -72]
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((8, 8, 8, 2.0))
    path = tmp_path / "scan.nii.gz"
    nib.save(image, path)
    done = subprocess.run([sys.executable, "-c", _SCRIPT, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
