"""How much each session has uploaded, asked before more is taken in.

Streamlit bounds one file, but neither their number nor their sum; all of them lie in the server's memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.shell.streamlit_patches.session import context

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

__all__ = ["UploadedFile", "forget_upload", "unread", "uploaded", "uploaded_by_all"]


def uploaded(session: str) -> tuple[int, int]:
    """Return number and sum in bytes of the files that the server holds for a session."""
    if not st.runtime.exists():
        return 0, 0
    manager: Any = st.runtime.get_instance().uploaded_file_mgr
    with manager._lock:
        files = list(manager.file_storage.get(session, {}).values())
    return len(files), sum(len(file.data) for file in files)


def uploaded_by_all() -> int:
    """Return the sum in bytes of all files that the server holds."""
    if not st.runtime.exists():
        return 0
    manager: Any = st.runtime.get_instance().uploaded_file_mgr
    with manager._lock:
        return int(manager._total_bytes)


def forget_upload(file: UploadedFile) -> None:
    """Take an uploaded file out of the server's memory now, not only when the visitor leaves."""
    found = context()
    if found is not None:
        found.uploaded_file_mgr.remove_file(found.session_id, file.file_id)


def unread(file: Any, read: set[str]) -> UploadedFile | None:
    """Return what a drop zone holds unless it was read before; None for nothing.

    Parameters
    ----------
    file : UploadedFile, streamlit.runtime.uploaded_file_manager.DeletedFile or None
        Value of the drop zone. Of a file that was let go of only the number is left.
    read : set of str
        Numbers of the files that were read.
    """
    if file is None or not hasattr(file, "name") or file.file_id in read:
        return None
    found: UploadedFile = file
    return found
