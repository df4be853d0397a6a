"""A file that was made on a click is there when the browser asks for it, whatever the others do."""

from __future__ import annotations

import pytest
from streamlit.runtime import media_file_manager
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from app.shell.streamlit_patches.media_files import ROUND_S, take_away_slowly


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> MediaFileManager:
    monkeypatch.setattr(media_file_manager, "_get_session_id", lambda: "ann")
    return MediaFileManager(MemoryMediaFileStorage("/media"))


def made(manager: MediaFileManager) -> str:
    """Make a file on a click; return its name."""
    deferred = manager.add_deferred(lambda: b"mine", "application/octet-stream", "1", file_name="mine.npz")
    return manager.execute_deferred(deferred).rpartition("/")[2].partition("?")[0].partition(".")[0]


def test_others_runs_do_not_take_it_away_before_it_is_fetched(manager: MediaFileManager) -> None:
    clock = Clock()
    take_away_slowly(manager, clock)
    name = made(manager)
    for _ in range(50):  # pages of other visitors
        manager.remove_orphaned_files()
        clock.now += 0.1
    found = manager.read_file(name)
    assert found is not None and found.content == b"mine"


def test_it_does_go_after_a_while(manager: MediaFileManager) -> None:
    clock = Clock()
    take_away_slowly(manager, clock)
    name = made(manager)
    for _ in range(2):
        clock.now += ROUND_S + 1
        manager.remove_orphaned_files()
    assert manager.read_file(name) is None
