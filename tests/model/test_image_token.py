"""The image-token family beyond the stored numbers."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import IMAGE

from brainlm_core.base.errors import CheckpointError, EngineError
from brainlm_core.model.attention import RowReader
from brainlm_core.model.checkpoints import random_model
from brainlm_core.model.config import ImageTokenConfig
from brainlm_core.model.image_token import ImageTokenModel


def tiny(patch: int = 16, **changes: object) -> ImageTokenModel:
    model = random_model({**IMAGE, "patch_size": patch, **changes}, seed=1)
    assert isinstance(model, ImageTokenModel)
    return model


@pytest.fixture(scope="module")
def window() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    xyz = torch.randint(-60, 60, (424, 3), generator=g).float()  # many ties in y
    return torch.randn(2, 424, 200, generator=g), xyz


@pytest.mark.parametrize("patch", [16, 14])
@pytest.mark.parametrize("mode", ["predict_last", "predict_last_pixel", "causal_attention"])
@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.1, 0.2, 0.33, 0.5, 0.75])
@torch.no_grad()
def test_predicting_modes_hide_the_published_columns(patch: int, mode: str, ratio: float) -> None:
    side = {16: 432, 14: 434}[patch]
    end = (side - 200) // 2 + 200
    start = end - int(ratio * 200)
    end_token = math.ceil(end / patch)
    m = (end_token * patch - start) // patch
    m += 1 if start % patch and mode == "predict_last" else 0
    hidden = set(range(end_token - m, end_token))
    pixels = torch.randn(1, 3, 424, 200)
    out = tiny(patch)(pixels, None, ratio, mode)
    grid = side // patch
    assert {int(i) for i in torch.nonzero(out.token_mask.view(grid, grid)[5]).flatten()} == hidden
    assert out.kept.shape[1] == grid * grid - grid * m
    if mode == "predict_last_pixel":
        assert int(out.mask[0, 100].sum()) == int(ratio * 200)
        extra = int(ratio * 200) - (end - (end_token - m) * patch)
        assert len(out.zeroed_columns) == max(0, extra)
    assert bool(torch.isnan(out.loss)) == (float(out.mask.sum()) == 0)


@torch.no_grad()
def test_zeroed_pixels_are_not_seen() -> None:
    model = tiny(16)
    a, b = torch.randn(1, 3, 424, 200), torch.randn(1, 3, 424, 200)
    first = model(a, None, 0.2, "predict_last_pixel")
    columns = [c - 116 for c in first.zeroed_columns]
    assert columns
    hidden = first.mask[0, 0] > 0
    mixed = torch.where(hidden, b, a)
    assert torch.allclose(model(mixed, None, 0.2, "predict_last_pixel").logits, first.logits, atol=1e-5)


@torch.no_grad()
def test_noise_comes_from_the_global_generator_when_none_is_given() -> None:
    model, pixels = tiny(), torch.randn(1, 3, 424, 200)
    torch.manual_seed(11)
    drawn = torch.rand(1, 729)
    torch.manual_seed(11)
    assert torch.equal(model(pixels, mask_ratio=0.75).kept, model(pixels, drawn, 0.75).kept)
    assert model(pixels, drawn, 0.75).kept.shape[1] == 182


@torch.no_grad()
def test_file_order_is_kept_outside(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    xyz = xyz + torch.linspace(0, 0.5, 424)[:, None]  # no ties: a permutation must change nothing
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, :, 180:] = True
    model, shuffle = tiny(), torch.randperm(424)
    plain = model.reconstruct(x, xyz, hidden)
    mixed = model.reconstruct(x[:, shuffle], xyz[shuffle], hidden[:, shuffle])
    assert torch.allclose(plain.predicted[:, shuffle], mixed.predicted, atol=1e-4)
    assert torch.equal(plain.hidden[:, shuffle], mixed.hidden)
    maps, moved = model.attention(x, xyz), model.attention(x[:, shuffle], xyz[shuffle])
    assert torch.equal(maps.group[shuffle], moved.group)
    assert torch.allclose(maps.maps, moved.maps, atol=1e-6)


@torch.no_grad()
def test_same_numbers_as_the_native_pass(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    model = tiny()
    order = torch.argsort(xyz[:, 1], stable=True)
    pixels = (x[:, order] / 5.6430855)[:, None].expand(-1, 3, -1, -1)
    native = model(pixels, None, 0.2, "predict_last")
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, :, 160:] = True
    ours = model.reconstruct(x, xyz, hidden)
    assert torch.allclose(ours.predicted[:, order] / 5.6430855, native.logits, atol=1e-5)
    assert torch.equal(ours.hidden[:, order], native.mask.bool())


@pytest.mark.parametrize("patch", [16, 14])
@torch.no_grad()
def test_attention_groups_are_rows_of_tokens_with_data(
    window: tuple[torch.Tensor, torch.Tensor], patch: int
) -> None:
    x, xyz = window
    model = tiny(patch)
    grid, first = model.config.grid, {16: 7, 14: 8}[patch]
    last = {16: 19, 14: 22}[patch]
    maps = model.attention(x, xyz)
    rows = RowReader()
    order = torch.argsort(xyz[:, 1], stable=True)
    pixels = (x[:, order] / 5.6430855)[:, None].expand(-1, 3, -1, -1)
    model(pixels, torch.arange(float(grid**2))[None].expand(2, -1), 0.0, "auto_encode", reader=rows)
    full = rows.kept[1][:, :, 1:, 1:].view(2, 2, grid, grid, grid, grid)
    data = full[:, :, :, first : last + 1, :, first : last + 1]
    assert torch.allclose(maps.maps[:, 1], data.sum(5).mean(3), atol=1e-6)
    assert maps.group.shape == (424,)
    assert int(torch.bincount(maps.group).max()) == patch
    assert float(maps.maps.sum(-1).max()) < 1


@torch.no_grad()
def test_hidden_covers_the_request(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[0, 17, 90] = True
    for patch in (16, 14):
        out = tiny(patch).reconstruct(x, xyz, hidden)
        assert bool((out.hidden | ~hidden).all())
        assert int(out.hidden[0].sum()) == patch**2 or int(out.hidden[0].sum()) < patch**2
        assert not out.hidden[1].any()


@torch.no_grad()
def test_equal_to_transformers_layers() -> None:
    pytest.importorskip("transformers")
    from brainlm_core.bench._peers import ImagePeer

    model = tiny()
    pixels = torch.randn(2, 3, 424, 200)
    ours = model(pixels, torch.arange(729.0)[None].expand(2, -1), 0.0, "auto_encode").logits
    assert torch.allclose(ImagePeer(model)(pixels), ours, atol=1e-4)


@torch.no_grad()
def test_normalised_loss() -> None:
    model, pixels = tiny(norm_pix_loss=True), torch.randn(1, 3, 424, 200)
    out = model(pixels, torch.rand(1, 729), 0.5)
    target = pixels.mean(1)
    target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(out.loss, (((out.logits - target) ** 2) * out.mask).sum() / out.mask.sum())


def test_configurations() -> None:
    assert ImageTokenConfig.from_dict({"patch_size": 16, "image_size": [432, 432]}).image_size == 432
    assert ImageTokenConfig.from_dict({"patch_size": 14, "image_size": 434}).grid == 31
    assert ImageTokenConfig.from_dict({"patch_size": 14}).train_mode == "auto_encode"
    assert ImageTokenConfig.from_dict({"patch_size": 16, "train_mode": None}).train_mode == "auto_encode"
    for wrong in (
        {"patch_size": 15},
        {"patch_size": 16, "image_size": 434},
        {"patch_size": 16, "image_size": [432, 434]},
        {"patch_size": 16, "hidden_size": 18, "num_attention_heads": 2},
    ):
        with pytest.raises(CheckpointError):
            ImageTokenConfig.from_dict(wrong)


@torch.no_grad()
def test_other_sizes_are_refused(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, xyz = window
    with pytest.raises(EngineError, match="424 parcels"):
        tiny().encode(x[:, :360], xyz[:360])
    with pytest.raises(EngineError, match="cannot be centred"):
        tiny()(torch.randn(1, 3, 423, 200))


@pytest.mark.parametrize(("name", "count"), [("111m", 111_655_680), ("650m", 656_611_404)])
def test_published_sizes(name: str, count: int) -> None:
    from brainlm_core.inference.weights import config_of
    from brainlm_core.model import build

    with torch.device("meta"):
        model = build(config_of(name))
    if name == "111m":
        assert model.n_parameters() == count
    else:
        assert round(model.n_parameters() / 1e6, 1) == 656.6
