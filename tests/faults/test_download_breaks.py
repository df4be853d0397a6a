"""The hub goes away half way: what came is kept, the next try goes on, and the file is the right one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import DownloadError
from brainlm_core.inference import hub
from tests.engine.hub_stand_in import Hub, serve

SIZE = 3_000_000
CUT = 1_900_000


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folder = tmp_path / "remote" / "old_13M"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(np.random.default_rng(0).bytes(SIZE))
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BRAINLM_HUB_REVISION", raising=False)
    with serve(tmp_path / "remote") as state:
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        yield state


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ranges(remote: Hub) -> list[str]:
    return [asked for name, asked in remote.gets if name.endswith("bin")]


def check_whole(remote: Hub, folder: Path) -> None:
    assert sha256(folder / "pytorch_model.bin") == sha256(remote.folder / "old_13M" / "pytorch_model.bin")
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "pytorch_model.bin"]


def test_the_next_try_goes_on_where_the_connection_broke(
    remote: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.cut_after = CUT
    with pytest.raises(DownloadError, match=r"broke after 2 of 3 MB, which are kept; try again: it goes on"):
        hub.fetch("old_13M")
    assert hub.cached("old_13M") is None  # half a file is not taken for a whole one
    assert ranges(remote) == ["", f"bytes={CUT}-"]  # it had tried to go on by itself
    remote.cut_after, remote.down = None, True
    with pytest.raises(DownloadError, match="cannot be fetched from the Hugging Face hub now"):
        hub.fetch("old_13M")
    remote.down = False
    seen: list[str] = []
    folder = hub.fetch("old_13M", lambda _, text: seen.append(text)).folder
    assert ranges(remote)[-1] == f"bytes={CUT}-"
    assert "Fetching old_13M: 3 of 3 MB" in seen
    check_whole(remote, folder)
    assert hub.cached("old_13M") == folder


def test_a_break_that_heals_is_not_noticed(remote: Hub) -> None:
    remote.cut_after = CUT

    class Gets(list):  # type: ignore[type-arg]
        def append(self, got: tuple[str, str]) -> None:
            super().append(got)
            if got[1]:
                remote.cut_after = None

    remote.gets = Gets()
    check_whole(remote, hub.fetch("old_13M").folder)
    assert ranges(remote) == ["", f"bytes={CUT}-"]


def test_a_server_without_ranges_begins_anew(remote: Hub) -> None:
    remote.cut_after = CUT
    with pytest.raises(DownloadError):
        hub.fetch("old_13M")
    remote.cut_after, remote.ranges = None, False
    check_whole(remote, hub.fetch("old_13M").folder)


def test_damaged_bytes_are_thrown_away(remote: Hub) -> None:
    remote.garble = True
    with pytest.raises(DownloadError, match=r"pytorch_model\.bin arrived damaged; try again"):
        hub.fetch("old_13M")
    remote.garble = False
    check_whole(remote, hub.fetch("old_13M").folder)
    assert ranges(remote)[-1] == ""


def test_a_cancelled_download_goes_on_too(remote: Hub) -> None:
    class Stopped(Exception):
        pass

    def stop(share: float, _: str) -> None:
        if 0.4 < share < 1:
            raise Stopped

    with pytest.raises(Stopped):
        hub.fetch("old_13M", stop)
    check_whole(remote, hub.fetch("old_13M").folder)
    assert ranges(remote)[-1].startswith("bytes=1")


def test_a_cache_that_cannot_be_written_is_one_sentence(
    remote: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where the folder should be refuses everybody, root included; a read-only disk is another errno.
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "occupied" / "cache"))
    with pytest.raises(DownloadError, match=r"cache folder is not writable.*set BRAINLM_CACHE"):
        hub.fetch("old_13M")
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "closed" / "cache"))
        with pytest.raises(DownloadError, match="cache folder is not writable"):
            hub.fetch("old_13M")
