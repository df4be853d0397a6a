"""Loading is strict, and every broken folder gets one sentence."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import IMAGE, PARCEL

from brainlm_core.errors import CheckpointError
from brainlm_core.model.checkpoints import load_folder, random_model, save_folder


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
    assert "vit.embeddings.position_embeddings" in text or "vit.embeddings.patch_embeddings" in text


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
