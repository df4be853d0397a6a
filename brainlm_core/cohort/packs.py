"""Cohorts as they lie on disk: one ``.npz`` pack of many recordings, or a folder of scans.

A pack holds one array per parcellation, all recordings one after the other along time, and
``offsets`` (n + 1 numbers) that say where each begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation, a424, a424_cortex, from_coordinates
from brainlm_core.base.errors import DAMAGED_ARRAYS, BrainLMError, ConfigError
from brainlm_core.base.library_warnings import quiet_old_headers
from brainlm_core.base.rows_on_disk import RowsOnDisk
from brainlm_core.cohort.recordings import Cohort

#: Largest pack, unpacked; it stays on disk.
MAX_PACK_BYTES = 1 << 36


def open_cohort(
    path: str | Path,
    *,
    signals: str | Sequence[str] = "signals",
    coordinates: str | Path | Sequence[str | Path] | None = None,
    tr_s: float | None = None,
    phenotypes: str | Path | None = None,
) -> Cohort:
    """Open a cohort.

    Parameters
    ----------
    path : str or Path
        A pack, a folder of scans, or a cohort store.
    signals : str or sequence of str
        Array(s) of the pack; several are put side by side.
    coordinates : path or sequence of paths, optional
        CSV with x, y, z in mm per column of ``signals``; without it 424 columns are A424 and 360 its cortex.
    tr_s : float, optional
        Repetition time of all recordings in s.
    phenotypes : path, optional
        CSV with one row per recording of a pack: ``subject_id``, and ``tr_s`` where ``tr_s`` is not given.
        Columns that may tell who somebody is are left out.

    Returns
    -------
    Cohort

    Raises
    ------
    ConfigError
        If something is missing or does not fit together.
    """
    path = Path(path)
    table, left_out = (None, ()) if phenotypes is None else _table(Path(phenotypes))
    if path.is_dir():
        is_store = (path / "store.json").is_file()
        found = _store(path, table, phenotypes) if is_store else _folder(path, table, tr_s)
        return replace(found, left_out=left_out)
    if not path.is_file():
        raise ConfigError(
            f"there is no cohort {path.name}", "give a .npz pack, a folder of scans, or a store"
        )
    keys = [signals] if isinstance(signals, str) else list(signals)
    from brainlm_core.scans.limits import check_zip

    check_zip(path, path.name, max_bytes=MAX_PACK_BYTES)
    try:
        with quiet_old_headers(), np.load(path, allow_pickle=False) as store:
            missing = [k for k in (*keys, "offsets") if k not in store.files]
            if missing:
                raise ConfigError(
                    f"{path.name} has no array {missing[0]!r}",
                    f"choose --signals among {', '.join(f for f in store.files if store[f].ndim == 2)}",
                )
            offsets = np.asarray(store["offsets"], dtype=np.int64)
            own_tr = float(store["tr_s"]) if "tr_s" in store.files else None
        data = RowsOnDisk(path, keys)
    except BrainLMError:
        raise
    except DAMAGED_ARRAYS as error:
        raise ConfigError(f"{path.name} is not a readable pack", "give a .npz without pickles") from error
    if offsets.ndim != 1 or len(offsets) < 2 or offsets[-1] != len(data) or (np.diff(offsets) <= 0).any():
        raise ConfigError(f"the offsets of {path.name} do not fit its signals", "rebuild the pack")
    n = len(offsets) - 1
    if table is not None and len(table) != n:
        raise ConfigError(
            f"{path.name} holds {n} recordings and the phenotypes {len(table)} rows", "give one row each"
        )
    ids = _column(table, ("scan_id", "subject_id"), [f"{i + 1}" for i in range(n)])
    return Cohort(
        path.name,
        ids,
        _column(table, ("subject_id", "scan_id"), list(ids)),
        table,
        _parcellation(data.shape[1], coordinates),
        data,
        np.stack([offsets[:-1], offsets[1:]], axis=1),
        _repetition_times(n, tr_s, table, own_tr, path.name),
        left_out=left_out,
    )


def _store(path: Path, table: pd.DataFrame | None, phenotypes: str | Path | None) -> Cohort:
    from brainlm_core.cohort.phenotypes import match_phenotypes
    from brainlm_core.cohort.store import CohortStore

    cohort = CohortStore.open(path).cohort()
    if table is None or phenotypes is None:
        return cohort
    own = cohort.phenotypes
    assert own is not None
    new = match_phenotypes(table, cohort.ids, cohort.subjects, Path(phenotypes).name).table
    kept = own.drop(columns=own.columns.intersection(new.columns).difference(["tr_s", "n_volumes"]))
    new = new.drop(columns=new.columns.intersection(kept.columns))
    return replace(cohort, phenotypes=pd.concat([kept, new], axis=1))


def _folder(path: Path, table: pd.DataFrame | None, tr_s: float | None) -> Cohort:
    from brainlm_core.scans.readers import is_scan_name

    files = sorted(p for p in path.iterdir() if p.is_file() and is_scan_name(p.name))
    if not files:
        raise ConfigError(f"the folder {path.name} holds no scan", "give a folder with one file per scan")
    ids = tuple(p.name.split(".")[0] for p in files)
    if table is not None:
        key = next((c for c in ("scan_id", "subject_id") if c in table), None)
        if key is None:
            raise ConfigError("the phenotypes have no column scan_id or subject_id", "add one")
        known = table.set_index(table[key].astype(str))
        if known.index.has_duplicates or not set(ids) <= set(known.index):
            raise ConfigError("the phenotypes do not name each scan of the folder once", "match file names")
        table = known.loc[list(ids)].reset_index(drop=True)
    tr = np.full(len(ids), np.nan if tr_s is None else tr_s)
    subjects = _column(table, ("subject_id",), list(ids))
    return Cohort(path.name, ids, subjects, table, None, None, np.zeros((0, 2), np.int64), tr, tuple(files))


def _table(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the phenotypes without the columns that may tell who somebody is, and which these were."""
    from brainlm_core.cohort.personal import leave_out_personal
    from brainlm_core.cohort.phenotypes import read_table

    table = read_table(path)
    return leave_out_personal(table, keep=("subject_id", "scan_id"))


def _column(table: pd.DataFrame | None, names: Sequence[str], default: list[str]) -> tuple[str, ...]:
    for name in names:
        if table is not None and name in table:
            return tuple(table[name].astype(str))
    return tuple(default)


def _parcellation(n_columns: int, coordinates: str | Path | Sequence[str | Path] | None) -> Parcellation:
    if coordinates is None:
        known = {424: a424, 360: a424_cortex}
        if n_columns not in known:
            raise ConfigError(
                f"nothing says where the {n_columns} columns lie",
                "give --coordinates with x, y, z in mm per column",
            )
        return known[n_columns]()
    from brainlm_core.scans.coordinates import read_coordinates

    paths = [coordinates] if isinstance(coordinates, str | Path) else list(coordinates)
    tables = [read_coordinates(p) for p in paths]
    xyz = np.concatenate([t.xyz for t in tables])
    if len(xyz) != n_columns:
        raise ConfigError(
            f"{len(xyz)} coordinates do not fit {n_columns} columns", "give one row per column, in order"
        )
    names = tuple(name for t in tables for name in t.names)
    return from_coordinates(None, names, xyz)


def _repetition_times(
    n: int, tr_s: float | None, table: pd.DataFrame | None, own: float | None, name: str
) -> NDArray[np.float64]:
    if tr_s is not None:
        times = np.full(n, float(tr_s))
    elif table is not None and "tr_s" in table:
        times = pd.to_numeric(table["tr_s"], errors="coerce").to_numpy(np.float64)
    elif own is not None:
        times = np.full(n, own)
    else:
        raise ConfigError(f"nothing says the repetition time of {name}", "give --tr in seconds")
    bad = int((~(np.isfinite(times) & (times > 0))).sum())
    if bad:
        raise ConfigError(
            f"{bad} of {n} recordings of {name} have no repetition time", "fill in tr_s or give --tr"
        )
    return times
