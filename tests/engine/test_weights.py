"""Weights by name, the licence gate, and the hub behind a stand-in."""

from __future__ import annotations

import builtins
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_engines import save_tiny

from brainlm_core.base.errors import CheckpointError, ConfigError, DownloadError
from brainlm_core.inference import download, hub, weights
from brainlm_core.model import build
from brainlm_core.model.config import ParcelTokenConfig
from tests.engine.hub_stand_in import COMMIT, RECORDED, Hub, serve


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BRAINLM_HUB_REVISION", raising=False)
    return tmp_path / "cache"


def save_published(folder: Path) -> None:
    """Write a small model as the repository lays its models out: a pickle, and left-overs of training."""
    save_tiny(folder)
    safe = folder / "model.safetensors"
    torch.save(load_file(safe), folder / "pytorch_model.bin")
    safe.unlink()
    for name in ("optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json", "training_args.bin"):
        (folder / name).write_bytes(b"not wanted")


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model."""
    save_published(tmp_path / "remote" / "old_13M")
    with serve(tmp_path / "remote") as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        yield state


def test_the_pin_is_the_head_of_main_in_the_recorded_history() -> None:
    assert RECORDED["repository"] == hub.REPOSITORY
    assert RECORDED["branches"]["main"]["head"] == hub.PINNED_REVISION
    assert len(hub.PINNED_REVISION) == 40
    for other in RECORDED["pull_requests"].values():
        assert not hub.PINNED_REVISION.startswith(other["tip_begins_with"])
    assert RECORDED["sha256"] == hub.DIGESTS
    for published in weights.PUBLISHED.values():
        assert set(hub.FILES) <= set(RECORDED["folders"][published.folder])


def test_said_sizes_are_those_of_the_architectures() -> None:
    for published in weights.PUBLISHED.values():
        with torch.device("meta"):
            model = build(published.config.to_dict())
        numbers = sum(v.numel() for v in model.state_dict().values())
        if isinstance(published.config, ParcelTokenConfig):  # what the file holds and the model does not use
            width = published.config.hidden_size
            numbers += 2 * 5000 * width + 769 * width - width + 768
        assert published.size_mb == pytest.approx(4 * numbers / 1e6, abs=1)


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
    seen: list[tuple[float, str]] = []
    weights.load("13m", accept_licence=True, progress=lambda share, text: seen.append((share, text)))
    wanted = ["old_13M/config.json", "old_13M/pytorch_model.bin"]
    assert remote.gets == [(name, "") for name in wanted]
    size = (remote.folder / wanted[1]).stat().st_size / 1e6
    assert (1.0, f"Fetching old_13M: {size:.0f} of {size:.0f} MB") in seen
    assert seen[-1] == (1.0, "Weights are here and their digests are right")
    weights.load("13m")
    assert len(remote.gets) == 2


def test_time_left_comes_from_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.5, 2.0, 4.0])
    monkeypatch.setattr(hub.time, "monotonic", lambda: next(now))
    said: list[str] = []
    tell = hub._telling(lambda _, text: said.append(text), "old_13M")
    assert tell is not None
    for here in (10, 12, 20, 100):
        tell(here * 10**6, 100 * 10**6)
    assert [text.partition(" MB")[2] for text in said] == ["", "", ", about 16 s left", ""]


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
    remote.commit = "b" * 40
    with pytest.raises(DownloadError, match=f"does not hold old_13M at revision {COMMIT}"):
        weights.load("13m", accept_licence=True)
    remote.commit = COMMIT
    (remote.folder / "old_13M" / "config.json").unlink()
    with pytest.raises(DownloadError, match="does not hold old_13M"):
        weights.load("13m")


@pytest.mark.parametrize("pin", ["main", "4c54e0c", COMMIT[:-1], COMMIT.upper(), "g" * 40, "../" * 13 + "x"])
def test_only_a_whole_hash_is_a_revision(monkeypatch: pytest.MonkeyPatch, pin: str) -> None:
    monkeypatch.setenv("BRAINLM_HUB_REVISION", pin)
    with pytest.raises(DownloadError, match="not a whole commit hash; give all 40 digits"):
        weights.load("13m", accept_licence=True)


def test_a_digest_that_differs_from_the_published_one_is_refused(
    remote: Hub, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setitem(hub.DIGESTS, "old_13M/pytorch_model.bin", "0" * 64)
    with pytest.raises(DownloadError, match="another file than the published one: its SHA-256 differs"):
        weights.load("13m", accept_licence=True)
    assert not list(cache.rglob("*.bin*"))  # nothing half-written


def test_the_hubs_own_cache_is_looked_into_first(
    remote: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    root = tmp_path / "hf" / "hub" / "models--vandijklab--brainlm"
    folder = root / "snapshots" / COMMIT / "old_13M"
    folder.mkdir(parents=True)
    (root / "blobs").mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        content = (remote.folder / "old_13M" / name).read_bytes()
        blob = root / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        (folder / name).symlink_to(blob)
    loaded = weights.load("13m", accept_licence=True)
    assert loaded.revision == COMMIT
    assert not remote.gets
    blob.write_bytes(content[:-1] + b"x")  # damaged since: not used
    weights.load("13m")
    assert len(remote.gets) == 2


def test_files_brought_by_hand(remote: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.down = True
    with pytest.raises(DownloadError) as caught:
        weights.load("13m", accept_licence=True)
    place = hub.folder_by_hand("old_13M")
    assert f"put config.json and pytorch_model.bin (74 MB) of vandijklab/brainlm/old_13M into {place}" in str(
        caught.value
    )
    place.mkdir(parents=True)
    for name in ("config.json", "pytorch_model.bin"):
        (place / name).write_bytes((remote.folder / "old_13M" / name).read_bytes())
    loaded = weights.load("13m")
    assert loaded.source.endswith("brought by hand")
    assert loaded.revision is None  # no digest of it is known, so nobody can tell
    right = hashlib.sha256((place / "pytorch_model.bin").read_bytes()).hexdigest()
    monkeypatch.setitem(hub.DIGESTS, "old_13M/pytorch_model.bin", right)
    assert weights.load("13m").revision == COMMIT
    (place / "pytorch_model.bin").write_bytes(b"another file")
    with pytest.raises(CheckpointError, match="is not the published file of old_13M"):
        weights.load("13m")
    assert hub.cached("old_13M") is None


def test_offline_by_choice_asks_nobody(remote: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINLM_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"BRAINLM_OFFLINE is set; put config\.json"):
        weights.load("13m", accept_licence=True)
    assert not remote.gets


def test_a_silent_hub_is_given_up_within_five_seconds(remote: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert download.ANSWER_S <= 5
    monkeypatch.setattr(download, "ANSWER_S", 0.3)
    remote.silent_s = 2.0
    began = time.monotonic()
    with pytest.raises(DownloadError, match="cannot be fetched"):
        weights.load("13m", accept_licence=True)
    assert time.monotonic() - began < 1.9


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
    with pytest.raises(ConfigError, match="choose default, context, 13m"):
        weights.load(name)


def test_loading_does_not_print(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asked on a terminal"))
    weights.load("random:13m")
    assert capsys.readouterr().out == ""


def test_published_configurations_survive_json() -> None:
    for published in weights.PUBLISHED.values():
        again = type(published.config).from_dict(json.loads(json.dumps(published.config.to_dict())))
        assert again == published.config
