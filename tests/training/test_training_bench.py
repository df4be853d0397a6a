"""The training benchmark compares like with like."""

from __future__ import annotations

import pytest
import torch

from brainlm_core.bench.training import MASK_RATIO, PeerTrainer

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
    "num_brain_voxels": 8,
    "num_timepoints_per_voxel": 40,
    "timepoint_patching_size": 10,
    "conv_kernel_size": 5,
}


def test_both_sides_take_the_same_step() -> None:
    pytest.importorskip("transformers")
    from brainlm_core.model.config import ParcelTokenConfig
    from brainlm_core.model.parcel_token import ParcelTokenModel

    model = ParcelTokenModel(ParcelTokenConfig.from_dict(SMALL)).eval()
    model.initialise(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    signal, noise = torch.randn(2, 8, 40, generator=generator), torch.rand(2, 32, generator=generator)
    xyz = torch.randn(2, 8, 3, generator=generator)
    peer = PeerTrainer(model)
    model(signal, xyz, noise, MASK_RATIO).loss.backward()
    own = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    ours = float(model(signal, xyz, noise, MASK_RATIO).loss.detach())
    layers = [*model.vit.encoder.layer, *model.decoder.decoder_layers]
    expected = [{k: p.grad.clone() for k, p in layer.named_parameters()} for layer in layers]
    model.zero_grad(set_to_none=True)
    loss = peer.loss(signal, xyz, noise)
    loss.backward()
    assert ours == pytest.approx(float(loss.detach()), rel=1e-5)
    theirs = [*peer.peer.encoder, *peer.peer.decoder]
    assert len(theirs) == len(layers) == 3
    for gradients, layer in zip(expected, theirs, strict=True):
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-3)
    assert len([p for p in peer.parameters() if p.grad is not None]) == len(own)
