"""Attention as pictures: units, limits, brain panels, and the sentence that says who wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.methods import best_baseline, methods_of, title_of, words_of
from brainlm_core.features.networks.metrics import Score
from brainlm_core.features.networks.scores import Clustering, MethodScores
from brainlm_core.features.shared.scan_dependence import ScanDependence
from brainlm_core.viz.palette import NETWORK_COLOURS, group_words
from brainlm_core.viz.panels import BrainPanel, Category
from brainlm_core.viz.strip import Row
from brainlm_core.viz.words import groups_present, label

if TYPE_CHECKING:
    from brainlm_core.features.networks.analysis import AttentionView

#: Where the scale of correlations is cut.
LIMIT_R = 0.8
#: Unit of attention on the page: 1 is what an even spread over all parcels would give.
EVEN = "× even spread"
#: Published 5-fold accuracy of attention, with what it was measured on: another protocol, never drawn beside.
PUBLISHED_WORDS = (
    "Published for attention of the 111M model on UK Biobank recordings: 0.588 (Ortega Caro et al. 2024); "
    "its recordings, labels and folds differ, so it is not drawn beside these."
)
#: What attention is, by family: only where taking it away changes the answers is it what the model reads.
#: In the token families nothing else passes between parcels.
_ATTENTION_IS = {
    "kernel": "Attention of this model is read from its kernel. Its answers hardly pass through it: "
    "without the trained attention they explain 0.001 less.",
    "parcel_token": "Attention says what the model reads, not what drives what.",
    "image_token": "Attention says what the model reads, not what drives what.",
    "context": "Attention says what the model reads, not what drives what.",
}
#: In tables only: a strip of everything would be read by nobody.
_TABLE_ONLY = ("functional_connectivity_centred", "white_noise")
#: Colours of clusters that match no known network.
_SPARE = (
    "#8C6D31",
    "#17A2B8",
    "#B5CF6B",
    "#7B4173",
    "#3182BD",
    "#E7969C",
    "#637939",
    "#FD8D3C",
    "#756BB1",
    "#9C9EDE",
)


def relative(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return attention in units of an even spread: each value times the number of parcels."""
    return np.asarray(values * values.shape[-1], dtype=np.float32)


def limits(values: ArrayLike) -> tuple[float, float]:
    """Return 0 and the 99th percentile, so that a few strong cells do not flatten the rest."""
    array = np.asarray(values)
    top = float(np.nanpercentile(array, 99))
    return (0.0, top if top > 0 else 1.0)


def known_networks(parcellation: Parcellation) -> BrainPanel:
    """Return the panel of the known networks, with subcortex and cerebellum in greys."""
    groups = groups_present(parcellation)
    index = {group: i for i, group in enumerate(groups)}
    return BrainPanel(
        "Known networks (Yeo 2011)",
        np.array([index[g] for g in parcellation.group], dtype=np.float32),
        scale="categories",
        categories=[Category(group_words(g), NETWORK_COLOURS[g]) for g in groups],
        alt="Brain surface coloured by the seven known cortical networks, subcortex and cerebellum.",
    )


def found_networks(clustering: Clustering) -> BrainPanel:
    """Return the panel of the networks found in the attention, in the colours of those they match."""
    values = clustering.labels.astype(np.float32)
    values[values < 0] = np.nan
    return BrainPanel(
        "Networks in the model's attention",
        values,
        scale="categories",
        categories=cluster_categories(clustering),
        alt=f"Brain surface coloured by {len(clustering.names)} networks found in the model's attention.",
    )


def cluster_categories(clustering: Clustering) -> list[Category]:
    """Return name and colour of each cluster; matched ones look like the network they match."""
    spare = iter(_SPARE * 4)
    return [
        Category(
            f"Like {group_words(name)}" if matched else name,
            NETWORK_COLOURS[name] if matched else next(spare),
        )
        for name, matched in zip(clustering.names, clustering.matched, strict=True)
    ]


def attention_row(values: NDArray[np.float32], parcellation: Parcellation, parcel: int) -> BrainPanel:
    """Return the panel of one parcel's attention; the parcel itself is left out of the scale."""
    row = relative(values[parcel])
    others = np.delete(row, parcel)
    return BrainPanel(
        f"Where {parcellation.names[parcel]} attends",
        row,
        EVEN,
        "sequential",
        limits(others),
        alt=f"Brain surface coloured by the attention from {label(parcellation, parcel)} to every parcel.",
    )


def connectivity_row(connectivity: ArrayLike, parcellation: Parcellation, parcel: int) -> BrainPanel:
    """Return the panel of one parcel's functional connectivity in the same window."""
    return BrainPanel(
        f"Functional connectivity of {parcellation.names[parcel]}",
        np.asarray(connectivity, dtype=np.float32)[parcel],
        "correlation",
        "diverging",
        (-LIMIT_R, LIMIT_R),
        alt=f"Brain surface coloured by the correlation of every parcel with {label(parcellation, parcel)}.",
    )


def added_by_scan(found: ScanDependence, parcellation: Parcellation, parcel: int) -> list[BrainPanel]:
    """Return one parcel's row of the scan's map, of the map of no scan, and of what the scan adds.

    The difference is shrunk where the halves of the recording disagree, so that noise fades.
    """
    name = parcellation.names[parcel]
    rows = np.stack([found.scan[parcel], found.no_scan[parcel]])
    top = float(np.nanpercentile(np.abs(rows), 98)) or 1.0
    gap = found.faded()[parcel]
    # The scale is that of the unfaded difference: a difference that is not reliable has to look faint.
    reach = float(np.nanpercentile(np.abs(found.difference), 99)) or 1.0
    unit, about = "log₂ × even spread", f"attention of {label(parcellation, parcel)}"
    return [
        BrainPanel(f"This scan: {name}", rows[0], unit, "diverging", (-top, top), alt=f"Map of the {about}."),
        BrainPanel(
            "No scan: what all brains share", rows[1], unit, "diverging", (-top, top),
            alt=f"The same for a recording with shuffled phases: {about}.",
        ),
        BrainPanel(
            "What this scan adds, faded where halves disagree", gap, "log₂ ratio", "diverging",
            (-reach, reach), alt=f"Difference of the two maps, faded where it is not reliable: {about}.",
        ),
    ]  # fmt: skip


def summary_map(cls: NDArray[np.float32]) -> BrainPanel:
    """Return the panel of the summary token's attention."""
    values = relative(cls)
    return BrainPanel(
        "Where the summary token attends",
        values,
        EVEN,
        "sequential",
        (float(np.percentile(values, 1)), float(np.percentile(values, 99)) or 1.0)
        if np.percentile(values, 99) > np.percentile(values, 1)
        else None,
        alt="Brain surface coloured by the attention of the model's summary token to every parcel.",
    )


def strip_rows(scores: Sequence[MethodScores], measure: str) -> list[Row]:
    """Return the rows of the baseline strip; methods not scored yet are there, without a value.

    Parameters
    ----------
    scores : sequence of MethodScores
        As far as they are known.
    measure : {"knn", "ari"}
        Which score.
    """
    shown = [m for m in methods_of("networks") if m not in _TABLE_ONLY]
    if measure == "ari":
        shown.remove("connectivity_coordinates")  # it is not clustered
    by_method = {row.method: row for row in scores}
    rows = []
    for method in shown:
        score = getattr(by_method[method], measure) if method in by_method else None
        rows.append(
            Row(method, None, label=title_of(method, "networks"))
            if score is None
            else Row(method, score.value, score.ci95, title_of(method, "networks"), score.reason)
        )
    return rows


def attention_words(family: str) -> str:
    """Say what attention of a model family is: what it reads only where an ablation shows that."""
    return _ATTENTION_IS.get(family, "Attention does not say what drives what.")


def who_wins(
    scores: Sequence[MethodScores], *, is_random: bool = False, dependence: ScanDependence | None = None
) -> str:
    """Say how the model compares; only what stands above no scan is claimed for the scan.

    Parameters
    ----------
    scores : sequence of MethodScores
        As far as they are known.
    is_random : bool
        Whether the model in hand was never trained itself.
    dependence : ScanDependence, optional
        Once it is known.
    """
    by_method = {row.method: row.knn for row in scores}
    own = by_method.get("attention")
    if own is None:
        return "Reading which networks the model's attention draws."
    if own.value is None:
        return f"No score can be given: {own.reason}."
    control = by_method.get("no_scan")
    whose = "the attention of random weights" if is_random else "the model's attention"
    if control is None or control.value is None:
        text = f"{_capital(whose)} names the known network of {own.value:.0%} of parcels"
        text += _beside(own, by_method) + ". Whether that is from this scan is being asked."
    elif _against(own, control) != "more often than" or (dependence and dependence.depends is False):
        text = (
            "This picture shows what all brains share, not this scan: "
            f"{whose} names the known network of {own.value:.0%} of parcels, and of {control.value:.0%} when "
            f"the scan is taken away (phases shuffled)."
        )
        scan = by_method.get("functional_connectivity")
        if scan is not None and scan.value is not None:
            text += f" Functional connectivity, which knows nothing but this scan, names {scan.value:.0%}."
    else:
        text = f"{_capital(whose)} names the known network of {own.value:.0%} of parcels"
        text += _beside(own, by_method) + f"; without the scan it names {control.value:.0%}."
    twin = by_method.get("random_twin")
    if twin is not None and twin.value is not None and not is_random:
        if _against(own, twin) == "more often than":
            text += f" Without training it names {twin.value:.0%}."
        else:
            text += f" Training adds nothing here: random weights name {twin.value:.0%}."
    return text.replace("%", " %")


def _beside(own: Score, by_method: Mapping[str, Score]) -> str:
    known = {m: s.value for m, s in by_method.items() if s.value is not None}
    best = best_baseline(known, "networks")
    if best is None:
        return ""
    return f", {_against(own, by_method[best])} {words_of(best, 'networks')} ({by_method[best].value:.0%})"


def dependence_words(found: ScanDependence) -> str:
    """Say in figures how far a map is the scan's."""
    text = f"The map correlates {found.no_scan_correlation:.2f} with the map of no scan"
    if found.split_half_correlation is None:
        return f"{text}; {found.reason}, so nobody can say how steady it is."
    text += f", and {found.split_half_correlation:.2f} between the halves of this recording."
    added = found.added_split_half_correlation
    if added is not None:
        text += f" What the scan adds correlates {added:.2f} between the halves (0 for noise)."
    return text.replace("-", "−")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _against(own, other) -> str:  # type: ignore[no-untyped-def]
    """Compare two scores on the same parcels: apart only when neither lies in the other's interval."""
    if own.value > other.value and not (_inside(own.value, other) or _inside(other.value, own)):
        return "more often than"
    if own.value < other.value and not (_inside(own.value, other) or _inside(other.value, own)):
        return "less often than"
    return "about as often as"


def _inside(value: float, score) -> bool:  # type: ignore[no-untyped-def]
    return score.ci95 is not None and score.ci95[0] <= value <= score.ci95[1]


def strongest_groups(row: NDArray[np.float32], parcellation: Parcellation, parcel: int) -> str:
    """Say which groups of parcels a parcel attends to most, itself left out."""
    values = relative(row)
    values[parcel] = np.nan
    groups = np.array(parcellation.group)
    means = {
        g: float(np.nanmean(values[groups == g]))
        for g in groups_present(parcellation)
        if (groups == g).sum() > 1
    }
    top = sorted(means, key=means.__getitem__, reverse=True)[:3]
    named = ", ".join(f"{group_words(g)} {means[g]:.1f}" for g in top)
    return f"{label(parcellation, parcel)} attends most to {named} (mean {EVEN}, itself left out)."


def thumbnail_scale(view: AttentionView) -> NDArray[np.float32]:
    """Return thumbnails of all layers and heads, each scaled 0–1 to its own values off the diagonal."""
    from brainlm_core.features.networks.analysis import thumbnails

    small = thumbnails(view)
    m = small.shape[-1]
    apart = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) > 1
    # The diagonal (a parcel's attention to itself) would otherwise be all that one sees of a head.
    low, high = (v[..., None, None] for v in np.percentile(small[..., apart], [1, 99], axis=-1))
    return np.asarray(np.clip((small - low) / np.maximum(high - low, 1e-12), 0, 1), dtype=np.float32)


def export_maps(
    cls: NDArray[np.float32],
    clustering: Clustering | None,
    attention: NDArray[np.float32],
    picked: int | None,
    parcellation: Parcellation,
) -> tuple[NDArray[np.float32], list[str]]:
    """Return the maps of the page, (n_maps, n_parcels), and their names."""
    maps, names = [relative(cls)], ["summary token attention (x even spread)"]
    if clustering is not None:
        maps.insert(0, (clustering.labels + 1).astype(np.float32))
        found = "; ".join(f"{i} {name}" for i, name in enumerate(clustering.names, 1))
        names.insert(0, f"networks in attention (0 none; {found})")
    if picked is not None:
        maps.append(relative(attention[picked]))
        names.append(f"attention of {parcellation.names[picked]} (x even spread)")
    return np.stack(maps).astype(np.float32), names
