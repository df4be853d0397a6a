"""Group of a dataset: mean maps over people, one table of runs, one of failures, embeddings in one file.

People count once: a person's runs are averaged first, then the people.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import whole_files
from brainlm_core.cohort.personal import leave_out_personal
from brainlm_core.cohort.phenotypes import RECORDING_KEYS, SUBJECT_KEYS, read_table
from brainlm_core.dataset.plan import STATE, Selection
from brainlm_core.dataset.run import writing_to
from brainlm_core.dataset.work import write_json, write_matrix, write_tsv
from brainlm_core.scans.bids import DatasetRun, build_name, parse_name

_SESSION_KEYS = ("session_id", "session", "ses", "visit")
_ABOUT = ("tr_s", "n_volumes", "mean_fd_mm", "verdict", "seg")


@dataclass(frozen=True)
class GroupReport:
    """What the group level wrote."""

    n_runs: int
    n_participants: int
    n_failed: int
    files: tuple[str, ...]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "n_runs": self.n_runs,
            "n_participants": self.n_participants,
            "n_failed": self.n_failed,
            "files": list(self.files),
            "columns_left_out": list(self.left_out),
        }


def summarise(folder: str | Path, output: str | Path, selection: Selection | None = None) -> GroupReport:
    """Write ``group/`` from what the participant level left.

    Raises
    ------
    ConfigError
        If no run is done.
    """
    folder, output = Path(folder), Path(output)
    states = [s for s in _states(output) if selection is None or selection.takes(DatasetRun(s["entities"]))]
    done = [s for s in states if not s["reason"]]
    if not done:
        raise ConfigError(
            f"no run in {output.name} is done", "run `brainlm bids BIDS_DIR OUT participant` first"
        )
    people, left_out = people_of(folder, [s["entities"] for s in done])
    with writing_to(output), whole_files(output / "group") as part:
        write_tsv(part / "recordings.tsv", pd.concat([_table(done), people], axis=1))
        failures = [(s["label"], s["source"], s["reason"]) for s in states if s["reason"]]
        write_tsv(part / "failures.tsv", pd.DataFrame(failures, columns=["recording_id", "source", "reason"]))
        _write_means(output, done, part)
        _write_embeddings(output, done, people, part)
        files = tuple(f"group/{p.name}" for p in sorted(part.iterdir()))
    n = len({s["entities"].get("sub") for s in done})
    return GroupReport(len(done), n, len(states) - len(done), files, left_out)


def _states(output: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((output / STATE / "runs").glob("*.json")):
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            whole = all((output / name).is_file() for name in state["files"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if whole:
            yield state


def _table(states: Sequence[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for state in states:
        entities = state["entities"]
        row = {"recording_id": state["label"], "participant_id": f"sub-{entities.get('sub', '')}"}
        row["session_id"] = f"ses-{entities['ses']}" if "ses" in entities else None
        row |= {e: entities.get(e) for e in ("task", "acq", "dir", "run")}
        row |= {name: state.get(name) for name in _ABOUT}
        for score, by_method in (state.get("scores") or {}).items():
            row |= {f"{score}_{method}": value for method, value in by_method.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def people_of(folder: Path, entities: Sequence[dict[str, str]]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return what ``participants.tsv`` and ``sessions.tsv`` say of each run's person and session.

    Returns
    -------
    table : DataFrame (n_runs rows)
        Without identifiers; no column where nothing is known.
    left_out : tuple of str
        Columns that may tell who somebody is.
    """
    places = [folder, *folder.absolute().parents[:2]]
    participants = next((p for f in places if (p := f / "participants.tsv").is_file()), None)
    rows: list[dict[str, Any]] = [{} for _ in entities]
    if participants is not None:
        _fill(rows, entities, read_table(participants))
    for sub in {e["sub"] for e in entities if "sub" in e}:
        name = f"sub-{sub}/sub-{sub}_sessions.tsv"
        sessions = next((p for f in places if (p := f / name).is_file()), None)
        if sessions is not None:
            _fill(rows, entities, read_table(sessions).assign(participant_id=f"sub-{sub}"))
    table = pd.DataFrame(rows, index=range(len(rows)))
    return leave_out_personal(table)


def _fill(rows: list[dict[str, Any]], entities: Sequence[dict[str, str]], table: pd.DataFrame) -> None:
    """Give each run the row of its person, and of its session where the table has sessions."""
    who = next((c for c in SUBJECT_KEYS if c in table), None)
    when = next((c for c in _SESSION_KEYS if c in table), None)
    if who is None:
        return
    keys = [c for c in (*SUBJECT_KEYS, *RECORDING_KEYS, *_SESSION_KEYS) if c in table]
    content = table.drop(columns=keys).to_dict("records")
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for person, session, values in zip(
        table[who], table[when] if when else [""] * len(table), content, strict=True
    ):
        known.setdefault((_folded(person), _folded(session)), values)
    for row, entity in zip(rows, entities, strict=True):
        session = _folded(entity.get("ses", "")) if when else ""
        row |= known.get((_folded(entity.get("sub", "")), session), {})


def _folded(value: object) -> str:
    text = str(value).strip().removeprefix("sub-").removeprefix("ses-")
    text = text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text
    return text.lstrip("0") or "0" if text.isdigit() else text


def _write_means(output: Path, states: Sequence[dict[str, Any]], part: Path) -> None:
    """Write the mean and the spread over people of each kind of matrix, by task and parcellation."""
    groups: dict[tuple[str, str, str], dict[str, list[Path]]] = {}
    for state in states:
        for name in state["files"]:
            path = output / name
            parsed = parse_name(path.name)
            if parsed is not None and parsed.suffix == "relmat" and parsed.extension == ".tsv":
                key = (parsed.get("task"), parsed.get("seg"), parsed.get("meas"))
                groups.setdefault(key, {}).setdefault(parsed.get("sub"), []).append(path)
    for (task, seg, meas), by_person in groups.items():
        entities = {k: v for k, v in (("task", task), ("seg", seg), ("meas", meas)) if v}
        mean, spread, parcels = _over_people(by_person)
        for stat, values in (("mean", mean), ("std", spread)):
            if values is not None:
                write_matrix(part / build_name({**entities, "stat": stat}, "relmat", ".tsv"), values, parcels)
        about = {
            "Description": f"Mean over people of {meas}; a person's runs are averaged first",
            "NumberOfParticipants": len(by_person),
            "NumberOfRuns": sum(map(len, by_person.values())),
            "Sources": sorted(
                f"bids::{p.relative_to(output).as_posix()}" for paths in by_person.values() for p in paths
            ),
        }
        write_json(part / build_name({**entities, "stat": "mean"}, "relmat", ".json"), about)


Matrix = NDArray[np.float64]


def _over_people(by_person: dict[str, list[Path]]) -> tuple[Matrix, Matrix | None, tuple[str, ...]]:
    """Return mean, standard deviation (None for one person) and parcels; missing cells are left out."""
    parcels: tuple[str, ...] = ()
    count = total = squares = np.zeros(())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cells that are missing in all runs
        for paths in by_person.values():
            frames = [pd.read_csv(p, sep="\t", na_values=["n/a"]) for p in paths]
            parcels = tuple(frames[0].columns)
            own = np.nanmean([f.to_numpy(np.float64) for f in frames], axis=0)
            there = np.isfinite(own)
            filled = np.where(there, own, 0)
            count, total, squares = count + there, total + filled, squares + filled**2
        mean = total / np.where(count > 0, count, np.nan)
        variance = (squares - count * mean**2) / np.where(count > 1, count - 1, np.nan)
    return mean, np.sqrt(np.maximum(variance, 0)) if len(by_person) > 1 else None, parcels


def _write_embeddings(
    output: Path, states: Sequence[dict[str, Any]], people: pd.DataFrame, part: Path
) -> None:
    """Write the embeddings of all runs into one file per parcellation, with what is known of the people."""
    from brainlm_core.cohort.embeddings import ACQUISITION
    from brainlm_core.cohort.files import EmbeddingsWriter, read_embeddings

    known = people.drop(columns=[c for c in (*ACQUISITION, "site") if c in people])
    by_seg: dict[str, list[tuple[int, Path]]] = {}
    for row, state in enumerate(states):
        for name in state["files"]:
            if name.endswith("_embeddings.parquet"):
                by_seg.setdefault(state["seg"], []).append((row, output / name))
    for seg, files in by_seg.items():
        with EmbeddingsWriter(part / build_name({"seg": seg}, "embeddings", ".parquet")) as writer:
            for row, path in files:
                site = str(people["site"].iloc[row]) if "site" in people else ""
                own = known.iloc[[row]].reset_index(drop=True)
                writer.write(replace(read_embeddings(path), phenotypes=own, sites=(site,)))
