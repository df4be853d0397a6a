"""``python -m brainlm_core.training.card HCP ABIDE DECODE --into FOLDER``: write a model's card.

Takes what ``brainlm evaluate`` saved on the cortical cohort, on the volume cohort, and of its decoding,
and writes ``card.json`` and the tables of ``MODEL_CARD.md``, the distances to the bars included.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainlm_core.base.methods import METHODS, ordered, words_of
from brainlm_core.features.shared.model_card import (
    MARKDOWN_NAME,
    BarDistance,
    CardRow,
    CardTable,
    ModelCard,
    Score,
    fill_markdown,
    load_card,
)

#: Masks and forecast steps that are shown.
MASK_NAMES = {
    "random20": "20 %",
    "random75": "75 %",
    "random90": "90 %",
    "future": "future",
    "parcel": "whole parcels",
}
STEPS = (1, 2, 3, 4, 5, 10, 20)
#: Bars that were measured on other people: gaps over the same method there are what travels.
BEST_LINEAR_OVER_RIDGE = {"20 %": 0.026, "75 %": 0.022, "90 %": 0.031}
BEST_MIX_OVER_AR = {"step 1": 0.054, "2": 0.052, "5": 0.024}
NETWORKS_WINDOW, NETWORKS_AVERAGE = 0.734, 0.838


def build_card(cortex: Mapping[str, Any], volume: Mapping[str, Any], decode: Mapping[str, Any]) -> ModelCard:
    """Return the card.

    Parameters
    ----------
    cortex, volume, decode : mapping
        Contents of ``evaluation.json``: masked, forecast and networks; masked and forecast; decode.
    """
    tables = [
        _masked("masked_hcp", f"Masked reconstruction, R², HCP ({cortex['n_subjects']} subjects)", cortex),
        _masked(
            "masked_abide",
            f"Masked reconstruction, R², ABIDE ({volume['n_evaluated']} recordings of unseen sites)",
            volume,
        ),
        _forecast("forecast_hcp", "Forecast, R² per step, HCP (0.72 s a step)", cortex),
        _forecast("forecast_abide", "Forecast, R² per step, ABIDE (one volume a step, 1.5 to 2 s)", volume),
        _networks(cortex),
        _decode(decode),
    ]
    return ModelCard(tuple(tables), _bars({t.key: t for t in tables}))


def _masked(key: str, title: str, scores: Mapping[str, Any]) -> CardTable:
    table = {kind: methods for kind, methods in scores["masked_r2"].items() if methods}
    kinds = [k for k in MASK_NAMES if k in table]
    rows = tuple(
        CardRow(m, METHODS[m].words, tuple(_score(table[k].get(m)) for k in kinds))
        for m in ordered(m for k in kinds for m in table[k])
    )
    return CardTable(key, title, "R²", tuple(MASK_NAMES[k] for k in kinds), rows)


def _forecast(key: str, title: str, scores: Mapping[str, Any]) -> CardTable:
    block = scores["forecast"]
    rows = []
    for method in ordered(block["r2"]):
        values, intervals = block["r2"][method], block["r2_ci95"][method]
        cells = [
            Score(values[s - 1], None if intervals is None else (intervals[s - 1][0], intervals[s - 1][1]))
            for s in STEPS
        ]
        rows.append(CardRow(method, words_of(method, "forecast"), tuple(cells)))
    columns = tuple(f"step {s}" if s == 1 else str(s) for s in STEPS)
    return CardTable(key, title, "R²", columns, tuple(rows), "Scaled by the seen part only.")


def _networks(scores: Mapping[str, Any]) -> CardTable:
    block = scores["networks"]
    parts = [block, block["group_average"]]
    rows = []
    for name in ordered(block["knn_accuracy"]):
        cells = [_score(p[m].get(name)) for p in parts for m in ("knn_accuracy", "knn_accuracy_homologues")]
        key = "model" if name == "attention" else name  # one name for the model in every table
        rows.append(CardRow(key, METHODS[name].words, tuple(cells)))
    columns = ("one window", "homologues together", "average over recordings", "average, homologues together")
    return CardTable(
        "networks_hcp", "Seven networks, 5-fold k-NN accuracy, HCP", "accuracy", columns, tuple(rows)
    )


def _decode(scores: Mapping[str, Any]) -> CardTable:
    block = scores["decode"]
    shown = [
        (target, measure, name)
        for target, measure, name in (
            ("age_years", "value", "age, R²"),
            ("age_years", "mae", "age, mean error in years"),
            ("sex", "value", "sex, AUC"),
            ("sex", "balanced_accuracy", "sex, balanced accuracy"),
            ("diagnosis", "value", "diagnosis, AUC"),
            ("diagnosis", "balanced_accuracy", "diagnosis, balanced accuracy"),
        )
        if target in block
    ]
    first = block[shown[0][0]]
    rows = []
    for method in ordered(first["scores"]):
        cells = [_measure(block[target]["scores"][method], measure) for target, measure, _ in shown]
        rows.append(CardRow(method, METHODS[method].words, tuple(cells)))
    title = f"What frozen embeddings tell of people, ABIDE ({first['n']} people, whole sites left out)"
    return CardTable(
        "decode_abide", title, "R², years, AUC or accuracy", tuple(n for _, _, n in shown), tuple(rows)
    )


def _measure(scores: Mapping[str, Any], measure: str) -> Score | None:
    if measure == "value":
        return _score(scores)
    return Score(float(scores[measure])) if measure in scores else None


def _score(scores: Mapping[str, Any] | None) -> Score | None:
    if scores is None or scores["value"] is None:
        return None
    interval = scores["ci95"]
    return Score(float(scores["value"]), None if interval is None else (interval[0], interval[1]))


def _bars(tables: Mapping[str, CardTable]) -> tuple[BarDistance, ...]:
    masked, forecast, networks, decode = (
        tables[k] for k in ("masked_hcp", "forecast_hcp", "networks_hcp", "decode_abide")
    )
    over_ridge = _gap(masked, "ridge", tuple(BEST_LINEAR_OVER_RIDGE))
    over_ar = _gap(forecast, "ar", tuple(BEST_MIX_OVER_AR))
    first_five = tuple(f"step {s}" if s == 1 else str(s) for s in range(1, 6))
    people = tuple(c for c in decode.columns if c.endswith(("R²", "AUC")))
    window, average = (_value(networks, "model", networks.columns[i]) for i in (0, 2))
    return (
        _bar("masked_ridge", "masked reconstruction (HCP) above ridge", over_ridge),
        _bar(
            "masked_best_linear",
            "masked reconstruction (HCP) above the best linear method (.026 / .022 / .031 over ridge)",
            {c: over_ridge[c] - b for c, b in BEST_LINEAR_OVER_RIDGE.items()},
        ),
        _bar(
            "networks_window",
            "networks from one window above connectivity and coordinates (.734)",
            {"one window": window - NETWORKS_WINDOW},
        ),
        _bar(
            "networks_average",
            "networks averaged over recordings above group connectivity (.838)",
            {"average over recordings": average - NETWORKS_AVERAGE},
        ),
        _bar(
            "forecast_ar",
            "forecast (HCP) above autoregression at each of the first five steps",
            _gap(forecast, "ar", first_five),
        ),
        _bar(
            "forecast_mix",
            "forecast (HCP) above the best linear mix (.054 / .052 / .024 over autoregression)",
            {c: over_ar[c] - b for c, b in BEST_MIX_OVER_AR.items()},
        ),
        _bar(
            "forecast_mean",
            "forecast (HCP) no worse than the mean later",
            _gap(forecast, "mean", ("10", "20")),
        ),
        _bar(
            "embeddings",
            "frozen embeddings on unseen sites no worse than connectivity",
            _gap(decode, "functional_connectivity", people),
        ),
    )


def _value(table: CardTable, method: str, column: str) -> float:
    row = table.row(method)
    score = None if row is None else row.values[table.columns.index(column)]
    if score is None:
        raise ValueError(f"{table.key} has no {method} at {column}")
    return score.value


def _gap(table: CardTable, method: str, columns: Sequence[str]) -> dict[str, float]:
    return {c: _value(table, "model", c) - _value(table, method, c) for c in columns}


def _bar(key: str, bar: str, distance: Mapping[str, float]) -> BarDistance:
    values = tuple(round(d, 4) for d in distance.values())
    return BarDistance(key, bar, tuple(distance), values, min(values) >= 0)


def main(argv: list[str] | None = None) -> int:
    """Write the card of the evaluations named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("cortex", "volume", "decode"):
        parser.add_argument(name, type=Path, metavar=f"{name.upper()}.json")
    parser.add_argument("--into", type=Path, required=True, help="folder with the weights and MODEL_CARD.md")
    args = parser.parse_args(argv)
    cortex, volume, decode = (
        json.loads(p.read_text("utf-8")) for p in (args.cortex, args.volume, args.decode)
    )
    build_card(cortex, volume, decode).save(args.into)
    card = load_card(args.into)  # as it is stored: rounding twice would differ in the last digit
    assert card is not None
    path = args.into / MARKDOWN_NAME
    path.write_text(fill_markdown(path.read_text(encoding="utf-8"), card), encoding="utf-8")
    sys.stdout.write(f"{args.into / 'card.json'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
