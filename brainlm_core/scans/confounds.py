"""Confounds tables of fMRIPrep: head motion for the verdict, regressors for cleaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.errors import ConfigError, ScanError
from brainlm_core.scans.named_tables import read_named_table

#: Radius of the sphere on which rotations become mm (Power et al. 2012).
HEAD_RADIUS_MM = 50.0
_AXES = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
_TISSUES = ("csf", "white_matter")
_SUFFIXES = {
    "basic": ("",),
    "derivatives": ("", "_derivative1"),
    "power2": ("", "_power2"),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
#: Parts that a strategy may be made of, named as in ``nilearn.interfaces.fmriprep.load_confounds``.
COMPONENTS = ("motion", "wm_csf", "global_signal", "compcor", "high_pass", "non_steady_state")
#: Ready-made strategies of ``nilearn.interfaces.fmriprep.load_confounds_strategy``.
PRESETS = {
    "simple": ("high_pass", "motion", "wm_csf"),
    "compcor": ("high_pass", "motion", "compcor"),
}


@dataclass(frozen=True)
class ConfoundTable:
    """A confounds table as it stands in the file.

    Parameters
    ----------
    frame : DataFrame
        One row per volume.
    name : str
        File name, for the provenance.
    fd_mm : ndarray (n_timepoints,), float32, or None
        Framewise displacement in mm, first value 0; None when the table has no motion.
    """

    frame: pd.DataFrame
    name: str
    fd_mm: NDArray[np.float32] | None


def read_confounds(path: str | Path, n_timepoints: int | None = None) -> ConfoundTable:
    """Read a confounds TSV (or CSV).

    Raises
    ------
    ScanError
        If it cannot be read, holds no numbers, or has another number of rows than the scan has
        volumes.
    """
    path = Path(path)
    fix = "give the run's own fMRIPrep table (…_desc-confounds_timeseries.tsv)"
    frame = read_named_table(path)
    frame = frame.loc[:, [pd.api.types.is_numeric_dtype(t) for t in frame.dtypes]]
    if frame.shape[1] == 0 or all(str(c).replace(".", "").lstrip("-").isdigit() for c in frame.columns):
        raise ScanError(f"{path.name} has no named columns of numbers", fix)
    if n_timepoints is not None and len(frame) != n_timepoints:
        raise ScanError(
            f"the confounds table {path.name} has {len(frame)} rows, but the scan has {n_timepoints} volumes",
            fix,
        )
    return ConfoundTable(frame, path.name, framewise_displacement(frame))


def framewise_displacement(frame: pd.DataFrame) -> NDArray[np.float32] | None:
    """Return framewise displacement in mm, (n_timepoints,), float32, first value 0.

    Taken from the column of that name, else computed from the six realignment parameters
    (mm and rad) as in Power et al. 2012; None without either.
    """
    for column in ("framewise_displacement", "FramewiseDisplacement", "fd", "FD"):
        if column in frame:
            return frame[column].fillna(0.0).to_numpy(np.float32)
    if not set(_AXES) <= set(frame):
        return None
    change = frame[list(_AXES)].diff().abs().fillna(0.0).to_numpy()
    return (change[:, :3].sum(1) + HEAD_RADIUS_MM * change[:, 3:].sum(1)).astype(np.float32)


def expand_strategy(strategy: tuple[str, ...]) -> tuple[str, ...]:
    """Replace a preset by its parts; check every name.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """
    parts: list[str] = []
    for item in strategy:
        parts += PRESETS.get(item, (item,)) if item not in COMPONENTS or strategy == (item,) else (item,)
    unknown = [p for p in parts if p not in COMPONENTS]
    if unknown:
        raise ConfigError(
            f"there is no confound strategy {unknown[0]!r}",
            f"choose from {', '.join((*COMPONENTS, 'simple'))}",
        )
    return tuple(dict.fromkeys(parts))


def select_regressors(
    table: ConfoundTable,
    strategy: tuple[str, ...],
    *,
    motion: str = "full",
    wm_csf: str = "basic",
    global_signal: str = "basic",
    n_compcor: int = 5,
) -> pd.DataFrame:
    """Choose the columns of a strategy, as nilearn's ``load_confounds`` does.

    Missing first values (derivatives start at the second volume) take the second value.

    Parameters
    ----------
    table : ConfoundTable
        From :func:`read_confounds`.
    strategy : tuple of str
        Parts from :data:`COMPONENTS`, or one of :data:`PRESETS`.
    motion, wm_csf, global_signal : {"basic", "derivatives", "power2", "full"}
        Expansion of each part.
    n_compcor : int
        Anatomical CompCor components to take.

    Returns
    -------
    DataFrame (n_timepoints, n_regressors)

    Raises
    ------
    ScanError
        If the table lacks the columns of a part.
    """
    columns: list[str] = []
    bases = {
        "motion": (_AXES, motion),
        "wm_csf": (_TISSUES, wm_csf),
        "global_signal": (("global_signal",), global_signal),
    }
    for part in expand_strategy(strategy):
        if part in bases:
            names, expansion = bases[part]
            wanted = [f"{n}{s}" for n in names for s in _SUFFIXES[expansion]]
        else:
            wanted = _numbered(table.frame, part, n_compcor)
        missing = [c for c in wanted if c not in table.frame]
        if missing or (not wanted and part != "non_steady_state"):
            raise ScanError(
                f"{table.name} lacks {missing[0] if missing else 'the columns'} for the strategy {part!r}",
                "choose another strategy or another table",
            )
        columns += wanted
    chosen = table.frame[columns].bfill(limit=2)
    if not np.isfinite(chosen.to_numpy(np.float64)).all():
        bad = chosen.columns[~np.isfinite(chosen.to_numpy(np.float64)).all(axis=0)][0]
        raise ScanError(f"the confound {bad} holds missing values", "choose a strategy without it")
    return chosen


def _numbered(frame: pd.DataFrame, part: str, n_compcor: int) -> list[str]:
    pattern, limit = {
        "compcor": (r"a_comp_cor_\d+$", n_compcor),
        "high_pass": (r"cosine_?\d+$", None),
        "non_steady_state": (r"non_steady_state_outlier_?\d+$", None),
    }[part]
    return sorted(c for c in frame if re.match(pattern, str(c)))[:limit]


def load_with_nilearn(
    bold: Path, strategy: tuple[str, ...], *, motion: str, n_compcor: int
) -> pd.DataFrame | None:
    """Let nilearn find and choose the confounds beside an fMRIPrep image; None if the layout does not fit."""
    import warnings

    from nilearn.interfaces.fmriprep import load_confounds

    parts = expand_strategy(strategy)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about columns that it leaves out; checked below
            chosen, _ = load_confounds(
                str(bold),
                strategy=parts,
                motion=motion,
                wm_csf="basic",
                global_signal="basic",
                compcor="anat_combined",
                n_compcor=n_compcor,
                demean=False,
            )
    except (ValueError, OSError, KeyError):
        return None
    return chosen if chosen is not None and len(chosen) else None
