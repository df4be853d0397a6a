"""Compared methods: the one table that every race, strip, chart, report, card and command reads.

A method is declared once: its key (the same in every JSON file, table and card), what it is called, how it
is drawn, and in which tasks it takes part. Its place in :data:`METHODS` is its place in every list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["model", "control", "baseline"]
#: Tasks in which methods are compared.
TASKS = ("networks", "forecast", "perturb", "reconstruct", "decode")
#: Names of dashes -> pattern of an SVG stroke.
SVG_DASHES: Mapping[str, str] = {
    "solid": "",
    "dot": "2 4",
    "dash": "8 5",
    "dashdot": "8 4 2 4",
    "longdash": "14 5",
    "longdashdot": "14 4 2 4",
}


@dataclass(frozen=True)
class Wording:
    """What a method is called in one task.

    Parameters
    ----------
    title : str
        As a row or in a legend.
    words : str
        Inside a sentence.
    """

    title: str
    words: str


@dataclass(frozen=True)
class Method:
    """One compared method.

    Parameters
    ----------
    key : str
        In every file and table.
    kind : {"model", "control", "baseline"}
        What is judged; the same model asked of something that it should not know; or what needs no model.
    title, words : str
        As a row or in a legend; inside a sentence.
    light, dark : str
        Colour, ``"#rrggbb"``.
    marker : {"circle", "hollow", "square", "diamond", "bar"}
    dash : str
        Key of :data:`SVG_DASHES`.
    tasks : mapping of str to Wording
        Tasks that it takes part in, with what it is called there.
    """

    key: str
    kind: Kind
    title: str
    words: str
    light: str
    dark: str
    marker: str = "bar"
    dash: str = "solid"
    tasks: Mapping[str, Wording] = field(default_factory=dict)

    def colour(self, theme: str) -> str:
        """Return its colour in the theme ``light`` or ``dark``."""
        return self.dark if theme == "dark" else self.light

    @property
    def svg_dash(self) -> str:
        """Dash pattern of an SVG stroke; empty for a solid line."""
        return SVG_DASHES[self.dash]


_ACCENT = ("#0B6B75", "#4CC2C4")
_GREY = ("#55626C", "#B9C4CB")
_BROWN = ("#7A4B12", "#D9A45B")
_VIOLET = ("#5A4FA3", "#A79BE8")
_PLUM = ("#7A2E5C", "#DE93BE")
_GREEN = ("#3E5C1E", "#A9CC7E")

_TABLE = (
    Method(
        "model", "model", "Model", "model", *_ACCENT, marker="circle",
        tasks={
            "forecast": Wording("Model", "the model"),
            "reconstruct": Wording("Model", "the model"),
            "decode": Wording("Model", "model"),
        },
    ),
    Method(
        "attention", "model", "Model's attention", "attention of the model", *_ACCENT, marker="circle",
        tasks={
            "networks": Wording("Model's attention", "attention of the model"),
            "perturb": Wording("Attention of the targets", "attention of the targets (their row)"),
        },
    ),
    Method(
        "attention_to_seed", "baseline", "Attention to the targets", "attention to the targets",
        "#3B7D84", "#86CDD0",
        tasks={"perturb": Wording("Attention to the targets", "attention to the targets (their column)")},
    ),
    Method(
        "prior", "control", "Its prior alone", "its prior alone", "#3B7D84", "#86CDD0", dash="dashdot",
        tasks={"reconstruct": Wording("Its prior alone", "the model's prior alone")},
    ),
    Method(
        "no_scan", "control", "No scan: phases shuffled", "the same model without a scan (phases shuffled)",
        "#9C3D1E", "#F0A07F", marker="hollow", dash="dot",
        tasks={
            "networks": Wording("No scan: phases shuffled", "the model's attention to no scan"),
            "perturb": Wording("No scan: phases shuffled", "the model's response without a scan"),
            "forecast": Wording("No scan", "the model on no scan (phases shuffled)"),
            "reconstruct": Wording("No scan", "the model on no scan (phases shuffled)"),
        },
    ),
    Method(
        "white_noise", "control", "White noise", "the same model asked of white noise", "#8A5A00", "#E8B85A",
        marker="hollow", dash="dot",
        tasks={"networks": Wording("White noise", "the model's attention to white noise")},
    ),
    Method(
        "random_twin", "control", "Random weights", "random-weights twin", "#6B7780", "#9AA8B1",
        marker="hollow", dash="longdash",
        tasks={
            "networks": Wording("Random weights", "attention of its random-weights twin"),
            "forecast": Wording("Random weights", "the random-weights twin"),
            "perturb": Wording("Random-weights twin", "response of the random-weights twin"),
            "reconstruct": Wording("Random weights", "random weights"),
            "decode": Wording("Random weights", "random weights"),
        },
    ),
    Method(
        "group_ridge", "baseline", "Group without a scan", "ridge on the group's covariance", *_GREEN,
        marker="square", dash="dash",
        tasks={"perturb": Wording("Group without a scan", "ridge on the group's covariance, without a scan")},
    ),
    Method(
        "published_effective_connectivity", "baseline", "Published effective connectivity",
        "published effective connectivity", "#1F4E8C", "#8DB5EE", marker="square",
        tasks={
            "perturb": Wording(
                "Published effective connectivity", "published effective connectivity of 800 people"
            )
        },
    ),
    Method(
        "functional_connectivity", "baseline", "Functional connectivity", "functional connectivity", *_BROWN,
        marker="square", dash="dash",
        tasks={
            "networks": Wording("Functional connectivity", "functional connectivity of the same window"),
            "perturb": Wording("Functional connectivity", "functional connectivity with the targets"),
            "decode": Wording("Functional connectivity", "functional connectivity"),
        },
    ),
    Method(
        "functional_connectivity_centred", "baseline", "Connectivity, treated as attention",
        "functional connectivity, treated as attention is", "#94622A", "#E3BA82", marker="square",
        tasks={
            "networks": Wording(
                "Connectivity, treated as attention", "functional connectivity, treated as attention is"
            )
        },
    ),
    Method(
        "coordinates", "baseline", "Coordinates alone", "coordinates", *_VIOLET, marker="diamond",
        tasks={"networks": Wording("Coordinates alone", "parcel coordinates alone")},
    ),
    Method(
        "distance", "baseline", "Nearness", "nearness", *_VIOLET, marker="diamond",
        tasks={"perturb": Wording("Nearness", "nearness to the targets")},
    ),
    Method(
        "connectivity_coordinates", "baseline", "Both together", "connectivity and coordinates", *_PLUM,
        tasks={"networks": Wording("Both together", "connectivity and coordinates together")},
    ),
    Method(
        "group_connectivity", "baseline", "Group connectivity, no scan", "group connectivity", *_GREEN,
        marker="square",
        tasks={
            "networks": Wording(
                "Group connectivity, no scan", "the group's average connectivity, without a scan"
            )
        },
    ),
    Method(
        "mean", "baseline", "Mean", "mean", *_GREY, dash="dot",
        tasks={
            "forecast": Wording("Mean", "the mean"),
            "reconstruct": Wording("Mean", "each parcel's mean"),
        },
    ),
    Method(
        "interpolation", "baseline", "Interpolation in time", "interpolation", "#A0522D", "#E6A57E",
        marker="diamond", dash="dash",
        tasks={"reconstruct": Wording("Interpolation in time", "interpolation in time")},
    ),
    Method(
        "last_value", "baseline", "Last value", "last value", *_PLUM, marker="diamond", dash="dash",
        tasks={
            "forecast": Wording("Last value", "the last value"),
            "reconstruct": Wording("Last value", "the last value seen"),
        },
    ),
    Method(
        "ar", "baseline", "Own AR", "own autoregression", *_VIOLET, marker="square", dash="dashdot",
        tasks={"forecast": Wording("Own AR", "each parcel's own AR")},
    ),
    Method(
        "ridge", "baseline", "Ridge VAR", "ridge", *_BROWN, marker="square",
        tasks={
            "forecast": Wording("Ridge VAR", "ridge VAR"),
            "reconstruct": Wording("Ridge, visible parcels", "ridge from the visible parcels"),
        },
    ),
    Method(
        "linear_mix", "baseline", "Linear mix", "training-free linear mix", *_GREEN, marker="square",
        dash="longdashdot",
        tasks={"forecast": Wording("Linear mix", "the training-free linear mix")},
    ),
    Method(
        "autocorrelation", "baseline", "Lag-1 autocorrelation", "lag-1 autocorrelation", *_VIOLET,
        marker="diamond",
        tasks={"decode": Wording("Lag-1 autocorrelation", "lag-1 autocorrelation")},
    ),
    Method(
        "confounds", "baseline", "Age, sex, motion, scanner", "age, sex, motion, TR and length", *_GREEN,
        marker="square", dash="dashdot",
        tasks={"decode": Wording("Age, sex, motion, scanner", "age, sex, motion, scanner")},
    ),
    Method(
        "dummy", "baseline", "Same guess for everyone", "dummy", *_GREY, dash="dot",
        tasks={"decode": Wording("Same guess for everyone", "same guess for everyone")},
    ),
    Method("other", "baseline", "Other", "other", *_GREY),
)  # fmt: skip
#: Key -> method, in the order in which everything lists them.
METHODS: dict[str, Method] = {method.key: method for method in _TABLE}
#: Keys of earlier versions -> today's.
FORMER_KEYS: Mapping[str, str] = {"connectivity_and_coordinates": "connectivity_coordinates"}


def methods_of(task: str, *kinds: Kind) -> tuple[str, ...]:
    """Return the keys of the methods that take part in a task, in order; of some kinds only if named."""
    return tuple(k for k, m in METHODS.items() if task in m.tasks and (not kinds or m.kind in kinds))


def ordered(keys: Iterable[str]) -> list[str]:
    """Return keys in the order of the table; unknown ones are left out."""
    present = set(keys)
    return [key for key in METHODS if key in present]


def title_of(key: str, task: str | None = None) -> str:
    """Return what a method is called as a row or in a legend."""
    method = METHODS[key]
    return method.title if task is None or task not in method.tasks else method.tasks[task].title


def words_of(key: str, task: str | None = None) -> str:
    """Return what a method is called inside a sentence."""
    method = METHODS[key]
    return method.words if task is None or task not in method.tasks else method.tasks[task].words


def best_baseline(scores: Mapping[str, float], task: str) -> str | None:
    """Return the baseline with the highest score, models and controls not counted; None without any."""
    known = [key for key in methods_of(task, "baseline") if key in scores and scores[key] == scores[key]]
    return max(known, key=lambda key: scores[key]) if known else None
