"""Head motion: the six realignment parameters of any program in one convention, and framewise displacement.

Conventions, from the manuals of the four programs:

- SPM ``rp_*.txt``: translations in mm, then rotations in rad;
- FSL MCFLIRT ``.par``: rotations in rad, then translations;
- AFNI 3dvolreg ``.1D``: roll, pitch, yaw in degrees, then translations; the nine columns of ``-dfile`` have
  a counter before and two residuals behind;
- HCP ``Movement_Regressors*.txt``: translations, then rotations in degrees, then their derivatives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Radius of the sphere on which rotations become mm (Power et al. 2012).
HEAD_RADIUS_MM = 50.0
AXES = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
FD = "framewise_displacement"
#: In radians a head's rotations are about 1/50 of its translations in mm, in degrees about equal to them.
_RADIAN_RATIO = 8.0
#: Other programs' and earlier versions' names of columns, folded, by the name of today.
_ALIASES = {
    "trans_x": ("x", "transx", "dx", "tx", "motiontx"),
    "trans_y": ("y", "transy", "dy", "ty", "motionty"),
    "trans_z": ("z", "transz", "dz", "tz", "motiontz"),
    "rot_x": ("rotx", "rx", "motionrx", "pitch"),
    "rot_y": ("roty", "ry", "motionry", "roll"),
    "rot_z": ("rotz", "rz", "motionrz", "yaw"),
    FD: ("framewisedisplacement", "fd", "fdpower", "fdjenkinson", "powerfd", "fdmm"),
    "csf": ("csf", "csfsignal"),
    "white_matter": ("whitematter", "wm", "wmsignal"),
    "global_signal": ("globalsignal", "gsr", "gs", "wholebrain"),
}
_KINDS = (
    ("spm", re.compile(r"^rp_|_rp_|^rp\b", re.IGNORECASE)),
    ("hcp", re.compile(r"movement_regressors", re.IGNORECASE)),
    ("fsl", re.compile(r"\.par$|mcf", re.IGNORECASE)),
    ("afni", re.compile(r"\.1d$|^dfile", re.IGNORECASE)),
    ("fmriprep", re.compile(r"desc-(confounds|motion)", re.IGNORECASE)),
)


@dataclass(frozen=True)
class MotionColumns:
    """A table with its motion in one convention: mm and rad, named as in fMRIPrep.

    Parameters
    ----------
    frame : DataFrame
        One row per volume.
    notices : tuple of str
        What was recognised.
    """

    frame: pd.DataFrame
    notices: tuple[str, ...] = ()


def motion_kind(file_name: str) -> str:
    """Return whose motion file a name belongs to: spm, hcp, fsl, afni, fmriprep, or nothing."""
    return next((kind for kind, pattern in _KINDS if pattern.search(file_name)), "")


def name_motion(values: NDArray[np.float64], file_name: str) -> MotionColumns | None:
    """Name the columns of a table without header, (n_volumes, n_columns); None when they are no motion.

    Order and unit follow from the file's name, else from the size of the columns: only rotations in
    radians are so much smaller than translations that the size tells which is which.
    """
    if values.shape[1] == 9:  # AFNI -dfile: counter, six parameters, two residuals
        values = values[:, 1:7]
    if values.shape[1] not in (6, 12, 24) or not np.isfinite(values[:, :6]).all():
        return None
    first, second = _pace(values[:, :3]), _pace(values[:, 3:6])
    kind = motion_kind(file_name)
    rotations_first = kind in ("fsl", "afni")
    degrees = kind == "hcp" or (kind == "afni" and not first * _RADIAN_RATIO * 2.5 < second)
    if kind in ("", "fmriprep"):
        if not (first > _RADIAN_RATIO * second or second > _RADIAN_RATIO * first):
            return None
        rotations_first, degrees = second > first, False
    six = values[:, [3, 4, 5, 0, 1, 2]] if rotations_first else values[:, :6].copy()
    if degrees:
        six[:, 3:] = np.deg2rad(six[:, 3:])
    shown = {"spm": "SPM", "fsl": "FSL", "afni": "AFNI", "hcp": "HCP"}.get(kind, "unnamed")
    unit = "degrees" if degrees else "radians"
    order = "rotations, then translations" if rotations_first else "translations, then rotations"
    note = f"The {shown} motion parameters were read as {order}; rotations in {unit}, translations in mm."
    return MotionColumns(pd.DataFrame(six, columns=list(AXES)), (note,))


def harmonise(frame: pd.DataFrame, file_name: str) -> MotionColumns:
    """Give known columns the names of today, and turn rotations in degrees into radians."""
    folded = {re.sub(r"[^a-z0-9]", "", str(c).lower()): c for c in reversed(frame.columns)}
    new = {}
    for name, others in _ALIASES.items():
        found = next((folded[o] for o in others if o in folded), None)
        if name not in frame and found is not None and found not in new:
            new[found] = name
    for column in frame.columns:
        old = re.fullmatch(r"(aCompCor|tCompCor|Cosine|NonSteadyStateOutlier)_?(\d+)", str(column))
        if old:
            stem = {"aCompCor": "a_comp_cor_", "tCompCor": "t_comp_cor_", "Cosine": "cosine"}
            new[column] = f"{stem.get(old[1], 'non_steady_state_outlier')}{int(old[2]):02d}"
    frame = frame.rename(columns={k: v for k, v in new.items() if v not in frame})
    if not set(AXES) <= set(frame) or motion_kind(file_name) in ("fmriprep", "spm", "fsl"):
        return MotionColumns(frame)
    six = frame[list(AXES)].to_numpy(np.float64)
    there = six[np.isfinite(six).all(axis=1)]
    moved, turned = _pace(there[:, :3]), _pace(there[:, 3:])
    if len(there) < 3 or moved <= 0 or turned * 4 < moved:
        return MotionColumns(frame)
    turns = [c for c in frame.columns if str(c).startswith("rot_") and "power2" not in str(c)]
    squares = [c for c in frame.columns if str(c).startswith("rot_") and "power2" in str(c)]
    frame = frame.copy()
    frame[turns] = np.deg2rad(frame[turns].astype(np.float64))
    frame[squares] = frame[squares].astype(np.float64) * np.deg2rad(1.0) ** 2
    return MotionColumns(frame, ("The rotations of the head are too large for radians; read as degrees.",))


def _pace(values: NDArray[np.float64]) -> float:
    """Return the mean absolute change from volume to volume."""
    return float(np.abs(np.diff(values, axis=0)).mean()) if len(values) > 1 else 0.0


def framewise_displacement(frame: pd.DataFrame) -> NDArray[np.float32] | None:
    """Return framewise displacement in mm, (n_timepoints,), float32, first value 0; None when unknown.

    Taken from the column of that name, else computed from the six realignment parameters (mm and rad)
    as in Power et al. 2012. A volume whose displacement is missing stays NaN: it is not 0.
    """
    six = frame[list(AXES)].to_numpy(np.float64) if set(AXES) <= set(frame) else None
    moves = six is not None and bool(_pace(six[np.isfinite(six).all(axis=1)]) > 0)
    if FD in frame:
        given = frame[FD].to_numpy(np.float64, copy=True)
        known = np.isfinite(given[1:]).any()
        if known and not (moves and not np.nan_to_num(given[1:]).any()):  # all 0 while the head moves
            given[0] = given[0] if np.isfinite(given[0]) else 0.0
            return given.astype(np.float32)
    if six is None or not np.isfinite(six).any(axis=0).all():
        return None
    change = np.abs(np.diff(six, axis=0, prepend=six[:1]))
    change[0] = 0
    return (change[:, :3].sum(1) + HEAD_RADIUS_MM * change[:, 3:].sum(1)).astype(np.float32)
