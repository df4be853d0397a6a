"""The Embeddings page without a browser: what it says, what it takes, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.embeddings import exports as embeddings_exports
from app.embeddings.charts import colour_columns
from app.embeddings.state import Desk
from brainlm_core.cohort.files import read_embeddings, write_embeddings
from brainlm_core.cohort.reference import reference_cohort
from brainlm_core.features.attribution.analysis import attribute
from brainlm_core.features.attribution.result import AttributeOptions
from brainlm_core.features.decode.analysis import DecodeResult
from brainlm_core.features.embedding.analysis import make_map
from brainlm_core.features.embedding.comparison import GroupComparison
from brainlm_core.features.embedding.figures import MISSING, point_colour
from tests.cohort.cohort_tools import embeddings

Open = Any


def desk_of(tab: Any) -> Desk:
    return tab.app.session_state["embeddings-desk"]


def show(tab: Any, name: str) -> str:
    tab.app.session_state["emb-tabs"] = name
    return tab.run().words()


def drop(tab: Any, role: str, name: str, content: bytes) -> None:
    tab.widget("file_uploader", f"emb-drop-{role}").set_value((name, content, "application/octet-stream"))
    tab.run().settle()


def packed(folder: Path, cohort: Any) -> bytes:
    return write_embeddings(cohort, folder / "e.parquet").read_bytes()


def test_the_bundled_cohort_is_on_the_map_and_so_is_the_scan_in_hand(open_page: Open) -> None:
    tab = open_page("embeddings.py").settle().run()
    said = tab.words()
    assert "240 simulated recordings of 120 people" in said and "nobody was scanned" in said
    assert "Your scan. Within this cohort" in said
    assert "near each other means alike" in said and "PCA keeps" in said
    assert "Sex and cups of coffee leave no trace." in show(tab, "Cohort")
    columns = tab.widget("selectbox", "emb-colour")
    assert columns.options[:4] == ["Group", "Age (years)", "Sex", "Site"]
    for column in ("age_years", "tr_s", "mean_autocorrelation"):
        columns.set_value(column)
        tab.run()


def test_a_selection_is_listed_and_compared(open_page: Open) -> None:
    tab = open_page("embeddings.py").settle()
    assert "Nothing is selected" in show(tab, "Selection")
    young = np.flatnonzero((reference_cohort().phenotypes["age_years"] < 45).to_numpy())
    desk_of(tab).selected = young
    assert f"{len(young)} recordings of {len(young) // 2} people." in show(tab, "Selection")
    said = show(tab, "Selected against the rest")
    tab.settle()
    said = tab.run().words()
    assert f"{len(young) // 2} selected people against" in said and "A selection by eye" in said
    result = next(v for v in desk_of(tab).kept.values() if isinstance(v, GroupComparison))
    assert result.phenotypes["column"][0] == "age_years"
    desk_of(tab).selected = young[:4]
    said = show(tab, "Selected against the rest")
    said = tab.settle().run().words()
    assert "Only 2 people are selected." in said


def test_what_the_embedding_uses_and_every_map(open_page: Open, tmp_path: Path) -> None:
    tab = open_page("embeddings.py").settle()
    own = planted()
    scanner = np.array(["ABCD".index(site) for site in own.sites])[:, None] * np.linspace(
        1, 2, own.cls.shape[1]
    )
    sited = replace(own, cls=(own.cls + 2 * scanner).astype(np.float32))
    drop(tab, "cohort", "sited.parquet", packed(tmp_path, sited))
    show(tab, "What it uses")
    tab.settle().run()
    table = tab.app.dataframe[0].value.set_index("Goes with")
    assert 100 > table.loc["Site", "Whole embedding"] > 50 and table.loc["Site", "p"] < 0.05
    assert "of this embedding goes with site" in tab.words()
    tab.widget("selectbox", "emb-colour").set_value("trust")
    tab.widget("selectbox", "emb-beside").set_value("twin_cls")
    tab.run().settle().run()
    assert len([k for k in desk_of(tab).kept if k[0] == "map"]) == 2


def test_a_column_is_decoded_beside_its_baselines(open_page: Open, tmp_path: Path) -> None:
    tab = open_page("embeddings.py").settle()
    drop(tab, "cohort", "mine.parquet", packed(tmp_path, planted()))
    show(tab, "Decode")
    tab.widget("selectbox", "emb-target").set_value("age_years")
    tab.run()
    tab.widget("button", "emb-decode").click()
    tab.run().settle().run()
    result = next(v for v in desk_of(tab).kept.values() if isinstance(v, DecodeResult))
    assert result.scores["model"].value > 0.5
    said = tab.words()
    assert "Age (years) can be told from this embedding" in said and "better than from" in said
    assert "DecodeOptions(target='age_years'" in tab.scripts("emb")["decoding"]
    show(tab, "Decode")
    for name in ("Model", "Random weights", "Functional connectivity", "Same guess for everyone"):
        assert name in said
    tab.widget("selectbox", "emb-target").set_value("sex")
    tab.run()
    tab.widget("button", "emb-decode").click()
    tab.run().settle().run()
    assert "Sex cannot be told from this embedding" in tab.words()
    tab.widget("segmented_control", "emb-decode-picture").set_value("calibration")
    tab.run()
    drop(tab, "cohort", "few.parquet", packed(tmp_path, embeddings(30)))
    tab.widget("selectbox", "emb-predictor").set_value("svm")
    tab.run()
    tab.widget("button", "emb-decode").click()
    tab.run().settle().run()
    assert 'role="alert"' in tab.words()  # too few people


def test_an_axis_is_attributed_to_the_parcels_of_the_scan_in_hand(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = open_page("embeddings.py").settle()
    show(tab, "Attribution")
    tab.widget("button", "emb-attribute").click()
    tab.run().settle().run()
    said = tab.words()
    assert "Component 1 reads" in said and "the shares" in said and "no more than the read-out itself" in said
    assert set(tab.scripts("emb")) == {"place", "cohort-map", "attribution"}
    show(tab, "Attribution")
    table = tab.app.dataframe[0].value
    assert len(table) == 3 and table["Rank correlation"].between(-1, 1).all()
    asked: list[str] = []

    def quickly(*arguments: Any, **named: Any) -> Any:  # occlusion of 424 parcels takes a minute
        asked.append(arguments[3].method)
        return attribute(*arguments[:3], AttributeOptions(n_steps=2, n_references=1, max_windows=1), **named)

    monkeypatch.setattr("brainlm_core.features.attribution.analysis.attribute", quickly)
    tab.widget("segmented_control", "emb-attribute-method").set_value("occlusion")
    tab.run()
    tab.widget("button", "emb-attribute").click()
    tab.run().settle().run()
    assert asked == ["occlusion"]
    assert tab.app.dataframe[0].value["Compared with"].tolist()[-1] == "Integrated gradients"
    desk_of(tab).take(embeddings(30), "mine")
    tab.run()
    assert "This cohort was embedded with none" in show(tab, "Attribution")


def test_a_public_cohort_is_built_or_says_why_not(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cohort.test_abide import study

    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path))
    tab = open_page("embeddings.py").settle()

    def offline(**_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("nilearn.datasets.fetch_abide_pcp", offline)
    tab.widget("button", "emb-abide").click()
    tab.run().settle().run()
    assert "The ABIDE scans cannot be downloaded now." in tab.words()
    assert "240 simulated recordings" in tab.words()
    monkeypatch.setattr("nilearn.datasets.fetch_abide_pcp", lambda n_subjects, **k: study(n_subjects))
    tab.widget("select_slider", "emb-abide-n").set_value(50)
    tab.run()
    tab.widget("button", "emb-abide").click()
    tab.run().settle().run()
    assert "34 recordings of 34 people" in tab.words() and desk_of(tab).name == "ABIDE I (PCP)"


def planted() -> Any:
    """Sixty people at four sites whose age, and not whose sex, is in the embedding."""
    own = embeddings(120, d=6)
    rng = np.random.default_rng(5)
    age = np.repeat(rng.uniform(20, 60, 60), 2)
    cls = own.cls.copy()
    cls[:, 0] = (age - 40) / 10 + 0.2 * rng.standard_normal(120)
    table = pd.DataFrame({"age_years": age, "sex": np.repeat(rng.permutation(["f", "m"] * 30), 2)})
    sites = tuple("ABCD"[(i // 2) % 4] for i in range(120))
    return replace(own, cls=cls, phenotypes=table, sites=sites)


def test_neighbours_of_a_picked_recording(open_page: Open) -> None:
    tab = open_page("embeddings.py").settle()
    desk_of(tab).picked = 10
    assert "Nearest to sim-006_run-1" in show(tab, "Neighbours")
    assert "Nearest to your scan" in tab.words()
    tab.widget("selectbox", "emb-find").set_value(3)
    tab.run()
    assert desk_of(tab).picked == 3


def test_an_own_cohort_phenotypes_and_another_model_can_be_dropped(open_page: Open, tmp_path: Path) -> None:
    tab = open_page("embeddings.py").settle()
    own = embeddings(30)
    drop(tab, "cohort", "mine.parquet", packed(tmp_path, own))
    assert "30 recordings of 15 people" in tab.words() and "simulated recordings" not in tab.words()
    assert "This cohort was embedded with none; choose it" in tab.words()
    drop(tab, "phenotypes", "people.csv", b"participant_id,score\ns0,1\ns1,2\ns99,3\n")
    assert "people.csv: 4 of 30 recordings have a row" in tab.words() and "s99" in tab.words()
    assert "Score" in tab.widget("selectbox", "emb-colour").options
    drop(tab, "other", "larger.parquet", packed(tmp_path, embeddings(30, d=9, seed=4)))
    assert desk_of(tab).other.width == 9
    tab.widget("selectbox", "emb-beside").set_value("other")
    tab.run()
    next(b for b in tab.app.button if b.label == "Back to the simulated cohort").click()
    tab.run()
    assert "240 simulated recordings" in tab.words()


@pytest.mark.parametrize(
    ("role", "name", "content", "words"),
    [
        ("cohort", "letter.parquet", b"no", "Letter.parquet is a damaged embeddings file."),
        ("other", "half.parquet", None, "10 of 30 recordings are not in half.parquet"),
        ("phenotypes", "p.csv", b"age\n1\n", "P.csv has no column of identifiers."),
        ("phenotypes", "p.csv", b"subject_id,age\nzz,1\n", "None of the 30 recordings is named in p.csv"),
        ("phenotypes", "p.csv", b"subject_id,age\ns1,1\ns1,2\n", "more than once"),
    ],
)
def test_unfit_files_are_a_sentence_and_the_cohort_stays(
    open_page: Open, tmp_path: Path, role: str, name: str, content: bytes | None, words: str
) -> None:
    tab = open_page("embeddings.py").settle()
    desk_of(tab).take(embeddings(30), "mine")
    tab.run()
    drop(tab, role, name, packed(tmp_path, embeddings(20)) if content is None else content)
    said = tab.words().lower()
    assert words.lower() in said and 'role="alert"' in said
    assert "30 recordings of 15 people" in said


def test_a_cohort_too_small_for_a_map_is_told_so(open_page: Open, tmp_path: Path) -> None:
    tab = open_page("embeddings.py").settle()
    drop(tab, "cohort", "four.parquet", packed(tmp_path, embeddings(4)))
    assert "4 recordings are too few for a map." in tab.words()
    show(tab, "Export")


def test_colours_scale_numbers_name_groups_and_leave_gaps_grey() -> None:
    column = pd.Series([1.0, 2.0, np.nan, 4.0])
    scale = point_colour(column, "x")
    assert scale.index.tolist()[2] == MISSING and scale.index[0] == 0 and scale.index[3] == 254
    groups = point_colour(pd.Series(["b", "a", "", None]), "y")
    assert groups.names == ["a", "b"] and groups.index.tolist() == [1, 0, MISSING, MISSING]
    many = pd.DataFrame(
        {"recording_id": range(30), "subject_id": 0, "name": [f"n{i}" for i in range(30)], "v": 1}
    )
    assert colour_columns(many) == []  # thirty names are no groups, one value is no difference
    sites = pd.Series([f"site {i:02d}" for i in range(25) for _ in range(30 - i)] + [None])
    told = point_colour(sites, "Site")
    assert told.names[:2] == ["site 00", "site 01"] and told.names[-1] == "6 others" and len(told.names) == 20
    assert (told.index == 19).sum() == sum(30 - i for i in range(19, 25)) and told.index[-1] == MISSING
    table = pd.DataFrame({"recording_id": range(len(sites)), "subject_id": 0, "site": sites})
    assert colour_columns(table) == ["site"]


def test_exports_come_back(tmp_path: Path) -> None:
    own = Desk(reference_cohort(), "c")
    own.selected = np.array([3, 5])
    made = make_map(own.cohort)
    (tmp_path / "m.csv").write_bytes(embeddings_exports.map_csv(own, made))
    table = pd.read_csv(tmp_path / "m.csv")
    assert table["selected"].sum() == 2 and np.allclose(table["map_x"], made.xy[:, 0], rtol=1e-4)
    (tmp_path / "s.parquet").write_bytes(embeddings_exports.parquet(own, selected_only=True))
    again = read_embeddings(tmp_path / "s.parquet")
    assert again.ids == (own.cohort.ids[3], own.cohort.ids[5])
    np.testing.assert_array_equal(again.cls, own.cohort.cls[[3, 5]])
    assert replace(again).provenance.simulated
