"""Files about cohorts that others made, read in a process of their own.

Parquet's library ends the whole process on some damaged files, and a table may be a bomb. The child reads,
and leaves a ``.npz`` of plain arrays and JSON; nothing else of the file comes over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import DAMAGED_ARRAYS, BrainLMError, ConfigError
from brainlm_core.cohort.embeddings import EmbeddingProvenance, Embeddings
from brainlm_core.cohort.files import read_embeddings
from brainlm_core.cohort.phenotypes import read_table
from brainlm_core.scans.isolation import do_isolated

_ARRAYS = (
    "cls", "mean", "twin_cls", "twin_mean", "parcels", "autocorrelation", "amplitude", "connectivity",
)  # fmt: skip
_KEYS = ("ids", "subjects", "sites")


def read_embeddings_isolated(
    path: str | Path,
    *,
    name: str | None = None,
    connectivity: bool = True,
    parcels: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Embeddings:
    """Read embeddings in a process of its own.

    Parameters
    ----------
    path, name, connectivity, parcels
        As :func:`brainlm_core.cohort.files.read_embeddings`.
    cancelled : callable, optional
        Asked often whether anybody still waits.

    Raises
    ------
    ConfigError, ScanError
        As :func:`brainlm_core.cohort.files.read_embeddings`; and when the file takes more memory or time than
        its size can need, or ends the process.
    """
    path = Path(path)
    shown = name or path.name
    if not path.is_file():
        raise ConfigError(f"there is no file {shown}", "check the path")
    options = {"name": shown, "connectivity": connectivity, "parcels": parcels}
    return do_isolated(
        "embeddings", {"path": path}, options, _take_embeddings, name=shown, cancelled=cancelled
    )


def read_table_isolated(path: str | Path, *, cancelled: Callable[[], bool] | None = None) -> pd.DataFrame:
    """Read a table of phenotypes in a process of its own.

    Raises
    ------
    ConfigError, ScanError
        As :func:`brainlm_core.cohort.phenotypes.read_table`; and when the file takes more memory or time than
        its size can need, or ends the process.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no phenotypes file {path.name}", "check the path")
    return do_isolated("table", {"path": path}, {}, _take_table, name=path.name, cancelled=cancelled)


def read_arrow_people(path: Path) -> pd.DataFrame:
    """Return the columns of single values of an Arrow or Parquet file of recordings.

    Raises
    ------
    ScanError
        If it is damaged, or takes more memory or time than its size can need.
    """
    return do_isolated("arrow people", {"path": path}, {}, _take_table, name=path.name)


def embeddings_to_plain(files: Mapping[str, Path], result: Path, **options: Any) -> None:
    """Read embeddings, here in the child, and leave them as plain arrays."""
    found = read_embeddings(files["path"], **options)
    phenotypes, columns = _frame_to_plain(found.phenotypes, "phenotypes")
    acquisition, more = _frame_to_plain(found.acquisition, "acquisition")
    arrays = {k: getattr(found, k) for k in _ARRAYS if getattr(found, k) is not None}
    if found.parcellation is not None:
        arrays |= {f"atlas_{k}": v for k, v in found.parcellation.to_arrays().items()}
    about = {
        "provenance": found.provenance.to_dict(),
        "keys": {k: list(getattr(found, k)) for k in _KEYS},
        "phenotypes": columns,
        "acquisition": more,
    }
    _write(result, about, {**arrays, **phenotypes, **acquisition})


def table_to_plain(files: Mapping[str, Path], result: Path) -> None:
    """Read a table of phenotypes, here in the child, and leave it as plain arrays."""
    _write_table(read_table(files["path"]), result)


def arrow_people_to_plain(files: Mapping[str, Path], result: Path) -> None:
    """Read the columns of single values of an Arrow file, here in the child."""
    from brainlm_core.cohort.arrow_people import read_flat_columns

    _write_table(read_flat_columns(files["path"]), result)


def _write_table(table: pd.DataFrame, result: Path) -> None:
    arrays, columns = _frame_to_plain(table, "table")
    _write(result, {"table": columns, "notices": list(table.attrs.get("notices", ()))}, arrays)


def _write(result: Path, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    plain: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
    with result.open("wb") as stream:
        np.savez(stream, about=text, **plain)


def _frame_to_plain(frame: pd.DataFrame, prefix: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return a table as arrays of numbers, and the rest of it as JSON."""
    arrays: dict[str, NDArray[Any]] = {}
    columns: list[dict[str, Any]] = []
    for k, name in enumerate(frame.columns):
        values = frame[name]
        about: dict[str, Any] = {"name": str(name), "kind": str(values.dtype)}
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufb":
            arrays[f"{prefix}_{k}"] = values.to_numpy()
        else:
            about["text"] = [
                v if isinstance(v, str | bool) else None if pd.isna(v) else str(v) for v in values
            ]
        columns.append(about)
    return arrays, {"columns": columns, "n": len(frame)}


def _text(value: Any) -> str | bool | None:
    if isinstance(value, str | bool):
        return value
    return None if pd.isna(value) else str(value)


def _frame_from_plain(arrays: Mapping[str, Any], about: Mapping[str, Any], prefix: str) -> pd.DataFrame:
    columns = {}
    for k, column in enumerate(about["columns"]):
        if "text" in column:
            kind = column["kind"] if column["kind"] in ("str", "string", "object") else "object"
            missing = None if kind == "object" else np.nan
            values: Any = [missing if v is None else v for v in column["text"]]
            columns[str(column["name"])] = pd.Series(values, dtype=kind)
        else:
            columns[str(column["name"])] = pd.Series(arrays[f"{prefix}_{k}"])
    return pd.DataFrame(columns, index=range(int(about["n"])))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(path, allow_pickle=False) as store:
        arrays = {k: store[k] for k in store.files}
    return arrays, json.loads(arrays.pop("about").tobytes())


def _take_table(path: Path) -> pd.DataFrame:
    try:
        arrays, about = _read(path)
        table = _frame_from_plain(arrays, about["table"], "table")
        table.attrs["notices"] = tuple(map(str, about["notices"]))
    except DAMAGED_ARRAYS as error:
        raise _damaged() from error
    return table


def _take_embeddings(path: Path) -> Embeddings:
    try:
        arrays, about = _read(path)
        atlas = {k.removeprefix("atlas_"): v for k, v in arrays.items() if k.startswith("atlas_")}
        keys = [tuple(map(str, about["keys"][k])) for k in _KEYS]
        return Embeddings(
            keys[0],
            keys[1],
            keys[2],
            _frame_from_plain(arrays, about["phenotypes"], "phenotypes"),
            _frame_from_plain(arrays, about["acquisition"], "acquisition"),
            provenance=EmbeddingProvenance.from_dict(about["provenance"]),
            parcellation=Parcellation.from_arrays(atlas) if atlas else None,
            **{k: arrays[k] for k in _ARRAYS if k in arrays},
        )
    except BrainLMError:
        raise
    except DAMAGED_ARRAYS as error:
        raise _damaged() from error


def _damaged() -> ConfigError:
    return ConfigError("the file could not be read", "try again")
