"""Loading is strict, and every broken folder gets one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import IMAGE, PARCEL, fine_tuned

from brainlm_core.base.errors import CheckpointError, EngineError
from brainlm_core.model.checkpoints import _empty, load_folder, load_state, random_model, save_folder
from brainlm_core.model.state_files import find_state_files, read_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    save_folder(random_model(PARCEL, seed=0), path)
    return path


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_folder(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.fix
    return text


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    state = load_file(folder / "model.safetensors")
    for key, value in tensors.items():
        key = key.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    save_file(state, folder / "model.safetensors")


def test_missing_and_unexpected_keys_are_named(folder: Path) -> None:
    change(folder, vit__layernorm__weight=None, vit__extra=torch.zeros(1))
    text = refused(folder)
    assert "missing vit.layernorm.weight" in text
    assert "unexpected vit.extra" in text


def test_other_shape_is_named(folder: Path) -> None:
    change(folder, vit__layernorm__weight=torch.zeros(17))
    assert "vit.layernorm.weight (17,) for (16,)" in refused(folder)


def test_unused_published_entries_are_accepted(folder: Path) -> None:
    change(
        folder,
        decoder__decoder_pred__weight=torch.zeros(768, 16),
        decoder__decoder_pred__bias=torch.zeros(768),
        vit__embeddings__pos_embedding__pe=torch.zeros(5000, 16),
        decoder__pos_embedding__pe=torch.zeros(5000, 16),
    )
    load_folder(folder)


def test_position_tables_of_images_may_be_left_out(tmp_path: Path) -> None:
    model = random_model({**IMAGE, "patch_size": 14}, seed=0)
    save_folder(model, tmp_path / "m")
    whole = load_folder(tmp_path / "m")
    change(tmp_path / "m", vit__embeddings__position_embeddings=None, decoder__decoder_pos_embed=None)
    again = load_folder(tmp_path / "m")
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_wrong_family_names_both(folder: Path) -> None:
    config = random_model({**IMAGE, "patch_size": 16}, seed=0).config.to_dict()
    (folder / "config.json").write_text(json.dumps(config))
    text = refused(folder)
    assert "image-token model" in text
    assert "parcel-token model" in text


def test_nan_weights_are_refused(folder: Path) -> None:
    change(folder, vit__layernorm__bias=torch.full((16,), torch.nan))
    assert "NaN" in refused(folder)


def test_half_precision_files_load_as_float32(folder: Path) -> None:
    state = {k: v.half() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors")
    assert {p.dtype for p in load_folder(folder).parameters()} == {torch.float32}


def test_pickled_weights_load_and_equal(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    loaded = load_folder(folder).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items())
    torch.save({"state_dict": state, "epoch": 3}, folder / "pytorch_model.bin")
    load_folder(folder)


class _Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("echo broken in",)


def test_code_in_a_pickle_is_not_run(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": _Evil()}, folder / "pytorch_model.bin")
    refused(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    refused(folder)
    assert "broken in" not in capfd.readouterr().out


def test_zip_bomb_is_refused_before_it_unpacks(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"archive/data/{i}", bytes(40 << 20))
    assert (folder / "pytorch_model.bin").stat().st_size < 1 << 20
    assert "unpacks to far more" in refused(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04broken", b"\xff" * 64])
def test_rubbish_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    assert "damaged" in refused(folder)


def test_truncated_safetensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged or incomplete" in refused(folder)


def test_oversized_file_is_refused(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(200 << 20)  # sparse
    assert "far larger" in refused(folder)


@pytest.mark.parametrize("config", ["", "{", "[]", "3", '{"a": NaN'])
def test_broken_configurations(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)
    assert "config.json" in refused(folder)


def test_things_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    assert "no model folder" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refused(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    assert "neither model.safetensors nor pytorch_model.bin" in refused(folder)


def test_absurd_sizes_are_refused_before_anything_is_allocated(folder: Path) -> None:
    for absurd in ({"num_hidden_layers": 10**9}, {"hidden_size": 2**40}, {"num_hidden_layers": -1}):
        (folder / "config.json").write_text(json.dumps({**PARCEL, **absurd}))
        assert "not usable" in refused(folder)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("nested", ["", "state_dict", "model", "model_state_dict"])
def test_what_wrapped_a_model_in_training_is_taken_off(folder: Path, prefix: str, nested: str) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    wrapped: dict = {prefix + k: v for k, v in state.items()}
    torch.save({nested: wrapped, "epoch": 3} if nested else wrapped, folder / "pytorch_model.bin")
    loaded = load_folder(folder).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items())


def shard(folder: Path, suffix: str) -> dict[str, torch.Tensor]:
    """Split the weights into three files with an index, as large models are saved."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    places = {}
    for part in range(3):
        names = list(state)[part::3]
        path = folder / f"{stem}-{part + 1:05d}-of-00003.{suffix}"
        tensors = {n: state[n].half() for n in names}
        if suffix == "safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors, path)
        places.update(dict.fromkeys(names, path.name))
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return state


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_sharded_half_precision_files_load(folder: Path, suffix: str) -> None:
    state = shard(folder, suffix)
    loaded = load_folder(folder).state_dict()
    assert all(torch.equal(loaded[k], v.half().float()) for k, v in state.items())


def test_an_index_that_is_wrong_is_said(folder: Path) -> None:
    shard(folder, "safetensors")
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())
    (folder / "model-00002-of-00003.safetensors").rename(folder / "aside")
    assert "1 of the 3 weight files that model.safetensors.index.json names are missing" in refused(folder)
    for bad in ("../secret.safetensors", "/etc/passwd", "..", "sub/x.safetensors", 3):
        index.write_text(json.dumps({"weight_map": {**good["weight_map"], "x": bad}}))
        refused(folder)
    for broken in ("", "{}", "[]", '{"weight_map": 3}', '{"weight_map": {}}'):
        index.write_text(broken)
        assert "damaged" in refused(folder)
    shutil.copy(folder / "model-00001-of-00003.safetensors", folder / "model-00002-of-00003.safetensors")
    index.write_text(json.dumps(good))
    assert "repeats tensors of another file" in refused(folder)


def test_encoder_only_files_embed_and_say_what_they_cannot_do(tmp_path: Path) -> None:
    state = fine_tuned(tmp_path / "tuned")
    model = load_folder(tmp_path / "tuned")
    x, xyz = torch.randn(1, 424, 200, generator=torch.Generator().manual_seed(1)), torch.randn(424, 3)
    whole = random_model({**IMAGE, "patch_size": 16}, seed=0)
    assert torch.equal(model.encode(x, xyz).cls, whole.encode(x, xyz).cls)
    with pytest.raises(EngineError, match=r"an encoder without decoder.*attention and embeddings"):
        model.reconstruct(x, xyz, torch.zeros(x.shape, dtype=torch.bool))
    with pytest.raises(EngineError, match="an encoder without decoder"):
        model(x[:, None].expand(-1, 3, -1, -1))
    fine_tuned(tmp_path / "broken", drop="vit.layernorm.weight")
    assert "missing vit.layernorm.weight" in refused(tmp_path / "broken")
    assert state


def test_a_model_without_decoder_and_without_head_is_incomplete(tmp_path: Path) -> None:
    model = random_model({**IMAGE, "patch_size": 16}, seed=0)
    save_folder(model, tmp_path / "m")
    encoder = {k: v for k, v in model.state_dict().items() if not k.startswith("decoder.")}
    save_file(encoder, tmp_path / "m" / "model.safetensors")
    assert "missing decoder." in refused(tmp_path / "m")


def test_loading_takes_the_weights_into_memory_once(tmp_path: Path) -> None:
    """Float32 weights are mapped from their file, never copied."""
    folder = tmp_path / "tiny"
    save_folder(random_model(PARCEL, seed=0), folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    mapped = read_state(find_state_files(folder))
    model = load_state(_empty(PARCEL), mapped, "tiny")
    for name, value in model.state_dict().items():
        assert value.data_ptr() == mapped[name].data_ptr(), name
