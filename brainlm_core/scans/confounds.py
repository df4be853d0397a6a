"""Confounds tables and motion files: head motion for the verdict, regressors for cleaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.scans.motion import AXES, framewise_displacement, harmonise, name_motion
from brainlm_core.scans.named_tables import read_named_table

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
        Framewise displacement in mm, first value 0, NaN where unknown; None when the table has no motion.
    notices : tuple of str
        What was recognised in the table.
    """

    frame: pd.DataFrame
    name: str
    fd_mm: NDArray[np.float32] | None
    notices: tuple[str, ...] = ()


class ConfoundLengthError(ScanError):
    """A confounds table has another number of rows than the scan has volumes."""


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
    frame = _read_frame(path, fix)
    named = harmonise(frame, path.name) if _has_header(frame) else None
    if named is None:
        bare = pd.DataFrame(frame.to_numpy(np.float64)) if frame.shape[1] else frame
        named = name_motion(bare.to_numpy(np.float64), path.name)
    if named is None:
        raise ScanError(
            f"{path.name} has no column names, and nothing tells which columns turn and which move the head",
            "keep the program's file name (SPM rp_*.txt, FSL *.par, AFNI *.1D, HCP Movement_Regressors.txt), "
            "or name the columns trans_x … rot_z",
        )
    frame = named.frame
    if n_timepoints is not None and len(frame) != n_timepoints:
        raise ConfoundLengthError(
            f"the confounds table {path.name} has {len(frame)} rows, but the scan has {n_timepoints} volumes",
            fix,
        )
    return ConfoundTable(frame, path.name, framewise_displacement(frame), named.notices)


def _read_frame(path: Path, fix: str) -> pd.DataFrame:
    """Read the columns of numbers; a table whose first line is numbers has no header."""
    frame = read_named_table(path)
    empty = frame.isna().all()  # a column of n/a alone is unknown, not words
    frame = frame.loc[:, [pd.api.types.is_numeric_dtype(t) or empty[c] for c, t in frame.dtypes.items()]]
    if frame.shape[1] == 0:
        raise ScanError(f"{path.name} has no named columns of numbers", fix)
    return frame


def _has_header(frame: pd.DataFrame) -> bool:
    return not all(str(c).replace(".", "").lstrip("-").isdigit() for c in frame.columns)


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
    frame = table.frame.copy()
    bases = {
        "motion": (AXES, motion),
        "wm_csf": (_TISSUES, wm_csf),
        "global_signal": (("global_signal",), global_signal),
    }
    for part in expand_strategy(strategy):
        if part in bases:
            names, expansion = bases[part]
            wanted = [f"{n}{s}" for n in names for s in _SUFFIXES[expansion]]
            _compute_expansions(frame, names, wanted)
        else:
            wanted = _numbered(table.frame, part, n_compcor)
        missing = [c for c in wanted if c not in frame]
        if missing or (not wanted and part != "non_steady_state"):
            raise ScanError(
                f"{table.name} lacks {missing[0] if missing else 'the columns'} for the strategy {part!r}",
                "choose another strategy or another table",
            )
        columns += wanted
    chosen = frame[columns].bfill(limit=2)
    if not np.isfinite(chosen.to_numpy(np.float64)).all():
        bad = chosen.columns[~np.isfinite(chosen.to_numpy(np.float64)).all(axis=0)][0]
        raise ScanError(f"the confound {bad} holds missing values", "choose a strategy without it")
    return chosen


def _compute_expansions(frame: pd.DataFrame, names: tuple[str, ...], wanted: list[str]) -> None:
    """Add derivatives and squares that a trimmed table lacks, as fMRIPrep computes them; in place."""
    for name in names:
        if name not in frame:
            continue
        change = frame[name].diff()
        made = {
            f"{name}_derivative1": change,
            f"{name}_power2": frame[name] ** 2,
            f"{name}_derivative1_power2": change**2,
        }
        for column, values in made.items():
            if column in wanted and column not in frame:
                frame[column] = values


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
