"""The 13M shape from a hub to numbers: fetched, verified, loaded, run; equal to weights put in directly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from brainlm_core.base.atlas import a424
from brainlm_core.inference import weights
from brainlm_core.model.checkpoints import _empty, load_state
from tests.engine.hub_stand_in import COMMIT, RECORDED, serve
from tests.engine.published_layout import write_published


@pytest.mark.slow
@torch.no_grad()
def test_from_the_hub_to_equal_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = weights.PUBLISHED["13m"]
    state = write_published(tmp_path / "remote", published.folder, published.config)
    assert len(state) == 124  # as the real file
    size = (tmp_path / "remote" / published.folder / "pytorch_model.bin").stat().st_size
    assert published.size_mb == pytest.approx(size / 1e6, abs=1)
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with serve(tmp_path / "remote") as remote:
        monkeypatch.setenv("HF_ENDPOINT", remote.url)
        loaded = weights.load("13m", accept_licence=True)
        fetched = [name for name, _ in remote.gets]
    assert fetched == [f"{published.folder}/{n}" for n in ("config.json", "pytorch_model.bin")]
    assert set(RECORDED["folders"][published.folder]) > {Path(n).name for n in fetched}
    assert loaded.revision == COMMIT
    direct = load_state(_empty(published.config.to_dict()), state, "direct")
    x = torch.randn(1, 40, 200, generator=torch.Generator().manual_seed(1))
    xyz = torch.from_numpy(a424().xyz[:40].copy())
    hidden = torch.zeros(x.shape, dtype=torch.bool)
    hidden[:, ::4] = True
    assert torch.equal(
        loaded.model.reconstruct(x, xyz, hidden).predicted, direct.reconstruct(x, xyz, hidden).predicted
    )
