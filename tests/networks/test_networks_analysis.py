from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from brainlm_core.base.atlas import YEO7, a424_cortex, from_coordinates
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.methods import ordered
from brainlm_core.features.networks import analysis as networks
from brainlm_core.features.networks.analysis import NetworksOptions, analyse, attention_of
from brainlm_core.features.networks.metrics import labelled_parcels
from brainlm_core.features.networks.scores import ScoreSetting, attention_row

CHOICES = [
    NetworksOptions(),
    NetworksOptions("rollout"),
    NetworksOptions("layer/head", layer=1),
    NetworksOptions("layer/head", head=2),
    NetworksOptions("layer/head", layer=0, head=0),
]


@pytest.mark.parametrize("options", CHOICES, ids=NetworksOptions.in_words)
def test_every_reduction_gives_a_whole_result(options, planted, blind, recording):
    result = analyse(planted, recording, options, twin=blind)
    assert result.attention.shape == (424, 424) and result.attention.dtype == np.float32
    assert result.cls.shape == (424,)
    assert result.thumbnails.shape == (2, 3, 53, 53)
    methods = [row.method for row in result.scores]
    assert methods == ordered(methods)
    scores = {row.method: row for row in result.scores}
    assert scores["attention"].knn.value == 1.0
    assert scores["attention"].ari.value == 1.0
    assert scores["random_twin"].knn.value < 0.4
    assert abs(scores["random_twin"].ari.value) < 0.1
    assert scores["functional_connectivity"].knn.value > 0.9  # one rhythm a network was planted
    assert scores["coordinates"].knn.value == pytest.approx(0.72, abs=0.03)
    assert result.clustering.names == YEO7
    facts = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    for key in ("knn_accuracy", "ari"):
        for method in ("attention", "functional_connectivity", "coordinates", "random_twin"):
            assert isinstance(facts[key][method], float)
            low, high = facts[f"{key}_ci95"][method]
            assert low <= facts[key][method] <= high
    assert facts["n_networks"] == 7
    assert facts["provenance"]["simulated"] is True


def test_one_pass_of_each_model_on_the_same_window_and_five_for_the_controls(planted, blind, recording):
    result = analyse(planted, recording, twin=blind)
    assert planted.calls == 1 + 5  # no scan, two halves, and a control of each half
    assert blind.calls == 1 and blind.seen is result.view.windows


def test_shuffled_attention_is_at_chance(make, planted, whole):
    setting = ScoreSetting(labelled_parcels(whole), np.ones(424, dtype=bool))
    p = np.random.default_rng(0).permutation(424)
    row = attention_row(planted.weights[np.ix_(p, p)], np.arange(424), setting)
    assert row.knn.value < 0.3
    assert abs(row.ari.value) < 0.05


def test_choices_need_no_second_pass(planted, recording):
    view = attention_of(planted, recording)
    maps = [networks.chosen_map(view, options) for options in CHOICES]
    assert planted.calls == 1
    assert np.allclose(maps[0], view.attention.maps.mean(axis=(0, 1)), atol=1e-7)
    assert np.allclose(maps[4], view.attention.maps[0, 0])


def test_connectivity_is_of_the_same_samples(planted, recording):
    view = attention_of(planted, recording)
    assert np.allclose(view.connectivity, np.corrcoef(recording.signals[:, :200]), atol=1e-4)
    both = attention_of(planted, recording, NetworksOptions(windows="all"))
    assert planted.seen.n_windows == 2
    second = np.corrcoef(recording.signals[:, 60:])
    assert np.allclose(both.connectivity, (view.connectivity + second) / 2, atol=1e-4)
    only = attention_of(planted, recording, NetworksOptions(windows=(1,)))
    assert np.allclose(only.connectivity, second, atol=1e-4)


def test_padding_does_not_enter_the_connectivity(planted, make, whole):
    short = make.recording(whole, 90)
    view = attention_of(planted, short)
    assert np.allclose(view.connectivity, np.corrcoef(short.signals), atol=1e-4)
    assert any("not the padding" in notice for notice in view.notices)


def test_flat_parcels_are_left_out_everywhere(planted, blind, make, whole):
    result = analyse(planted, make.recording(whole, flat=(0, 5, 423)), twin=blind)
    assert np.flatnonzero(~result.view.usable).tolist() == [0, 5, 423]
    assert (result.clustering.labels[[0, 5, 423]] == -1).all()
    assert result.to_dict()["n_labelled_parcels"] == 354
    assert any("3 parcels" in notice and "grey" in notice for notice in result.notices)
    assert {row.method: row for row in result.scores}["attention"].knn.value == 1.0


def test_tokens_that_mix_parcels_are_said(make, whole, blind):
    rows = np.argsort(whole.xyz[:, 1], kind="stable")
    group = np.empty(424, dtype=np.int64)
    group[rows] = np.arange(424) // 14
    tokens = np.random.default_rng(0).uniform(0.5, 2, (31, 31))
    result = analyse(make.engine(tokens, group), make.recording(whole), twin=blind)
    assert any("mixes up to 14 parcels" in notice for notice in result.notices)
    assert result.thumbnails.shape == (2, 3, 53, 53)
    labels = result.clustering.labels[result.view.setting(result.options).labelled.rows]
    same = group[result.view.setting(result.options).labelled.rows]
    assert max(len(set(labels[same == g])) for g in set(same)) == 1  # one token, one network


def test_another_parcellation_says_where_its_networks_come_from(make, blind):
    rows = np.arange(0, 360, 3)
    xyz = a424_cortex().xyz[rows]
    own = from_coordinates("mine", tuple(f"p{i}" for i in rows), xyz)
    engine = make.engine(make.weights(own), np.arange(120))
    twin = make.engine(np.random.default_rng(0).uniform(1, 2, (120, 120)), np.arange(120), "random:x", True)
    result = analyse(engine, make.recording(own), twin=twin)
    assert any("nearest A424 parcel" in notice for notice in result.notices)
    assert {row.method: row for row in result.scores}["attention"].knn.value == 1.0


def test_few_labelled_parcels_give_networks_without_scores(make, tmp_path):
    xyz = np.random.default_rng(0).uniform(-40, 40, (24, 3)).astype(np.float32)
    own = from_coordinates("small", tuple(f"p{i}" for i in range(24)), xyz)
    weights = np.random.default_rng(1).uniform(1, 2, (24, 24))
    engine = make.engine(weights, np.arange(24))
    result = analyse(engine, make.recording(own), NetworksOptions(n_networks=3), twin=engine)
    facts = result.to_dict()
    assert set(facts["knn_accuracy"].values()) == {None}
    assert "at least 30" in facts["not_scored"]
    assert any(notice.startswith("No scores") for notice in result.notices)
    assert set(result.clustering.labels) == {0, 1, 2}
    assert result.save(tmp_path)


def test_scores_follow_the_parcels_and_not_their_order(make, whole):
    noisy = make.weights(whole) ** 0.1 * np.random.default_rng(5).uniform(0.3, 3, (424, 424))
    p, everything = np.random.default_rng(6).permutation(424), np.ones(424, dtype=bool)
    there = attention_row(
        noisy, np.arange(424), ScoreSetting(labelled_parcels(whole), np.ones(424, dtype=bool))
    )
    moved = whole.subset(p, "A424 shuffled")
    here = attention_row(
        noisy[np.ix_(p, p)], np.arange(424), ScoreSetting(labelled_parcels(moved), everything)
    )
    assert 0.4 < there.knn.value < 0.99
    assert here.knn.value == pytest.approx(there.knn.value, abs=0.03)  # other folds, the same parcels


def test_network_order_and_thumbnails(planted, recording, whole):
    view = attention_of(planted, recording)
    assert sorted(view.order) == list(range(424))
    for block in view.blocks:
        members = {whole.group[i] for i in view.order[block.start : block.stop]}
        assert len(members) == 1
    assert [b.name for b in view.blocks][:7] == list(YEO7)
    assert view.blocks[-1].stop == 424
    sorted_map = view.attention.maps[1, 2][np.ix_(view.order, view.order)]
    expected = sorted_map.reshape(53, 8, 53, 8).mean(axis=(1, 3))
    assert np.allclose(networks.thumbnails(view)[1, 2], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"reduction": "sum"}, "no reduction named"),
        ({"reduction": "layer/head"}, "no layer or head was named"),
        ({"layer": 1}, "uses all layers and heads"),
        ({"reduction": "rollout", "head": 1}, "uses all layers and heads"),
    ],
)
def test_contradicting_options_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        NetworksOptions(**settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (NetworksOptions("layer/head", layer=2), "no layer 3; choose 1 to 2"),
        (NetworksOptions("layer/head", head=-1), "no head 0; choose 1 to 3"),
        (NetworksOptions(windows=(2,)), "no window"),
        (NetworksOptions(windows=()), "no window"),
    ],
)
def test_what_is_not_there_is_refused(options, words, planted, blind, recording):
    with pytest.raises(ConfigError, match=words):
        analyse(planted, recording, options, twin=blind)


def test_progress_rises_to_one(planted, blind, recording):
    seen = []
    analyse(planted, recording, progress=lambda share, text: seen.append((share, text)), twin=blind)
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert all(text for _, text in seen)


def test_a_random_model_is_its_own_twin():
    from brainlm_core.inference.engine import get_engine

    twin = get_engine("default", device="cpu", precision="fp32").twin()
    assert twin.info.is_random and twin.info.precision == "fp32"
    assert twin.twin() is twin


def test_saved_tables_say_what_was_found(planted, blind, recording, tmp_path):
    result = analyse(planted, recording, twin=blind)
    files = {path.name for path in result.save(tmp_path / "new" / "folder")}
    assert files == {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    with (tmp_path / "new/folder/parcels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 424
    assert rows[0]["name"] == "R_V1" and rows[0]["network"] == rows[0]["yeo7"] == "Visual"
    assert float(rows[7]["cls_attention"]) == pytest.approx(result.cls[7], rel=1e-4)
    with (tmp_path / "new/folder/scores.csv").open(encoding="utf-8") as stream:
        scores = {(r["method"], r["score"]): r["value"] for r in csv.DictReader(stream)}
    assert float(scores["attention", "knn_accuracy"]) == 1.0
    with np.load(tmp_path / "new/folder/matrices.npz", allow_pickle=False) as store:
        assert np.array_equal(store["attention"], result.attention)
        assert np.allclose(store["functional_connectivity"], result.view.connectivity, atol=1e-6)
    saved = json.loads((tmp_path / "new/folder/networks.json").read_text(encoding="utf-8"))
    assert saved == json.loads(json.dumps(result.to_dict()))


def test_a_page_can_import_the_analysis_without_heavy_libraries():
    code = (
        "import sys; import brainlm_core.features.networks.cohort, brainlm_core.commands; "
        "print(sorted({'torch', 'sklearn', 'scipy', 'nibabel.cifti2', 'nilearn'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
