"""Weights by name, the licence gate, and the hub behind a stand-in."""

from __future__ import annotations

import builtins
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_engines import save_tiny

from brainlm_core import hub, weights
from brainlm_core.errors import CheckpointError, ConfigError, DownloadError
from tests.engine.hub_stand_in import COMMIT, Hub, serve


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BRAINLM_HUB_REVISION", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model."""
    save_tiny(tmp_path / "remote" / "old_13M")
    with serve(tmp_path / "remote") as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        yield state


def test_licence_must_be_accepted_once(remote: Hub) -> None:
    with pytest.raises(ConfigError, match=r"CC BY-NC-ND.*--accept-licence"):
        weights.load("13m")
    assert not remote.gets
    loaded = weights.load("13m", accept_licence=True)
    assert loaded.licence == "CC BY-NC-ND 4.0"
    assert loaded.revision == COMMIT
    assert not loaded.is_random
    assert weights.licence_accepted()
    weights.load("13m")


def test_download_is_pinned_minimal_reports_progress_and_happens_once(remote: Hub) -> None:
    (remote.folder / "old_13M" / "README.md").write_text("not wanted")
    seen: list[tuple[float, str]] = []
    weights.load("13m", accept_licence=True, progress=lambda share, text: seen.append((share, text)))
    wanted = ["old_13M/config.json", "old_13M/model.safetensors"]
    assert remote.gets == [(name, "") for name in wanted]
    size = (remote.folder / wanted[1]).stat().st_size / 1e6
    assert (1.0, f"Fetching old_13M: {size:.0f} of {size:.0f} MB") in seen
    assert seen[-1] == (1.0, "Weights are here")
    weights.load("13m")
    assert len(remote.gets) == 2


def test_once_downloaded_no_network_is_needed(remote: Hub) -> None:
    weights.load("13m", accept_licence=True)
    remote.down = True
    weights.load("13m")


def test_progress_bar_writes_nothing(remote: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    weights.load("13m", accept_licence=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_missing_revision_or_folder_is_said(remote: Hub) -> None:
    remote.commits = ["b" * 40]
    with pytest.raises(DownloadError, match="no longer holds the pinned revision"):
        weights.load("13m", accept_licence=True)
    remote.commits = [COMMIT]
    (remote.folder / "old_13M" / "config.json").unlink()
    with pytest.raises(DownloadError, match="no complete folder old_13M"):
        weights.load("13m")


@pytest.mark.parametrize("error", [ConnectionError("x"), OSError("disk full"), TimeoutError()])
def test_offline_is_one_sentence(remote: Hub, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(hub, "download", fail)
    with pytest.raises(DownloadError, match="bundled default model"):
        weights.load("13m", accept_licence=True)


def test_offline_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError("network is unreachable")

    monkeypatch.setattr(time, "sleep", lambda _: None)  # the hub's library tries five times, ever slower
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="cannot be fetched"):
        weights.load("13m", accept_licence=True)


def test_read_only_cache_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    weights.accept_published_licence()
    assert not weights.licence_accepted()


def test_garbled_acceptance_counts_as_none(cache: Path) -> None:
    cache.mkdir()
    for text in ("", "[]", "{", '{"other": true}'):
        (cache / "accepted_licences.json").write_text(text)
        assert not weights.licence_accepted()


@pytest.mark.parametrize("name", ["random:13m", "random:111m"])
def test_random_twins_need_no_network_no_licence(name: str) -> None:
    loaded = weights.load(name)
    assert loaded.is_random
    assert loaded.name == name
    weight = next(p for k, p in loaded.model.named_parameters() if k.endswith("query.weight"))
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    bias = next(p for k, p in loaded.model.named_parameters() if k.endswith("query.bias"))
    assert not bias.detach().any()
    twin = weights.load(name).model
    assert torch.equal(
        dict(twin.named_parameters())["vit.embeddings.cls_token"], loaded.model.vit.embeddings.cls_token
    )


def test_random_twin_of_a_folder_and_of_the_default(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny")
    twin, real = weights.load(f"random:{folder}"), weights.load(folder)
    assert twin.is_random
    assert not real.is_random
    assert twin.model.config == real.model.config
    assert weights.load("random:default").model.config == weights.load("default").model.config


def test_default_is_bundled_and_says_its_licence() -> None:
    loaded = weights.load("default")
    assert loaded.source.startswith("bundled")
    assert loaded.licence == weights.bundled_licence()


def test_default_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "default_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match="bundled weights are missing"):
        weights.load("default")


@pytest.mark.parametrize("name", ["", " ", "no-such-model", "random:", "random:no-such", "hub:13m"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ConfigError, match="choose default, 13m"):
        weights.load(name)


def test_loading_does_not_print(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asked on a terminal"))
    weights.load("random:13m")
    assert capsys.readouterr().out == ""


def test_published_configurations_survive_json() -> None:
    for published in weights.PUBLISHED.values():
        again = type(published.config).from_dict(json.loads(json.dumps(published.config.to_dict())))
        assert again == published.config
