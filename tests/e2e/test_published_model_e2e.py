"""First use of published weights in a real browser: choose, accept, fetch, go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser_tools import ROOT, App, start_streamlit
from tests.engine.hub_stand_in import Hub, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHIP = ".st-key-model-chip button"


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Hub]:
    """The hub with a small model in the place of the 13M one."""
    import torch

    from brainlm_core.model.checkpoints import random_model, save_folder

    config = {
        "hidden_size": 16, "decoder_hidden_size": 16, "num_hidden_layers": 2, "decoder_num_hidden_layers": 1,
        "num_attention_heads": 2, "decoder_num_attention_heads": 2, "intermediate_size": 32,
        "decoder_intermediate_size": 32, "conv_kernel_size": 5, "timepoint_patching_size": 20,
    }  # fmt: skip
    folder = tmp_path / "remote" / "old_13M"
    model = random_model(config, seed=0)
    save_folder(model, folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with serve(tmp_path / "remote") as state:
        yield state


@pytest.fixture
def server(remote: Hub, tmp_path: Path) -> Iterator[App]:
    environment = {
        "HF_ENDPOINT": remote.url,
        "BRAINLM_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "hf"),
    }
    with start_streamlit(ROOT / "app" / "main.py", environment=environment) as app:
        yield app


def test_choose_accept_fetch_and_the_page_goes_on(chromium: Any, server: App, remote: Hub) -> None:
    page = chromium.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}/networks")
    page.locator(CHIP).filter(has_text="CPU").wait_for()
    page.locator(CHIP).click()
    page.get_by_text("BrainLM 13M", exact=True).first.click()
    page.get_by_text("no commercial use, no changed copies").wait_for()
    assert page.get_by_text("74 MB").first.is_visible()
    assert page.get_by_text("Without internet, put").is_visible()
    accept = page.get_by_role("button", name="Accept the licence and use it")
    accept.click()
    page.locator(CHIP).filter(has_text="BrainLM 13M").wait_for()
    accept.wait_for(state="hidden")
    page.get_by_text("Published weights. One token is one parcel for 20 volumes.").wait_for(state="hidden")
    page.locator(CHIP).filter(has_text="CC BY-NC-ND").wait_for()
    assert [name for name, _ in remote.gets] == ["old_13M/config.json", "old_13M/pytorch_model.bin"]


def test_without_the_hub_the_page_says_where_to_put_the_files(
    chromium: Any, server: App, remote: Hub
) -> None:
    remote.down = True
    page = chromium.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}/networks")
    page.locator(CHIP).filter(has_text="CPU").wait_for()
    page.locator(CHIP).click()
    page.get_by_text("BrainLM 13M", exact=True).first.click()
    page.get_by_role("button", name="Accept the licence and use it").click()
    words = page.get_by_text("cannot be fetched from the Hugging Face hub now").first
    words.wait_for()
    page.get_by_text("config.json and pytorch_model.bin (74 MB)").first.wait_for()
