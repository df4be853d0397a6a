from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from brainlm_core.base.atlas import a424, from_coordinates
from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.cohort.features import embed_recording
from brainlm_core.features.attribution.analysis import attribute, shuffled_phases
from brainlm_core.features.attribution.direction import Direction, axis_direction, decoded_direction
from brainlm_core.features.attribution.result import METHODS, AttributeOptions
from brainlm_core.features.decode.inputs import DecodeOptions
from brainlm_core.features.embedding.analysis import make_map
from brainlm_core.inference.engine import Cancelled, Engine
from brainlm_core.inference.weights import LoadedModel
from brainlm_core.model.base import AttentionMaps, Encoding, InputSpec, MaskedModel, Reconstruction
from brainlm_core.model.checkpoints import random_model
from brainlm_core.model.config import ImageTokenConfig, ParcelTokenConfig
from brainlm_core.model.kernel_config import KernelConfig
from tests.decode.decode_tools import cohort

P, T, D = 6, 40, 4


class Linear(MaskedModel):
    """An embedding that is a weighted sum of the samples: every share is known."""

    family: ClassVar[str] = "linear"

    def __init__(self) -> None:
        super().__init__()
        self.config = None
        self.spec = InputSpec(None, T, 10, None)
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(D, P, T, generator=generator)

    def reconstruct(self, signal, xyz, hidden):
        return Reconstruction(signal, hidden)

    def encode(self, signal, xyz, hidden=None):
        cls = torch.einsum("dpt,bpt->bd", self.weights, signal)
        return Encoding(cls, torch.einsum("dpt,bpt->bpd", self.weights, signal))

    def attention(self, signal, xyz, hidden=None):
        b, p = signal.shape[:2]
        cls = torch.arange(p).float().expand(b, 1, 1, p)
        return AttentionMaps(torch.full((b, 1, 1, p, p), 1 / p), cls, torch.arange(p))


def engine_of(model: MaskedModel) -> Engine:
    return Engine(LoadedModel(model.eval(), "test", "none", "test"), torch.device("cpu"), "fp32")


def recording(n_parcels: int = P, n: int = 2 * T, seed: int = 0) -> Recording:
    random = np.random.default_rng(seed)
    xyz = random.uniform(-60, 60, (n_parcels, 3))
    parcels = from_coordinates("some", tuple(f"p{i}" for i in range(n_parcels)), xyz)
    signals = random.standard_normal((n_parcels, n)) + 0.7 * random.standard_normal(n)
    return Recording(signals, 2.0, parcels, Provenance("test.csv"))


def direction(d: int = D, layer: str = "cls") -> Direction:
    return Direction("test", layer, np.random.default_rng(1).standard_normal(d), 0.5, "units")


def test_integrated_gradients_of_a_linear_model_are_weight_times_input():
    model, wanted = Linear(), direction()
    found = attribute(engine_of(model), recording(), wanted, AttributeOptions(reference="zero", n_steps=4))
    values = engine_of(model).windows(recording(), stride_s=T * 2.0).values
    weights = np.einsum("d,dpt->pt", wanted.weights, model.weights.numpy())
    assert found.values == pytest.approx(weights[None] * values, abs=1e-5)
    assert found.completeness_error < 1e-5
    assert found.reference == pytest.approx(0.5)
    assert found.parcels == pytest.approx((weights[None] * values).sum(axis=2).mean(axis=0), abs=1e-4)
    assert found.course().sum(axis=1).mean() == pytest.approx(found.value - 0.5, abs=1e-3)


def test_occlusion_of_a_linear_model_gives_the_same_parcels():
    model, wanted = Linear(), direction()
    options = AttributeOptions("occlusion", n_references=2)
    by_parcel = attribute(engine_of(model), recording(), wanted, options)
    gradients = attribute(
        engine_of(model), recording(), wanted, replace(options, method="integrated_gradients")
    )
    assert by_parcel.parcels == pytest.approx(gradients.parcels, abs=1e-3)
    assert by_parcel.completeness_error < 1e-4
    assert by_parcel.resolution == "one parcel for the whole window"


class Sorted(Linear):
    """Each number of the embedding listens to parcels of its own; the third is the loudest."""

    family: ClassVar[str] = "sorted"
    PARCELS: ClassVar[tuple[tuple[int, ...], ...]] = ((0, 1), (2, 3), (4,), (5,))

    def __init__(self) -> None:
        super().__init__()
        heard = torch.zeros(D, P, 1)
        for number, parcels in enumerate(self.PARCELS):
            heard[number, list(parcels)] = 5.0 if number == 2 else 1.0
        self.weights = self.weights * heard


@pytest.fixture(scope="module")
def planted() -> Embeddings:
    """People whose score, and whose group, hang on parcels 2 and 3 alone."""
    engine, people = engine_of(Sorted()), cohort(300, seed=6)
    own = [recording(seed=100 + i) for i in range(len(people))]
    cls = np.stack([embed_recording(engine, one).cls for one in own])
    noise = 0.2 * np.random.default_rng(9).standard_normal(len(cls)) * cls[:, 1].std()
    score = cls[:, 1] + noise
    table = pd.DataFrame({"score": score, "group": np.where(score > np.median(score), "high", "low")})
    return replace(people, cls=cls, phenotypes=table, subjects=people.ids)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("readout", "where"), [("score", (2, 3)), ("group", (2, 3)), ("axis", (4,))])
def test_a_planted_read_out_is_attributed_to_the_parcels_it_was_planted_in(planted, method, readout, where):
    if readout == "axis":
        asked = axis_direction(planted, 1)
    else:
        asked = decoded_direction(planted, DecodeOptions(readout))
    found = attribute(engine_of(Sorted()), recording(seed=1), asked, AttributeOptions(method, n_references=1))
    size = np.abs(found.parcels)
    assert set(np.argsort(size)[-len(where) :]) == set(where)
    assert size[list(where)].sum() > 0.7 * size.sum()
    assert found.parcels.sum() == pytest.approx(found.value - found.reference, rel=1e-3, abs=1e-4)
    assert found.completeness_error < 1e-3  # the model is linear: either method adds up
    assert found.tells_when == (method == "integrated_gradients")


def test_the_mean_over_parcels_can_be_read_too():
    model, wanted = Linear(), direction(layer="mean")
    found = attribute(engine_of(model), recording(), wanted, AttributeOptions(reference="zero", n_steps=4))
    values = engine_of(model).windows(recording(), stride_s=T * 2.0).values
    weights = np.einsum("d,dpt->pt", wanted.weights, model.weights.numpy()) / P
    assert found.values == pytest.approx(weights[None] * values, abs=1e-5)


TINY_PARCEL = ParcelTokenConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, decoder_hidden_size=16,
    decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=16,
    timepoint_patching_size=100,
)  # fmt: skip
TINY_IMAGE = ImageTokenConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, decoder_hidden_size=16,
    decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=16,
)  # fmt: skip
TINY_KERNEL = KernelConfig(
    bank_sizes=(30,), n_timepoints=200, n_blocks=4, n_regimes=2, n_landmarks=20, width=80, gate_width=8
)


@pytest.mark.parametrize("config", [TINY_PARCEL, TINY_IMAGE, TINY_KERNEL], ids=["parcel", "image", "kernel"])
def test_every_family_is_explained_completely(config):
    model = random_model(config.to_dict(), 1)
    engine = engine_of(model)
    random = np.random.default_rng(0)
    signals = random.standard_normal((424, 200)) + 0.5 * random.standard_normal(200)
    scan = Recording(signals, engine.spec.tr_s or 0.72, a424(), Provenance("demo"))
    engine.embed(engine.windows(scan))  # what inference remembers must not stand in the way of gradients
    width = engine.embed(engine.windows(scan)).cls.shape[1]
    found = attribute(
        engine, scan, direction(width), AttributeOptions(n_steps=12, n_references=1), twin=engine
    )
    assert found.completeness_error < 0.02
    assert np.abs(found.values).max() > 0
    assert found.agreement["random_twin"] == pytest.approx(1)
    assert -1 <= found.agreement["attention"] <= 1


def test_many_tokens_are_occluded_by_network_and_patch(monkeypatch):
    monkeypatch.setattr("brainlm_core.features.attribution.analysis.MAX_TOKENS_BY_PARCEL", 3)
    model = Linear()
    found = attribute(
        engine_of(model), recording(), direction(), AttributeOptions("occlusion", reference="zero")
    )
    assert found.resolution == "one network for 20 s"
    values = engine_of(model).windows(recording(), stride_s=T * 2.0).values
    weights = np.einsum("d,dpt->pt", direction().weights, model.weights.numpy())
    network = np.array(recording().parcellation.group)
    rows = network == network[0]
    truth = (weights[None] * values)[:, rows, :10].sum(axis=(1, 2))
    assert found.values[:, rows, :10].sum(axis=(1, 2)) == pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_others_get_their_turn_while_it_runs(monkeypatch, method):
    engine, held = engine_of(Linear()), []
    hold = engine.gradients

    @contextmanager
    def counted():
        with hold() as model:
            held.append(method)
            yield model

    monkeypatch.setattr(engine, "gradients", counted)
    attribute(engine, recording(), direction(), AttributeOptions(method, n_steps=12, n_references=1))
    # two windows: each read out twice, then 12 path points (or 6 parcels) four at a time
    assert len(held) >= 2 * (2 + (3 if method == "integrated_gradients" else 2))


def test_sums_over_groups_and_time_keep_the_total():
    found = attribute(engine_of(Linear()), recording(), direction())
    shares = found.by_group(["b", "a", "a", "b", "c", "c"], 15)
    names, times, sums = shares.names, shares.times_s, shares.sums
    assert names == ("a", "b", "c")
    assert sums.shape == (3, 2 * 3)
    assert sums.sum() == pytest.approx(found.value - found.reference, abs=1e-2)
    assert sums[0, 1] == pytest.approx(found.values[0, 1:3, 15:30].sum() / 2, abs=1e-4)
    assert times[:3] == pytest.approx([15, 45, 70])  # middles of 0–30 s, 30–60 s, 60–80 s


def test_a_surrogate_keeps_each_spectrum_and_loses_what_is_shared():
    random = np.random.default_rng(0)
    values = (random.standard_normal((5, 400)) * 0.3 + random.standard_normal(400)).astype(np.float32)
    other = shuffled_phases(values, random)
    assert np.abs(np.fft.rfft(other)) == pytest.approx(np.abs(np.fft.rfft(values)), abs=1e-2)
    assert np.corrcoef(values)[0, 1] > 0.8
    assert abs(np.corrcoef(other)[0, 1]) < 0.3


def test_directions_read_what_they_name():
    people = cohort(80, seed=6)
    axis = axis_direction(people, 2)
    drawn = make_map(people)
    assert axis.read(people.cls) == pytest.approx(drawn.xy[:, 1] / drawn.xy[:, 1].std(), abs=1e-4)
    age = decoded_direction(people, DecodeOptions("age_years"))
    assert np.corrcoef(age.read(people.cls), people.phenotypes["age_years"])[0, 1] > 0.8
    assert abs(age.read(people.cls).mean() - people.phenotypes["age_years"].mean()) < 1
    sex = decoded_direction(people, DecodeOptions("sex"))
    assert sex.name == "sex: male rather than female"
    told = sex.read(people.cls)
    male = people.phenotypes["sex"] == "male"
    assert told[male].mean() > told[~male].mean() + 0.5
    with pytest.raises(ConfigError, match="no component 99"):
        axis_direction(people, 99)


def test_what_it_leaves_on_disk_and_what_it_refuses(tmp_path):
    engine = engine_of(Linear())
    seen: list[float] = []
    found = attribute(engine, recording(), direction(), progress=lambda share, sentence: seen.append(share))
    assert seen[-1] == 1
    assert seen == sorted(seen)
    as_json, as_npz = found.save(tmp_path)
    assert json.loads(as_json.read_text())["completeness_error"] == pytest.approx(found.completeness_error)
    assert np.load(as_npz)["values"].shape == (2, P, T)
    with pytest.raises(AnalysisError, match="does not fit embeddings of 4"):
        attribute(engine, recording(), direction(7))
    long = Linear()
    long.spec = InputSpec(None, 200, 10, None)
    with pytest.raises(AnalysisError, match="shorter than one window"):
        attribute(engine_of(long), recording(), direction())
    with pytest.raises(Cancelled):
        attribute(engine, recording(), direction(), cancel=lambda: True)
    with pytest.raises(ConfigError, match="no method 'gradcam'"):
        AttributeOptions("gradcam")
