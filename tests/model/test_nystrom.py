"""The Nyström branch against transformers' own layer: no stored case of the published code has it."""

from __future__ import annotations

import pytest
import torch

from brainlm_core.base.errors import EngineError
from brainlm_core.model.attention import GroupReader, RowReader
from brainlm_core.model.config import ParcelTokenConfig
from brainlm_core.model.parcel_token import ParcelBlock

CONFIG = ParcelTokenConfig(
    hidden_size=24,
    decoder_hidden_size=24,
    num_attention_heads=3,
    decoder_num_attention_heads=3,
    intermediate_size=40,
    num_landmarks=6,
    segment_means_seq_len=48,
    conv_kernel_size=7,
)


def _blocks() -> tuple[ParcelBlock, torch.nn.Module]:
    pytest.importorskip("transformers")
    from transformers import NystromformerConfig
    from transformers.models.nystromformer.modeling_nystromformer import NystromformerLayer

    theirs = NystromformerLayer(
        NystromformerConfig(
            hidden_size=24,
            num_attention_heads=3,
            intermediate_size=40,
            num_landmarks=6,
            segment_means_seq_len=48,
            conv_kernel_size=7,
            hidden_act="gelu",
            layer_norm_eps=1e-12,
        )
    ).eval()
    torch.manual_seed(3)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    ours = ParcelBlock(24, 3, 40, CONFIG).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.parametrize("batch", [1, 3])
@torch.no_grad()
def test_equal_to_transformers(batch: int) -> None:
    ours, theirs = _blocks()
    x = torch.randn(batch, 48, 24)
    reader = RowReader()
    out = ours(x, reader)
    expected, attention = theirs(x, output_attentions=True)
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.allclose(reader.kept[0], attention, atol=1e-6)


@torch.no_grad()
def test_start_of_the_inverse_looks_at_the_whole_batch() -> None:
    ours, _ = _blocks()
    x = torch.randn(2, 48, 24)
    x[1] *= 3
    alone, together = ours(x[:1]), ours(x)[:1]
    assert not torch.equal(alone, together)  # one scalar for all batch items, as published


@torch.no_grad()
def test_effective_attention_is_read_out() -> None:
    ours, _ = _blocks()
    x = torch.randn(2, 48, 24)
    group = torch.cat([torch.tensor([-1, -1, -1]), torch.arange(9).repeat_interleave(5)])
    reader = GroupReader(group, 9)
    ours.attention.self.read(x, reader)
    maps, cls = reader.stacked()
    assert maps.shape == (2, 1, 3, 9, 9)
    assert cls.shape == (2, 1, 3, 9)
    assert torch.isfinite(maps).all()


@torch.no_grad()
def test_exact_attention_equals_transformers() -> None:
    pytest.importorskip("transformers")
    from brainlm_core.bench._peers import ParcelPeer
    from brainlm_core.model.checkpoints import random_model

    model = random_model({"timepoint_patching_size": 20, "hidden_size": 32, "decoder_hidden_size": 32}, 0)
    signal, xyz = torch.randn(2, 9, 200), torch.randn(9, 3) * 40
    theirs, _ = ParcelPeer(model)(signal, xyz.expand(2, -1, -1))
    ours = model.reconstruct(signal, xyz, torch.zeros(2, 9, 200, dtype=torch.bool))
    assert torch.allclose(ours.predicted, theirs.flatten(2), atol=1e-5)


@torch.no_grad()
def test_tokens_that_form_no_landmarks_are_refused() -> None:
    ours, _ = _blocks()
    with pytest.raises(EngineError, match="48 tokens and got 50"):
        ours(torch.randn(1, 50, 24))
