"""The parcel-token family beyond the stored numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_models import PARCEL

from brainlm_core.base.errors import CheckpointError, EngineError
from brainlm_core.model.attention import GroupReader, RowReader, TokenConvolution
from brainlm_core.model.checkpoints import random_model
from brainlm_core.model.config import ParcelTokenConfig
from brainlm_core.model.parcel_token import ParcelTokenModel


def tiny(**changes: object) -> ParcelTokenModel:
    model = random_model({**PARCEL, **changes}, seed=1)
    assert isinstance(model, ParcelTokenModel)
    return model


def signal(b: int, p: int, t: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(b, p, t, generator=g), torch.randn(p, 3, generator=g) * 3


@pytest.mark.parametrize("parcels", [1, 7, 30])
@torch.no_grad()
def test_any_number_of_parcels(parcels: int) -> None:
    x, xyz = signal(2, parcels)
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, 0, 30:35] = True
    model = tiny()
    out = model.reconstruct(x, xyz, hidden)
    assert out.predicted.shape == x.shape
    assert torch.equal(out.hidden[:, 0, 20:40], torch.ones(2, 20, dtype=torch.bool))
    assert int(out.hidden.sum()) == 40
    assert model.encode(x, xyz).tokens.shape == (2, parcels, 16)
    assert model.attention(x, xyz).maps.shape == (2, 2, 2, parcels, parcels)


@torch.no_grad()
def test_read_out_equals_full_attention_with_uneven_masks() -> None:
    x, xyz = signal(3, 9)
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[1, 2] = True  # a whole parcel
    hidden[2, :, 120:160] = True
    model = tiny()
    maps = model.attention(x, xyz, hidden)
    for b in range(3):
        tokens = hidden[b].view(9, 10, 20).any(-1).flatten()
        noise = tokens.float()[None] + torch.arange(90)[None] / 1000
        rows = RowReader()
        ratio = float(tokens.sum()) / 90
        model(x[b : b + 1], xyz[None], noise, ratio - 1e-9 if ratio else 0.0, reader=rows)
        parcel = torch.nonzero(~tokens).squeeze(1) // 10
        onehot = F.one_hot(parcel, 9).float()  # (kept, P)
        count = onehot.sum(0).clamp(min=1)
        for layer in range(2):
            full = rows.kept[layer][0]
            expected = (onehot.T @ full[:, 1:, 1:] @ onehot) / count[:, None]
            assert torch.allclose(maps.maps[b, layer], expected, atol=1e-6)
            assert torch.allclose(maps.cls[b, layer], full[:, 0, 1:] @ onehot, atol=1e-6)
    assert float(maps.maps[1, :, :, 2].abs().max()) == 0
    visible = maps.maps[0].sum(-1)
    assert bool(((visible > 0.5) & (visible <= 1 + 1e-6)).all())


@torch.no_grad()
def test_blocks_do_not_change_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    x, xyz = signal(1, 12)
    model = tiny()
    whole = model.attention(x, xyz)
    monkeypatch.setattr("brainlm_core.model.attention._BLOCK_CPU", 1)
    parts = model.attention(x, xyz)
    assert torch.allclose(whole.maps, parts.maps, atol=1e-6)
    assert torch.allclose(whole.cls, parts.cls, atol=1e-6)


@torch.no_grad()
def test_reading_maps_leaves_the_output_alone() -> None:
    x, xyz = signal(2, 6)
    model = tiny()
    noise = torch.arange(60.0)[None].expand(2, -1)
    group = torch.cat([torch.tensor([-1]), torch.arange(6).repeat_interleave(10)])
    reader = GroupReader(group, 6)
    plain = model(x, xyz[None].expand(2, -1, -1), noise, 0.0)
    read = model(x, xyz[None].expand(2, -1, -1), noise, 0.0, reader=reader)
    assert torch.allclose(plain.logits, read.logits, atol=1e-5)
    maps, cls = reader.stacked()
    alone = model.attention(x, xyz)
    assert torch.allclose(maps, alone.maps, atol=1e-6)
    assert torch.allclose(cls, alone.cls, atol=1e-6)


@torch.no_grad()
def test_batch_items_do_not_touch_each_other() -> None:
    x, xyz = signal(3, 5)
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[0, :, 100:] = True
    hidden[1, 1, :20] = True
    model = tiny()
    together = model.reconstruct(x, xyz, hidden).predicted
    for b in range(3):
        alone = model.reconstruct(x[b : b + 1], xyz, hidden[b : b + 1]).predicted
        assert torch.allclose(together[b], alone[0], atol=1e-5)


@pytest.mark.parametrize(
    ("heads", "taps", "n"), [(1, 3, 5), (2, 5, 64), (4, 65, 130), (2, 129, 40), (3, 1, 7)]
)
@torch.no_grad()
def test_convolution_equals_grouped_conv2d(heads: int, taps: int, n: int) -> None:
    conv = TokenConvolution(heads, taps)
    torch.nn.init.normal_(conv.weight)
    value = torch.randn(2, heads, n, 8)
    expected = F.conv2d(value, conv.weight, padding=(taps // 2, 0), groups=heads)
    assert torch.allclose(conv(value), expected, atol=1e-4)


@torch.no_grad()
def test_losses_tanh_and_missing_convolution() -> None:
    x, xyz = signal(2, 4)
    xyz3 = xyz.expand(2, -1, -1)
    noise = torch.rand(2, 40)
    mse, mae = tiny()(x, xyz3, noise, 0.5), tiny(loss_fn="mae")(x, xyz3, noise, 0.5)
    error = (mse.logits - x.view(2, 4, 10, 20)) * mse.mask[..., None]
    assert torch.allclose(mse.loss, (error**2).sum() / (mse.mask.sum() * 20))
    assert torch.allclose(mae.loss, error.abs().sum() / (mse.mask.sum() * 20))
    assert torch.allclose(tiny(use_tanh_decoder=True)(x, xyz3, noise, 0.5).logits, torch.tanh(mse.logits))
    assert tiny(conv_kernel_size=None).vit.encoder.layer[0].attention.self.conv is None


@torch.no_grad()
def test_keep_count_follows_python_floats() -> None:
    out = tiny()(*[s[None] if s.ndim == 2 else s for s in signal(1, 424)], mask_ratio=0.9)
    assert out.latent.shape[1] == 1 + 423  # int(4240 * (1 - 0.9)) is 423, not 424


def test_gradients_reach_the_signal() -> None:
    x, xyz = signal(2, 3)
    x.requires_grad_(True)
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[0, 0, :20] = True
    tiny().reconstruct(x, xyz, hidden).predicted.sum().backward()
    assert x.grad is not None
    assert float(x.grad[0, 0, :20].abs().max()) == 0
    assert float(x.grad[1].abs().max()) > 0


def test_impossible_shapes_are_refused() -> None:
    x, xyz = signal(1, 3, 190)
    with pytest.raises(EngineError, match="patches of 20"):
        tiny().encode(x, xyz)
    for changes in (
        {"decoder_hidden_size": 32},
        {"num_attention_heads": 3},
        {"conv_kernel_size": 4},
        {"loss_fn": "huber"},
        {"hidden_size": 10**9},
        {"inv_coeff_init_option": True},
        {"hidden_size": "16"},
        {"mask_ratio": 2.0},
        {"hidden_act": "mish"},
    ):
        with pytest.raises(CheckpointError):
            ParcelTokenConfig.from_dict({**PARCEL, **changes})


@torch.no_grad()
def test_bf16_stays_close() -> None:
    x, xyz = signal(1, 20)
    model = random_model(PARCEL | {"initializer_range": 0.1}, seed=2)
    exact = model.encode(x, xyz)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model.encode(x, xyz)
        maps = model.attention(x, xyz).maps
    assert float((low.cls - exact.cls).abs().max()) < 0.1
    assert float((maps - model.attention(x, xyz).maps).abs().max()) < 0.01
    assert torch.allclose(maps.sum(-1) + 0, model.attention(x, xyz).maps.sum(-1), atol=0.01)
