"""Tables of the Networks page: scores of every method, and what each network is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.networks.attention_charts import cluster_categories
from app.shell.theme import group_words
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.methods import methods_of, title_of
from brainlm_core.features.networks.scores import Clustering, MethodScores, Score


def scores_table(scores: Sequence[MethodScores]) -> pd.DataFrame:
    """Return one row per method, also for those that are not scored yet.

    Parameters
    ----------
    scores : sequence of MethodScores
        As far as they are known.
    """
    by_method = {row.method: row for row in scores}
    rows = []
    for method in methods_of("networks"):
        row = by_method.get(method)
        if row is None and method == "white_noise":
            continue  # asked by `brainlm evaluate` only
        rows.append(
            {
                "Description of parcels": title_of(method, "networks"),
                "k-NN accuracy": _spelled(row.knn if row else None),
                "k-NN, homologues in one fold": _spelled(row.knn_homologues if row else None),
                "Adjusted Rand index": _spelled(row.ari if row else None),
            }
        )
    return pd.DataFrame(rows)


def clusters_table(clustering: Clustering, parcellation: Parcellation) -> pd.DataFrame:
    """Return one row per network found: its size, its overlap with the known one, its members."""
    groups = np.array(parcellation.group)
    rows = []
    for i, category in enumerate(cluster_categories(clustering)):
        members = groups[clustering.labels == i]
        names, counts = np.unique(members, return_counts=True)
        made_of = ", ".join(f"{group_words(str(names[j]))} {counts[j]}" for j in np.argsort(-counts)[:4])
        rows.append(
            {
                "Network": category.name,
                "Parcels": len(members),
                "Overlap (Dice)": float(clustering.dice[i]),
                "Made of": made_of,
            }
        )
    return pd.DataFrame(rows)


def _spelled(score: Score | None) -> str:
    if score is None:
        return "–"
    if score.value is None:
        return score.reason
    interval = "" if score.ci95 is None else f" ({score.ci95[0]:.2f} to {score.ci95[1]:.2f})"
    return f"{score.value:.3f}{interval}"
