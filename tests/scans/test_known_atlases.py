"""The known parcellations: spellings fold to one, names are found in any order, positions are right."""

from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.errors import AtlasError
from brainlm_core.scans.atlases import (
    NameMatch,
    PositionsNotHere,
    atlas_parcellation,
    atlas_table,
    atlases_in_file_name,
    column_rows,
    is_here,
    known_atlas,
    known_atlases,
    match_names,
)
from brainlm_core.scans.atlases.match import name_digests
from brainlm_core.scans.atlases.names import digests, fold_name, numbers_in

CORTEX = a424_cortex().names
ONE_OF_EACH = ("a424", "a424-cortex", "glasser-left-first", "glasser-379", "tian-s2", "schaefer-200-7",
               "schaefer-100-17", "4s-156", "tian-s4+schaefer-100-7", "tian-s1+glasser")  # fmt: skip


COUNT = iter(range(1, 10_000))


def _side(name: str) -> tuple[str, str]:
    return name[0], name[2:]


SPELLINGS = {
    "suffix": lambda s, r: f"{s}_{r}_ROI",
    "word": lambda s, r: f"{ {'L': 'Left', 'R': 'Right'}[s] }_{r}",
    "at the end": lambda s, r: f"{r}_{s}",
    "word at the end": lambda s, r: f"{r} { {'L': 'left', 'R': 'right'}[s] }",
    "lh twice": lambda s, r: f"{s.lower()}h.{s}_{r}",
    "capitals": lambda s, r: f"{s}H_{r}".upper(),
    "hyphens": lambda s, r: f"{s}-{r}".replace("_", "-"),
    "FreeSurfer": lambda s, r: f"ctx-{s.lower()}h-{r}",
    "glued": lambda s, r: f"{s.lower()}h{r}",
    "R": lambda s, r: f"X{s}.{r}".replace("X", "").replace("-", "."),
    "counted": lambda s, r: f"{next(COUNT)}_{s}_{r}",
    "common words": lambda s, r: f"bold mean of {s}_{r}",
    "hemi": lambda s, r: f"hemi-{s}_{r}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_any_spelling_in_any_order_finds_every_parcel(spelling: str) -> None:
    order = np.random.default_rng(3).permutation(360)
    names = [SPELLINGS[spelling](*_side(CORTEX[i])) for i in order]
    found = match_names(names)
    assert isinstance(found, NameMatch), found
    assert found.atlas.key == "a424-cortex"
    assert np.array_equal(found.rows, order)


@pytest.mark.parametrize(
    "key", [k for k, a in known_atlases().items() if not a.parts and a.place == "bundled"]
)
def test_bundled_names_are_those_that_are_recognised(key: str) -> None:
    own = name_digests(key)
    if own is not None:
        assert np.array_equal(own, digests([fold_name(n) for n in atlas_table(key).names]))


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_permuted_names_find_every_parcel(key: str) -> None:
    table, known = atlas_table(key), atlas_parcellation(key)
    order = np.random.default_rng(1).permutation(len(table.names))
    found = match_names([table.names[i] for i in order])
    assert isinstance(found, NameMatch)
    there = atlas_parcellation(found.atlas.key)
    rows = column_rows(found.atlas.key)[found.rows]
    assert np.array_equal(there.xyz[rows], known.xyz[column_rows(key)[order]])


def test_both_orders_of_glasser_are_one_parcellation() -> None:
    assert atlas_parcellation("glasser-left-first") is a424_cortex()
    left = atlas_table("glasser-left-first")
    assert left.names[0] == "L_V1" and left.names[180] == "R_V1"
    assert np.array_equal(a424_cortex().xyz[column_rows("glasser-left-first")], left.xyz)


def test_lost_parcels_and_strangers() -> None:
    found = match_names([n for i, n in enumerate(CORTEX) if i not in (7, 8, 300)])
    assert isinstance(found, NameMatch) and found.n_lost == 3
    names = [*CORTEX[:200], "R_nonsense", *CORTEX[201:]]
    differs = match_names(names)
    assert not isinstance(differs, NameMatch)
    assert differs.differ == ("R_nonsense",) and differs.atlas is not None
    unknown = match_names([f"my region {c}" for c in "abcdefgh"])
    assert not isinstance(unknown, NameMatch) and unknown.atlas is None


def test_a_name_twice_is_no_match() -> None:
    assert not isinstance(match_names([CORTEX[0], *CORTEX[:359]]), NameMatch)


def test_sizes_of_one_family_are_told_apart() -> None:
    names = atlas_table("schaefer-400-7").names
    for lost in (0, 3):
        found = match_names(names[lost:])
        assert isinstance(found, NameMatch) and found.atlas.key == "schaefer-400-7" and found.n_lost == lost
    assert not isinstance(match_names(names[:150]), NameMatch)


def test_cases_that_only_case_tells_apart() -> None:
    keys = [fold_name(n).key for n in (*atlas_table("tian-s2").names, *a424().names)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("sub-01_task-rest_seg-Glasser_timeseries.tsv", {"a424-cortex", "glasser-left-first"}),
        ("sub-01_atlas-4S456Parcels_timeseries.tsv", {"4s-456"}),
        ("sub-01_rois_cc200.1D", {"cc200"}),
        ("sub-01_Schaefer2018_400Parcels_17Networks_order.csv", {"schaefer-400-17"}),
        ("sub-01_seg-Schaefer100_bold.csv", {"schaefer-100-7", "schaefer-100-17"}),
        ("sub-01_atlas-Schaefer417_timeseries.tsv", {"schaefer-400-17"}),
        ("sub-01_desc-aparcaseg_timeseries.tsv", {"desikan-killiany-aseg"}),
        ("rest.csv", set()),
    ],
)
def test_file_names_state_the_parcellation(name: str, keys: set[str]) -> None:
    assert {a.key for a in atlases_in_file_name(name)} == keys


def test_names_on_the_command_line() -> None:
    assert known_atlas("A424 Cortex").key == "a424-cortex"
    assert known_atlas("Schaefer2018_400Parcels_7Networks").key == "schaefer-400-7"
    with pytest.raises(AtlasError, match="schaefer-400-7 or --atlas schaefer-400-17"):
        known_atlas("schaefer400")
    with pytest.raises(AtlasError, match="no parcellation is called"):
        known_atlas("nonsense")


@pytest.mark.parametrize(
    "key", [*ONE_OF_EACH, "power", "dosenbach", "seitzman", "cc200", "ho", "schaefer-1000-17"]
)
def test_positions_lie_in_the_brain_on_their_side(key: str) -> None:
    known = atlas_parcellation(key)
    assert known.n_parcels == known_atlas(key).n_parcels
    assert np.abs(known.xyz).max() < 110
    left = np.array([h == "L" for h in known.hemisphere])
    right = np.array([h == "R" for h in known.hemisphere])
    assert known.xyz[left, 0].max(initial=-9) < 3 and known.xyz[right, 0].min(initial=9) > -3


def test_networks_of_schaefer_are_yeos() -> None:
    assert set(atlas_parcellation("schaefer-100-17").yeo7) == {
        "Visual",
        "Somatomotor",
        "Dorsal Attention",
        "Ventral Attention",
        "Limbic",
        "Frontoparietal",
        "Default",
    }


def test_what_may_not_be_bundled_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path))
    assert not is_here(known_atlas("aal"))
    with pytest.raises(PositionsNotHere, match="--atlas aal to fetch"):
        atlas_table("aal")
    with pytest.raises(PositionsNotHere, match="coordinates"):
        atlas_table("gordon")


def test_numbered_columns() -> None:
    assert numbers_in(["1.0", "2.0", "3.0"]) == (1, 2, 3)
    assert numbers_in(["#1", "#2"]) == (1, 2)
    assert numbers_in(["Mean_1", "Mean_2"]) == (1, 2)
    assert numbers_in(["ROI_001", "ROI_010"]) == (1, 10)
    assert numbers_in(["1", "ROI_2"]) is None
    assert numbers_in(["L_4", "L_9"]) is None
