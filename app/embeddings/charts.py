"""Colours, tables and sentences of the Embeddings page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.components.brain_view import BrainPanel
from brainlm_core.cohort.columns import words
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.embedding.analysis import METHOD_WORDS, EmbeddingMap, Placement
from brainlm_core.features.embedding.comparison import MEASURES, GroupComparison, Neighbours
from brainlm_core.features.embedding.figures import MAX_CATEGORIES
from brainlm_core.features.embedding.uses import Uses


def colour_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that points can be coloured by, phenotypes first."""
    out = []
    for column in table.columns.drop(["recording_id", "subject_id"]):
        known = table[column].replace("", np.nan).dropna()
        numeric = pd.api.types.is_numeric_dtype(table[column].dtype)
        names = not numeric and known.nunique() > max(MAX_CATEGORIES, len(known) / 2)
        if known.nunique() >= 2 and not names:
            out.append(column)
    front = [c for c in ("group", "diagnosis", "age_years", "sex", "site") if c in out]
    return [*front, *(c for c in out if c not in front)]


def one_sentence(cohort: Embeddings, used: Uses | None) -> str:
    """Return what the map shows: what its neighbourhoods go with most, as far as that is known."""
    people = len(set(cohort.subjects))
    simulated = "simulated " if cohort.provenance.simulated else ""
    front = f"{len(cohort)} {simulated}recordings of {people} people by what the model makes of them"
    found = None if used is None else main_use(used)
    if found is None:
        return f"{front}: near each other means alike."
    factor, share = found
    return f"{front}: {share:.0%} of this embedding goes with {factor}."


def main_use(used: Uses) -> tuple[str, float] | None:
    """Return the single factor that explains most of the whole embedding, and how much; None for none."""
    column = used.columns.index("embedding")
    single = [(float(used.r2[i, column]), f) for i, f in enumerate(used.factors) if f != "all together"]
    known = [pair for pair in single if np.isfinite(pair[0]) and pair[0] > 0.01]
    if not known:
        return None
    share, factor = max(known)
    return factor, share


def uses_table(used: Uses) -> pd.DataFrame:
    """Return one row per factor: per cent that it explains of the map and of the whole embedding."""
    picked = {"Map, across": "map x", "Map, up": "map y", "Whole embedding": "embedding"}
    out: dict[str, object] = {"Goes with": [f[:1].upper() + f[1:] for f in used.factors]}
    for name, column in picked.items():
        out[name] = 100 * np.maximum(used.r2[:, used.columns.index(column)], 0)
    out["p"] = used.p[:, used.columns.index("embedding")]
    out["Recordings"] = list(used.n)
    return pd.DataFrame(out)


def trust_sentence(made: EmbeddingMap) -> str:
    """Return how far the map can be trusted."""
    return (
        f"{METHOD_WORDS[made.method]} keeps {made.trust.mean():.0%} of the {made.n_neighbours} nearest of "
        f"each recording (a shuffled map: {made.chance:.0%}). Colour by trust to see where."
    )


def selection_table(cohort: Embeddings, rows: NDArray[np.intp]) -> pd.DataFrame:
    """Return the selected recordings with all columns, in words."""
    table = cohort.table().iloc[rows]
    return table.rename(columns={c: words(c) for c in table.columns})


def neighbour_table(cohort: Embeddings, near: Neighbours, columns: Sequence[str]) -> pd.DataFrame:
    """Return the recordings nearest to one."""
    table = cohort.table().iloc[near.rows]
    out = pd.DataFrame(
        {
            "Recording": table["recording_id"].to_numpy(),
            "Similarity": near.similarity,
            "Same person": np.where(near.same_person, "yes", ""),
        }
    )
    for column in columns:
        out[words(column)] = table[column].to_numpy()
    return out


def placed_table(cohort: Embeddings, place: Placement, columns: Sequence[str]) -> pd.DataFrame:
    """Return the recordings nearest to the scan in hand."""
    rows = [cohort.ids.index(i) for i in place.nearest]
    table = cohort.table().iloc[rows]
    out = pd.DataFrame({"Recording": list(place.nearest), "Distance": place.distances})
    for column in columns:
        out[words(column)] = table[column].to_numpy()
    return out


def difference_panel(
    result: GroupComparison, only_significant: bool, *, simulated: bool = False
) -> BrainPanel:
    """Return the difference on the brain."""
    values = result.effect.copy()
    if only_significant:
        values[~(result.q < 0.05)] = np.nan
    return BrainPanel(
        "Selected minus the rest (simulated)" if simulated else "Selected minus the rest",
        values.astype(np.float32),
        unit="Cohen's d",
        limits=(-1.5, 1.5),
        alt=f"Difference between the selected people and the rest in {MEASURES[result.measure]}, per parcel.",
    )


def difference_sentence(result: GroupComparison) -> str:
    """Return what the comparison found."""
    n_in, n_out = result.people
    n = len(result.effect)
    found = f"{result.n_significant} of {n} parcels differ" if result.n_significant else "no parcel differs"
    text = f"{n_in} selected people against {n_out}: {found} in {MEASURES[result.measure]} (q < .05)."
    if result.mixed:
        text += f" {result.mixed} people with recordings on both sides are left out."
    return text


def phenotype_table(result: GroupComparison) -> pd.DataFrame:
    """Return how the selected differ from the rest, in words."""
    table = result.phenotypes.assign(column=[words(c) for c in result.phenotypes["column"]])
    return table.rename(
        columns={
            "column": "Column",
            "selected": "Selected",
            "rest": "The rest",
            "effect": "Effect (d or V)",
            "p": "p",
            "q": "q (FDR)",
        }
    )
