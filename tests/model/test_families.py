"""One contract for every registered family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import IMAGE, PARCEL

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import CheckpointError
from brainlm_core.inference.weights import config_of
from brainlm_core.model import FAMILIES, build, family_of, with_tensors
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.checkpoints import load_folder, random_model, save_folder


def _config(family: str) -> dict:
    if family == "parcel_token":
        return PARCEL
    if family == "image_token":
        return {**IMAGE, "patch_size": 16}
    if family == "context":
        return {"family": "context", "process": config_of("default")}
    return config_of("default")


@pytest.fixture(params=sorted(FAMILIES))
def model(request: pytest.FixtureRequest) -> MaskedModel:
    return random_model(_config(request.param), seed=4)


@pytest.fixture(scope="module")
def window() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(2, 424, 200, generator=g), torch.from_numpy(a424().xyz.copy())


@torch.no_grad()
def test_shapes_and_meaning(model: MaskedModel, window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, 10:20] = True
    hidden[0, :, 180:] = True
    out = model.reconstruct(x, xyz, hidden)
    assert out.predicted.shape == x.shape
    assert out.hidden.dtype == torch.bool
    assert bool((out.hidden | ~hidden).all())
    assert torch.isfinite(out.predicted).all()
    encoding = model.encode(x, xyz)
    assert encoding.cls.shape[0] == 2
    assert encoding.tokens.shape[:2] == (2, 424)
    maps = model.attention(x, xyz)
    groups = maps.maps.shape[-1]
    assert maps.maps.shape[-2:] == (groups, groups)
    assert maps.maps.shape[:3] == maps.cls.shape[:3]
    assert maps.group.shape == (424,)
    assert int(maps.group.max()) < groups
    assert float(maps.maps.min()) >= -1e-6
    assert float(maps.maps.sum(-1).max()) <= 1 + 1e-4


@torch.no_grad()
def test_what_is_hidden_is_never_read(model: MaskedModel, window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, :, 180:] = True
    hidden[:, 40:60] = True
    spoiled = torch.where(hidden, torch.full_like(x, torch.nan), x)
    a, b = model.reconstruct(x, xyz, hidden), model.reconstruct(spoiled, xyz, hidden)
    assert torch.equal(a.hidden, b.hidden)
    assert torch.allclose(a.predicted, b.predicted, atol=1e-6)
    assert torch.allclose(model.encode(x, xyz, hidden).cls, model.encode(spoiled, xyz, hidden).cls, atol=1e-6)


@torch.no_grad()
def test_deterministic(model: MaskedModel, window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    assert torch.equal(model.encode(x, xyz).cls, model.encode(x, xyz).cls)
    twin = random_model(model.config.to_dict(), seed=4)
    for (key, a), (other, b) in zip(model.state_dict().items(), twin.state_dict().items(), strict=True):
        assert key == other
        assert torch.equal(a, b), key
    different = random_model(model.config.to_dict(), seed=5).state_dict()
    assert any(not torch.equal(v, different[k]) for k, v in model.state_dict().items())


def test_saved_and_loaded_again(model: MaskedModel, tmp_path: Path) -> None:
    save_folder(model, tmp_path / "m")
    again = load_folder(tmp_path / "m")
    assert type(again) is type(model)
    assert again.config == model.config
    assert not again.training
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    trainable = {k for k, p in model.named_parameters() if p.requires_grad}
    assert {k for k, p in again.named_parameters() if p.requires_grad} == trainable


def test_no_family_is_no_guess() -> None:
    for config in ({}, {"hidden_size": 3}, {"family": "unheard of"}):
        with pytest.raises(CheckpointError, match="no known model family"):
            family_of(config)


def test_published_configurations_are_recognised() -> None:
    for name, family in (("13m", "parcel_token"), ("111m", "image_token"), ("650m", "image_token")):
        with torch.device("meta"):
            assert build(config_of(name)).family == family


SAVED_BY_NOTEBOOKS = {"timepoint_patching_size": 20, "num_timepoints_per_voxel": 200}


@pytest.mark.parametrize(
    ("config", "family"),
    [
        (
            {**IMAGE, "patch_size": 16, "architectures": ["ViTMAEForPreTraining"], **SAVED_BY_NOTEBOOKS},
            "image_token",
        ),
        ({**IMAGE, "patch_size": 16, **SAVED_BY_NOTEBOOKS}, "image_token"),
        (
            {**IMAGE, "patch_size": 14, "architectures": ["ViTMAEForFinetuning"], "model_type": "vit_mae"},
            "image_token",
        ),
        ({**PARCEL, "patch_size": 16, "image_size": 224, "num_landmarks": 64}, "parcel_token"),
        (
            {**PARCEL, "architectures": ["BrainLMForPretraining"], "patch_size": 16, "image_size": 224},
            "parcel_token",
        ),
        ({**PARCEL, "model_type": "brainlm", "patch_size": 16}, "parcel_token"),
        ({**PARCEL}, "parcel_token"),
    ],
)
def test_the_family_is_told_by_its_name_and_never_by_the_patch_length(config: dict, family: str) -> None:
    assert family_of(config) is FAMILIES[family]


@pytest.mark.parametrize(
    "config", [{"family": "unknown", "patch_size": 16}, {"architectures": ["Bert"]}, {}, {"model_type": 3}]
)
def test_no_family_is_said(config: dict) -> None:
    with pytest.raises(CheckpointError, match="describes no known model family"):
        family_of(config)


def test_tensors_decide_where_the_configuration_names_nothing() -> None:
    image = random_model({**IMAGE, "patch_size": 16}, seed=0)
    unnamed = {k: v for k, v in PARCEL.items() if k != "conv_kernel_size"} | {
        "patch_size": 16,
        "num_landmarks": 64,
    }
    told = with_tensors(unnamed, image.state_dict().keys())
    assert family_of(told) is FAMILIES["image_token"]
    named = {**PARCEL, "architectures": ["BrainLMForPretraining"]}
    with pytest.raises(
        CheckpointError, match=r"names the parcel-token model .* beside it are of the image-token"
    ):
        with_tensors(named, image.state_dict().keys())
