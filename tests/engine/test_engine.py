"""The engine: batches, memory, precision, read-outs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from small_engines import recording, save_tiny

from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.inference import batches
from brainlm_core.inference import engine as engine_module
from brainlm_core.inference.devices import choose_device, choose_precision
from brainlm_core.inference.engine import Cancelled, Engine, get_engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine.load(save_tiny(tmp_path_factory.mktemp("m") / "tiny"), device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def image_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = save_tiny(tmp_path_factory.mktemp("i") / "tiny", image=True)
    return Engine.load(folder, device="cpu", precision="fp32")


def test_reconstruct_hides_what_was_asked(engine: Engine) -> None:
    w = engine.windows(recording())
    hidden = np.zeros((12, 200), dtype=bool)
    hidden[:, 185:] = True
    out = engine.reconstruct(w, hidden)
    assert out.predicted.shape == w.values.shape
    assert out.predicted.dtype == np.float32
    assert out.hidden[:, :, 180:].all()
    assert not out.hidden[:, :, :180].any()


def test_batches_do_not_change_the_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    w = engine.windows(recording(1400))
    assert w.n_windows == 7
    hidden = np.zeros((12, 200), dtype=bool)
    hidden[3] = True
    whole = engine.reconstruct(w, hidden)
    maps = engine.attention(w)
    monkeypatch.setattr(batches, "BATCH_TOKENS", {"cpu": 240})
    assert engine._batch_size(w) == 2
    parts = engine.reconstruct(w, hidden)
    assert np.allclose(whole.predicted, parts.predicted, atol=1e-5)
    assert np.allclose(maps.maps, engine.attention(w).maps, atol=1e-6)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_halves_the_batch(tmp_path: Path, error: Exception) -> None:
    engine = Engine.load(save_tiny(tmp_path / "tiny"), device="cpu", precision="fp32")
    w = engine.windows(recording(1400))
    expected = engine.embed(w)
    sizes: list[int] = []
    encode = engine.model.encode

    def tight(signal: torch.Tensor, xyz: torch.Tensor, hidden: torch.Tensor | None = None) -> object:
        sizes.append(len(signal))
        if len(signal) > 2:
            raise error
        return encode(signal, xyz, hidden)

    engine.model.encode = tight  # type: ignore[assignment, method-assign]
    got = engine.embed(w)
    assert np.allclose(got.cls, expected.cls, atol=1e-5)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    sizes.clear()
    engine.embed(w)
    assert max(sizes) == 1  # remembered


def test_one_window_too_large_is_an_error_in_words(tmp_path: Path) -> None:
    engine = Engine.load(save_tiny(tmp_path / "tiny"), device="cpu")

    def never(*_: object) -> object:
        raise MemoryError

    engine.model.encode = never  # type: ignore[assignment, method-assign]
    with pytest.raises(EngineError, match="does not fit"):
        engine.embed(engine.windows(recording()))


def test_other_errors_are_not_swallowed(tmp_path: Path) -> None:
    engine = Engine.load(save_tiny(tmp_path / "tiny"), device="cpu")

    def broken(*_: object) -> object:
        raise RuntimeError("shapes differ")

    engine.model.encode = broken  # type: ignore[assignment, method-assign]
    with pytest.raises(RuntimeError, match="shapes differ"):
        engine.embed(engine.windows(recording()))
    assert batches.TURNS.idle  # nobody else is kept waiting


def test_progress_and_cancel(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_TOKENS", {"cpu": 1})
    w = engine.windows(recording(1400))
    seen: list[float] = []
    engine.embed(w, progress=lambda share, text: seen.append(share))
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen == sorted(seen)
    assert len(seen) == 8
    calls = iter([False, False, True])
    with pytest.raises(Cancelled):
        engine.embed(w, cancel=lambda: next(calls))


def test_padding_is_hidden_from_the_model(engine: Engine) -> None:
    w = engine.windows(recording(130))
    out = engine.reconstruct(w, np.zeros((12, 200), dtype=bool))
    assert out.hidden[:, :, 140:].all()
    assert not out.hidden[:, :, :140].any()
    spoiled = w.values.copy()
    spoiled[:, :, 140:] = 99
    other = type(w)(**{**w.__dict__, "values": spoiled})
    assert np.array_equal(engine.embed(w).cls, engine.embed(other).cls)
    assert np.array_equal(engine.attention(w).maps, engine.attention(other).maps)


def test_attention_views(engine: Engine) -> None:
    w = engine.windows(recording())
    every, mean = engine.attention(w, average=False), engine.attention(w)
    assert every.maps.shape == (3, 2, 2, 12, 12)
    assert np.allclose(every.maps.mean(axis=0), mean.maps, atol=1e-6)
    assert mean.parcel_map().shape == (12, 12)
    assert np.allclose(mean.parcel_map(1, 0), mean.maps[1, 0])
    assert np.allclose(every.parcel_map(1), mean.maps[1].mean(axis=0), atol=1e-6)
    assert mean.cls_map().shape == (12,)
    assert np.allclose(mean.rollout().sum(axis=1), 1, atol=1e-5)
    with pytest.raises(ConfigError, match="no layer 2"):
        mean.parcel_map(2)
    with pytest.raises(ConfigError, match="no head 9"):
        mean.parcel_map(0, 9)


def test_parcels_of_an_image_model_share_tokens(image_engine: Engine) -> None:
    w = image_engine.windows(recording(200, n_parcels=424))
    attention = image_engine.attention(w)
    matrix = attention.parcel_map()
    assert matrix.shape == (424, 424)
    assert np.allclose(
        matrix.sum(axis=1)[:5], attention.maps.mean((0, 1)).sum(-1)[attention.group[:5]], atol=1e-5
    )
    same = attention.group == attention.group[0]
    assert np.allclose(matrix[0], matrix[np.flatnonzero(same)[-1]])
    with pytest.raises(EngineError, match="424 parcels"):
        image_engine.windows(recording(200))


def test_masks_that_do_not_fit_are_refused(engine: Engine) -> None:
    with pytest.raises(EngineError, match="mask of shape"):
        engine.reconstruct(engine.windows(recording()), np.zeros((5, 200), dtype=bool))


def test_device_and_precision_settings(engine: Engine) -> None:
    cpu = torch.device("cpu")
    assert choose_device("cpu") == cpu
    assert choose_precision("fp32", cpu, engine.model) == "fp32"
    assert choose_precision("auto", cpu, engine.model) in ("fp32", "bf16")
    with pytest.raises(ConfigError, match="device"):
        choose_device("tpu")
    with pytest.raises(ConfigError, match="precision"):
        choose_precision("int4", cpu, engine.model)
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="no cuda device"):
            choose_device("cuda")


def test_precision_follows_the_processor(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for native, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("brainlm_core.inference.devices.cpu_multiplies_bf16", lambda n=native: n)
        assert choose_precision("auto", cpu, engine.model) == expected
    monkeypatch.setattr(type(engine.model), "low_precision", False)
    assert choose_precision("auto", cpu, engine.model) == "fp32"


def test_bf16_engine_stays_close(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny")
    exact = Engine.load(folder, device="cpu", precision="fp32")
    low = Engine.load(folder, device="cpu", precision="bf16")
    assert low.info.precision == "bf16"
    w = exact.windows(recording())
    a, b = exact.embed(w), low.embed(w)
    assert b.cls.dtype == np.float32
    assert np.abs(a.cls - b.cls).max() < 0.1
    assert not np.array_equal(a.cls, b.cls)


def test_one_engine_per_model_and_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_CACHE", type(engine_module._CACHE)())
    names = [save_tiny(tmp_path / f"tiny{i}") for i in range(engine_module.MAX_ENGINES + 1)]
    first = get_engine(names[0])
    assert get_engine(names[0]) is first
    for name in names[1:]:
        get_engine(name)
    assert len(engine_module._CACHE) == engine_module.MAX_ENGINES
    assert get_engine(names[0]) is not first


def test_only_one_batch_runs_at_a_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    running, worst = 0, 0
    encode = type(engine.model).encode

    def counted(self: object, *args: object) -> object:
        nonlocal running, worst
        running += 1
        worst = max(worst, running)
        out = encode(self, *args)  # type: ignore[arg-type]
        running -= 1
        return out

    monkeypatch.setattr(type(engine.model), "encode", counted)
    w = engine.windows(recording())
    threads = [threading.Thread(target=engine.embed, args=(w,)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert worst == 1


def test_info(engine: Engine) -> None:
    info = engine.info.to_dict()
    assert info["family"] == "parcel_token"
    assert info["device"] == "cpu"
    assert info["n_parameters"] == sum(p.numel() for p in engine.model.parameters())
    assert not info["is_random"]
