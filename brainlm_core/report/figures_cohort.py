"""Figures of a cohort: its map, what can be decoded, what moves a read-out, where a recording lies."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.cohort.columns import words
from brainlm_core.report.charts import scatter_chart
from brainlm_core.report.figure import Figure, brains_data, rows_data
from brainlm_core.viz.strip import baseline_strip

if TYPE_CHECKING:
    import pandas as pd

    from brainlm_core.base.atlas import Parcellation
    from brainlm_core.cohort.embeddings import Embeddings
    from brainlm_core.features.attribution.result import Attribution
    from brainlm_core.features.decode.analysis import DecodeResult
    from brainlm_core.features.embedding.analysis import EmbeddingMap
    from brainlm_core.report.position import Position


def place(result: Position) -> Figure:
    """Draw the recording among those of the bundled cohort, beside the random-weights twin."""
    drawing = ""
    data: dict[str, NDArray[Any]] = {}
    n = len(result.drawn.xy)
    for name, title, drawn, placed in (
        ("model", "Model", result.drawn, result.placed),
        ("twin", "Random weights", result.twin_drawn, result.twin_placed),
    ):
        drawing += scatter_chart(
            drawn.xy,
            placed.xy,
            title=title,
            x_title=f"First component ({100 * drawn.explained[0]:.0f} % of the variance)",
            y_title=f"Second component ({100 * drawn.explained[1]:.0f} %)",
            said=f"{title}: {len(drawn.xy)} recordings of the cohort, this one marked.",
        )
        drawing += (
            f'<p class="b-note">{html.escape(placed.sentence())} Neighbours that the map keeps: '
            f"{100 * float(drawn.trust.mean()):.0f} % (by chance {100 * drawn.chance:.0f} %).</p>"
        )
        data |= {f"{name}_xy": drawn.xy, f"{name}_own_xy": placed.xy, f"{name}_trust": drawn.trust}
        data |= {
            f"{name}_percentile": np.array(placed.percentile),
            f"{name}_distances": np.array(placed.distances),
        }
    return Figure(
        "place",
        "Place among other recordings",
        f"This recording among the {n} of the bundled cohort, in the model's summary token.",
        "what makes recordings differ: scanner, motion and length weigh as much as the person.",
        result.parcellation,
        drawing=drawing,
        data=data,
    )


@dataclass(frozen=True, eq=False)
class ColouredMap:
    """A map and what its points are coloured by.

    Parameters
    ----------
    made : EmbeddingMap
    colour : str
        Column of the cohort's table, or ``trust``.
    values : pandas.Series
        One per point.
    """

    made: EmbeddingMap
    colour: str
    values: pd.Series


def coloured_map(cohort: Embeddings, method: str, layer: str, colour: str = "trust") -> ColouredMap:
    """Draw a map of a cohort for :func:`cohort_map`; arguments as ``make_map`` takes them.

    Raises
    ------
    ConfigError, AnalysisError
        As :func:`brainlm_core.features.embedding.analysis.make_map`; also if there is no such column.
    """
    import pandas as pd

    from brainlm_core.base.errors import ConfigError
    from brainlm_core.features.embedding.analysis import make_map

    table = cohort.table()
    if colour != "trust" and colour not in table:
        raise ConfigError(f"the cohort has no column {colour!r}", f"choose one of {', '.join(table.columns)}")
    made = make_map(cohort, method, layer)
    return ColouredMap(made, colour, pd.Series(made.trust) if colour == "trust" else table[colour])


def cohort_map(result: ColouredMap) -> Figure:
    """Draw a cohort on one map, coloured by a column."""
    from brainlm_core.features.embedding.analysis import LAYER_WORDS, METHOD_WORDS
    from brainlm_core.features.embedding.figures import axis_names, point_colour

    made, name = result.made, words(result.colour)
    across, up = axis_names(made)
    mark = " (simulated)" if made.provenance.get("simulated") else ""
    text = not np.issubdtype(result.values.to_numpy().dtype, np.number)
    shown = result.values.map(str, na_action="ignore").fillna("") if text else result.values
    return Figure(
        "cohort-map",
        f"Map of the cohort{mark}",
        f"{METHOD_WORDS[made.method]} of the {LAYER_WORDS[made.layer].lower()}: it keeps "
        f"{100 * made.trust.mean():.0f} % of the {made.n_neighbours} nearest of each recording "
        f"(by chance {100 * made.chance:.0f} %).",
        "all that two axes cannot hold; who is beside whom counts, and only where trust is high.",
        None,
        drawing=scatter_chart(
            made.xy,
            None,
            title=name,
            x_title=across,
            y_title=up,
            said=f"{len(made.ids)} recordings, coloured by {name}.",
            colour=point_colour(result.values, name),
        ),
        data={
            "ids": np.array(made.ids, dtype=np.str_),
            "xy": made.xy,
            "trust": made.trust,
            "colour": shown.to_numpy(np.str_ if text else np.float64),
        },
    )


def decoding(result: DecodeResult) -> Figure:
    """Draw how well a column is told from the embedding, beside all that needs no model."""
    from brainlm_core.features.decode.figures import measure_words, one_sentence, strip_rows

    rows = strip_rows(result)
    limits = (-0.2, 0.6) if result.metric == "r2" else (0.4, 1.0)
    people = len(set(result.subjects))
    notes = [f"{len(result.ids)} recordings of {people} people; {result.folds}.", *result.notices]
    return Figure(
        "decoding",
        f"Decoding: {words(result.options.target)}",
        one_sentence(result, words(result.options.target)),
        "mechanism. A score is about people on average, not good enough to say anything about one person.",
        None,
        drawing=baseline_strip(rows, title=measure_words(result), limits=limits)
        + "".join(f'<p class="b-note">{html.escape(text)}</p>' for text in notes),
        data={
            **rows_data("score", rows),
            "ids": np.array(result.ids, dtype=np.str_),
            "truth": np.asarray(result.truth),
            **{f"guess_{method}": values for method, values in result.guesses.items()},
        },
    )


def attribution(result: tuple[Attribution, Parcellation]) -> Figure:
    """Draw which parcels move a read-out of a recording, beside the attention."""
    from brainlm_core.features.attribution.figures import (
        AGREE_WORDS,
        completeness_words,
        one_sentence,
        panels,
    )

    found, parcels = result
    brains = tuple(panels(found, simulated=False))
    beside = "".join(
        f"<tr><td>{html.escape(AGREE_WORDS[name])}</td><td>{value:.2f}</td></tr>".replace("-", "−")
        for name, value in found.agreement.items()
    )
    return Figure(
        "attribution",
        "Attribution",
        f"{one_sentence(found, parcels)} {completeness_words(found)}",
        "what in the brain causes anything. It is worth no more than the read-out itself.",
        parcels,
        brains,
        drawing="<table><thead><tr><th>Size of the shares against</th><th>Rank correlation</th></tr></thead>"
        f"<tbody>{beside}</tbody></table>",
        data={
            **brains_data(brains),
            "shares": found.values,
            "completeness_error": np.array(found.completeness_error),
        },
    )
