"""The context family: what it must gain from a recording, and what it must never read."""

from __future__ import annotations

import torch

from brainlm_core.model.context.model import ContextModel
from brainlm_core.model.context.statistics import ContextStatistics, second_moments
from tests.context.conftest import hidden_tokens, person


def _context(rest: torch.Tensor) -> ContextStatistics:
    return ContextStatistics.of_moments(second_moments(rest)[None], torch.tensor([float(rest.shape[1])]))


@torch.no_grad()
def test_the_rest_of_a_recording_helps_and_anothers_does_not(tiny: ContextModel) -> None:
    errors = {"alone": 0.0, "own": 0.0, "other": 0.0}
    for seed in range(4):
        xyz, signal = person(seed)
        _, stranger = person(seed + 10)
        window, hidden = signal[None, :, :40], hidden_tokens(seed=seed)
        for name, context in (
            ("alone", None),
            ("own", _context(signal[:, 40:])),
            ("other", _context(stranger)),
        ):
            answer = tiny.reconstruct(window, xyz, hidden, context).predicted
            errors[name] += float((answer - window)[hidden].square().sum())
    assert errors["own"] < 0.8 * errors["alone"], errors
    assert errors["own"] < 0.8 * errors["other"], errors


@torch.no_grad()
def test_hidden_values_never_reach_an_answer(tiny: ContextModel) -> None:
    xyz, signal = person(1)
    window, hidden = signal[None, :, :40], hidden_tokens()
    spoilt = torch.where(hidden, torch.full_like(window, torch.nan), window)
    for context in (None, _context(signal[:, 40:])):
        for method in (tiny.reconstruct, tiny.reconstruct_hidden):
            plain, other = (method(x, xyz, hidden, context).predicted for x in (window, spoilt))
            assert torch.equal(plain, other)
        plain, other = (tiny.encode(x, xyz, hidden, context).tokens for x in (window, spoilt))
        assert torch.equal(plain, other)
        maps = [tiny.attention(x, xyz, hidden, context).maps for x in (window, spoilt)]
        assert torch.equal(maps[0], maps[1])


@torch.no_grad()
def test_a_forecast_reads_the_window_alone(tiny: ContextModel) -> None:
    xyz, signal = person(2)
    window = signal[None, :, :40]
    future = torch.zeros_like(window, dtype=torch.bool)
    future[:, :, 30:] = True
    own, process = tiny.reconstruct(window, xyz, future, _context(signal[:, 40:])), tiny.process
    torch.testing.assert_close(own.predicted, process.reconstruct(window, xyz, future).predicted)


@torch.no_grad()
def test_windows_of_a_batch_read_their_own_recordings(tiny: ContextModel) -> None:
    xyz, one = person(3)
    _, two = person(4)
    windows, hidden = torch.stack([one[:, :40], two[:, :40]]), hidden_tokens().expand(2, -1, -1)
    moments = torch.stack([second_moments(x[:, 40:]) for x in (one, two)])
    both = ContextStatistics.of_moments(moments, torch.tensor([600.0, 600.0]))
    together = tiny.reconstruct(windows, xyz, hidden, both).predicted
    for index, x in enumerate((one, two)):
        single = tiny.reconstruct(windows[index : index + 1], xyz, hidden[:1], _context(x[:, 40:])).predicted
        torch.testing.assert_close(together[index], single[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_is_the_scans_and_has_no_group_in_it(tiny: ContextModel) -> None:
    xyz, signal = person(5)
    context, window = _context(signal[:, 40:]), signal[None, :, :40]
    before = tiny.attention(window, xyz, None, context).maps
    assert before.shape == (1, 4, 2, 24, 24)
    torch.testing.assert_close(before.sum(-1), torch.ones(before.shape[:-1]))
    steady = tiny.attention(window, xyz, None, context, steadied=0.5).maps
    for bank in tiny.process.bank_list():
        bank.loadings.mul_(torch.rand_like(bank.loadings))
    tiny.process._bases.clear()
    assert torch.equal(before, tiny.attention(window, xyz, None, context).maps)
    assert not torch.allclose(steady, tiny.attention(window, xyz, None, context, steadied=0.5).maps)
    assert not torch.allclose(before, steady)


@torch.no_grad()
def test_attention_of_one_window_reads_that_window(tiny: ContextModel) -> None:
    xyz, signal = person(6)
    _, stranger = person(16)
    connectivity = torch.corrcoef(signal[:, :400])
    off = ~torch.eye(24, dtype=torch.bool)

    def likeness(x: torch.Tensor) -> float:
        logits = tiny.attention(x[None, :, :40], xyz).maps[0].log().mean((0, 1))
        return float(torch.corrcoef(torch.stack([logits[off], connectivity[off]]))[0, 1])

    assert likeness(signal) > likeness(stranger) + 0.3


@torch.no_grad()
def test_a_parcel_flat_in_the_context_only_is_read_by_nobody(tiny: ContextModel) -> None:
    xyz, signal = person(7)
    rest = signal[:, 40:].clone()
    rest[3] = 0
    window, hidden = signal[None, :, :40], hidden_tokens()
    answer = tiny.reconstruct(window, xyz, hidden, _context(rest)).predicted
    assert torch.isfinite(answer).all()
    without = tiny.reconstruct(window, xyz, hidden).predicted
    assert not torch.allclose(answer, without)
    kernel = tiny.attention(window, xyz, None, _context(rest)).maps[0]
    row = kernel[:, :, 3][:, :, [k for k in range(24) if k != 3]]
    torch.testing.assert_close(row, row.mean(-1, keepdim=True).expand_as(row))  # no parcel above another


@torch.no_grad()
def test_regimes_without_gains_are_the_processs(tiny: ContextModel) -> None:
    xyz, signal = person(8)
    window, hidden = signal[None, :, :40], hidden_tokens()
    object.__setattr__(tiny.config, "inference_of_regime", (-1,) * len(tiny.config.inference_of_regime))
    answer = tiny.reconstruct(window, xyz, hidden, _context(signal[:, 40:])).predicted
    torch.testing.assert_close(answer, tiny.process.reconstruct(window, xyz, hidden).predicted)
