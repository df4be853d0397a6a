from __future__ import annotations

from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from app.shell.streamlit_patches.rerun import ask_page
from app.shell.streamlit_patches.uploads import uploaded, uploaded_by_all


class Runtime:
    def __init__(self) -> None:
        self.uploaded_file_mgr = MemoryUploadedFileManager("/upload")
        self.reruns: list[Any] = []
        self._session_mgr = self

    def get_active_session_info(self, session: str) -> Any:
        return type("Info", (), {"session": self})() if session == "a" else None

    def request_rerun(self, data: Any) -> None:
        self.reruns.append(data)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    runtime = Runtime()
    monkeypatch.setattr(st.runtime, "exists", lambda: True)
    monkeypatch.setattr(st.runtime, "get_instance", lambda: runtime)
    return runtime


def test_what_the_server_holds_is_counted_by_session(runtime: Runtime) -> None:
    for session, file, size in (("a", "1", 10), ("a", "2", 20), ("b", "1", 5), ("a", "2", 7)):
        runtime.uploaded_file_mgr.add_file(session, UploadedFileRec(file, "n", "t", b"x" * size))
    assert uploaded("a") == (2, 17) and uploaded("b") == (1, 5) and uploaded("c") == (0, 0)
    assert uploaded_by_all() == 22
    runtime.uploaded_file_mgr.remove_session_files("a")
    assert uploaded("a") == (0, 0) and uploaded_by_all() == 5
    assert "c" not in runtime.uploaded_file_mgr.file_storage, "asking leaves nothing behind"


def test_only_a_session_that_is_there_runs_again(runtime: Runtime) -> None:
    ask_page("nobody")
    assert not runtime.reruns
    ask_page("a")
    assert runtime.reruns == [None]


def test_without_a_server_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st.runtime, "exists", lambda: False)
    ask_page("a")
    assert uploaded("a") == (0, 0) and uploaded_by_all() == 0
