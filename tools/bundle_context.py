"""Bundle a trained context network: its gains and its card; the process lies beside it, in weights/default.

    python tools/bundle_context.py runs/context/model
    python tools/bundle_context.py --evaluation OUT/evaluation.json

The gains were trained against a process that never saw the people who were held back. What is bundled reads
against the default's process, which was fitted on everybody. The card is what ``brainlm evaluate --parts
context`` found of the weights that never saw those people.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from brainlm_core.features.shared.model_card import BarDistance, CardRow, CardTable, ModelCard, Score  # noqa: E402
from brainlm_core.model.checkpoints import CONFIG_NAME, SAFETENSORS_NAME, load_folder, save_tensors  # noqa: E402
from brainlm_core.model.context.model import ContextModel  # noqa: E402

OUT = ROOT / "assets" / "weights" / "context"
MASKS = {"random20": "20 %", "random75": "75 %", "random90": "90 %", "parcel": "whole parcels"}
#: In the evaluation, key in the table of methods, words.
MASKED = (
    ("model", "model", "with the recording"),
    ("process_with_recording", "other", "Gaussian process with the recording"),
    ("model_one_window", "other", "one window"),
    ("process_one_window", "other", "Gaussian process, one window"),
    ("ridge", "ridge", "ridge"),
    ("attention_of_the_group", "other", "person heads frozen at the group"),
    ("attention_of_another_person", "other", "reading another person's recording"),
    ("attention_of_noise", "white_noise", "reading white noise"),
)
MAPS = (
    ("group_share_0", "attention", "this scan"),
    ("group_share_0.1", "other", "steadied, group share 10 %"),
    ("group_share_0.2", "other", "steadied, group share 20 %"),
    ("group_share_0.5", "other", "steadied, group share 50 %"),
    ("connectivity", "functional_connectivity", "functional connectivity of the same data"),
)
#: How much more than the process with the recording the network has to explain.
AHEAD = {"random20": 0.005, "random75": 0.005, "random90": 0.002, "parcel": 0.005}


def main() -> None:
    """Write config.json, model.safetensors and card.json into assets/weights/context."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="model/ of a run of the context family")
    parser.add_argument("--evaluation", type=Path, help="evaluation.json of that model on people held back")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if args.model is not None:
        bundle(args.model)
    if args.evaluation is not None:
        card(json.loads(args.evaluation.read_text(encoding="utf-8"))).save(OUT)


def bundle(folder: str) -> None:
    """Write the gains of a run."""
    model = load_folder(folder)
    if not isinstance(model, ContextModel):
        raise SystemExit("these weights are not of the context family")
    gains = {k: v.contiguous() for k, v in model.state_dict().items() if k.startswith("inferences.")}
    save_tensors(gains, OUT / SAFETENSORS_NAME)
    config = replace(model.config, process_folder="default")
    (OUT / CONFIG_NAME).write_text(json.dumps(config.to_dict(), indent=1) + "\n", encoding="utf-8")


def card(evaluation: dict[str, Any]) -> ModelCard:
    """Return the figures of an evaluation as a card."""
    masked, maps = evaluation["context"]["masked_r2"], evaluation["context"]["maps_of_halves"]
    people = evaluation["n_subjects"]
    tables = (
        CardTable(
            "masked_context",
            f"Masked reconstruction, R², HCP ({people} subjects)",
            "R²",
            tuple(MASKS.values()),
            tuple(
                CardRow(key, words, tuple(_score(masked[mask][name]) for mask in MASKS))
                for name, key, words in MASKED
            ),
            f"Settings were looked at on the same {people} people, which flatters a little.",
        ),
        CardTable(
            "maps_context",
            f"Known networks in maps of half a recording, k-NN accuracy, HCP ({people} subjects)",
            "share",
            ("a person", "white noise"),
            tuple(
                CardRow(key, words, tuple(Score(maps[name][of]) for of in ("knn_person", "knn_noise")))
                for name, key, words in MAPS
            ),
            "A map that names networks in noise shows the group.",
        ),
    )
    own, noise = maps["group_share_0"], maps["group_share_0"]["knn_noise"]
    bars = (
        _bar("ahead", "process with the recording plus .005, at 90 % plus .002", {
            MASKS[m]: masked[m]["process_with_recording"]["model_minus_this"]["value"] - AHEAD[m]
            for m in MASKS
        }),
        _bar("one_window", "process with one window", {
            MASKS[m]: masked[m]["model_one_window"]["value"] - masked[m]["process_one_window"]["value"]
            for m in MASKS
        }),
        _bar("frozen", "frozen attention plus .02", {
            MASKS[m]: masked[m]["attention_of_the_group"]["model_minus_this"]["value"] - 0.02 for m in MASKS
        }),
        _bar("networks", "networks of this scan: connectivity plus .03; of noise at most .25", {
            "a person": own["knn_person"] - maps["connectivity"]["knn_person"] - 0.03,
            "white noise": 0.25 - noise,
        }),
    )  # fmt: skip
    return ModelCard(tables, bars, "95 % bootstrap over subjects")


def _score(found: dict[str, Any]) -> Score:
    interval = found["ci95"]
    return Score(found["value"], None if interval is None else (interval[0], interval[1]))


def _bar(key: str, words: str, distance: dict[str, float]) -> BarDistance:
    values = tuple(distance.values())
    return BarDistance(key, words, tuple(distance), values, min(values) >= 0)


if __name__ == "__main__":
    main()
