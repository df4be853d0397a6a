"""Equality with stored numbers of the published code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import BrainLMError
from brainlm_core.features.verify.analysis import bundled_cases, verify
from brainlm_core.features.verify.recipe import recipe_inputs, recipe_state

#: Cases that the product itself carries, and two that only the tests need.
FOLDERS = {
    p.name: p for where in (bundled_cases(), (Path(__file__).parent / "fixtures").iterdir()) for p in where
}


@pytest.mark.parametrize("case", sorted(FOLDERS))
def test_bundled_case_is_equal(case: str) -> None:
    result = verify(FOLDERS[case])
    assert result.mask_equal
    assert result.passed, result.to_dict()
    assert not result.skipped
    assert set(result.max_abs_error.values()).isdisjoint({None})


def test_all_shared_cases_are_equal(shared_fixture_dir: Path) -> None:
    folders = [p for p in sorted(shared_fixture_dir.iterdir()) if p.name.startswith("tiny")]
    assert folders
    for folder in folders:
        assert verify(folder).passed, folder.name


@pytest.mark.slow
def test_real_shape_is_equal_from_rebuilt_weights(shared_fixture_dir: Path) -> None:
    for folder in sorted(shared_fixture_dir.glob("real_*")):
        result = verify(folder)
        # Not the digest of the weights: torch draws normal numbers with the instructions that a processor
        # has, and their last bits differ between processors. The outputs must agree all the same.
        assert result.passed, result.to_dict()


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDERS["tiny13m_mask075"], tmp_path / "case")
    with np.load(folder / "outputs.npz") as store:
        arrays = dict(store)
    arrays["logits"] = arrays["logits"] + 2e-5
    np.savez(folder / "outputs.npz", **arrays)
    result = verify(folder)
    assert not result.passed
    assert result.mask_equal
    assert result.max_abs_error["logits"] == pytest.approx(2e-5, rel=0.2)


def test_a_wrong_mask_is_found(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDERS["tiny13m_mask075"], tmp_path / "case")
    with np.load(folder / "outputs.npz") as store:
        arrays = dict(store)
    arrays["mask"] = 1 - arrays["mask"]
    np.savez(folder / "outputs.npz", **arrays)
    assert not verify(folder).mask_equal


def test_missing_optional_arrays_and_unknown_ones_are_fine(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDERS["tiny13m_mask075"], tmp_path / "case")
    with np.load(folder / "outputs.npz") as store:
        arrays = {"cls": store["cls"], "something_new": np.zeros(3)}
    np.savez(folder / "outputs.npz", **arrays)
    result = verify(folder)
    assert result.passed
    assert result.skipped == ("something_new",)
    assert result.max_abs_error["attention"] is None


def test_nan_loss_equals_nan_only(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDERS["tiny13m_mask000_identity"], tmp_path / "case")
    assert verify(folder).max_abs_error["loss"] == 0
    with np.load(folder / "outputs.npz") as store:
        arrays = dict(store)
    arrays["loss"] = np.float32(0.5)
    np.savez(folder / "outputs.npz", **arrays)
    assert not verify(folder).passed


def test_recipe_rebuilds_the_stored_weights() -> None:
    from safetensors.numpy import load_file

    stored = load_file(FOLDERS["tiny13m_mask075"] / "model.safetensors")
    rebuilt = recipe_state({k: {"shape": list(v.shape)} for k, v in stored.items()})
    assert set(rebuilt) == set(stored)
    for key, value in stored.items():
        assert np.array_equal(rebuilt[key].numpy(), value), key


@pytest.mark.parametrize("broken", ["inputs.npz", "outputs.npz", "config.json", "model.safetensors"])
@pytest.mark.parametrize("how", ["gone", "text", "short"])
def test_damaged_cases_are_refused_in_words(tmp_path: Path, broken: str, how: str) -> None:
    folder = shutil.copytree(FOLDERS["tiny13m_mask075"], tmp_path / "case")
    path = folder / broken
    if how == "gone":
        path.unlink()
    elif how == "text":
        path.write_text("hello")
    else:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BrainLMError):
        verify(folder)


def test_config_with_hub_extras_is_accepted(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDERS["tinyvit_p16_predict_last_mask020"], tmp_path / "case")
    config = json.loads((folder / "config.json").read_text())
    config |= {"_name_or_path": "x", "torch_dtype": "float32", "image_size": 432, "model_type": "vit_mae"}
    (folder / "config.json").write_text(json.dumps(config))
    assert verify(folder).passed


def test_recipe_rebuilds_the_stored_inputs(shared_fixture_dir: Path) -> None:
    folder = shared_fixture_dir / "real_old13M_config_h512"
    told = json.loads((folder / "summary.json").read_text())["inputs"]
    rebuilt = recipe_inputs(told)
    with np.load(folder / "inputs.npz") as stored:
        for key in ("signal", "xyz", "noise"):
            assert np.array_equal(rebuilt[key], stored[key]), key
    pixels = recipe_inputs("pixels('x', distinct=False)")["pixel_values"]
    assert pixels.shape == (1, 3, 424, 200)
    assert np.array_equal(pixels[:, 0], pixels[:, 2])


def test_unstored_inputs_and_noise_are_rebuilt(tmp_path: Path, shared_fixture_dir: Path) -> None:
    source = FOLDERS["tinyvit_p14_autoencode_mask075"]
    folder = shutil.copytree(source, tmp_path / "case")
    with np.load(folder / "inputs.npz") as store:
        pixels = store["pixel_values"]
    np.savez(folder / "inputs.npz", pixel_values=pixels)
    assert verify(folder).passed  # the noise is drawn with the seed that the case names
