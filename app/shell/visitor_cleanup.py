"""What a visitor leaves behind goes when they have left: work, recording, results, uploaded files.

Streamlit keeps a session whose connection broke, so that it can be taken up again, and lets go of it only
when another one breaks; of background work it knows nothing. So somebody looks after it here: whoever stays
away for most of that time has left.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from app.shell.memory import give_back_memory
from app.shell.streamlit_patches.session import context, runtime, session_id

#: Share of the time that Streamlit keeps a session after which it is closed; later it can no longer be found.
PATIENCE = 0.75
#: How often somebody looks, as a share of the same time.
LOOK_EVERY = 1 / 12


@dataclass
class _Guest:
    """A visitor and the way to let go of everything of theirs."""

    leave: Callable[[], None]
    away_since: float | None = None


class Doorkeeper:
    """Notices who has left.

    Parameters
    ----------
    is_here : callable
        Whether a session has a connection.
    patience_s : float
        How long a session without one can be taken up again.
    clock : callable
        Time in s.
    """

    def __init__(
        self,
        is_here: Callable[[str], bool],
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_here, self._patience_s, self._clock = is_here, patience_s, clock
        self._guests: dict[str, _Guest] = {}
        self._lock = threading.Lock()

    def welcome(self, session: str, leave: Callable[[], None]) -> None:
        """Remember a visitor; ``leave`` is called once, when they have left."""
        with self._lock:
            self._guests[session] = _Guest(leave)

    def look(self) -> int:
        """See off everybody who has been away for too long; return how many."""
        now, gone = self._clock(), []
        with self._lock:
            for session, guest in self._guests.items():
                if self._is_here(session):
                    guest.away_since = None
                elif guest.away_since is None:
                    guest.away_since = now
                if guest.away_since is not None and now - guest.away_since >= self._patience_s:
                    gone.append(session)
            leaving = [self._guests.pop(session) for session in gone]
        for guest in leaving:
            guest.leave()
        return len(leaving)

    @property
    def n_guests(self) -> int:
        """Visitors who are here or may come back."""
        with self._lock:
            return len(self._guests)


def look_after(let_go: Callable[[], None]) -> None:
    """Call ``let_go`` once this new visitor has left; without a server nothing happens."""
    run, server = context(), runtime()
    if run is None or server is None:
        return
    session, files = run.session_id, run.uploaded_file_mgr

    def leave() -> None:
        let_go()
        files.remove_session_files(session)
        # Closes a session without a connection on Streamlit's own thread: files to download, state, pages.
        server.clear_user_info_for_session(session)

    _doorkeeper().welcome(session, leave)


def has_left() -> Callable[[], bool]:
    """Return what tells whether this visitor's page is gone; without a server it never is."""
    session, server = session_id(), runtime()
    if session is None or server is None:
        return lambda: False
    return lambda: not server.is_active_session(session)


def was_seen_off() -> bool:
    """Whether this new session's page had another one, which is gone: away for too long, or a new server.

    A page that lost its connection asks for its session by name, as the third subprotocol; a page that was
    opened or loaded again does not.
    """
    asked = (st.context.headers.get("Sec-WebSocket-Protocol") or "").split(",")
    return len(asked) > 2 and bool(asked[2].strip())


@st.cache_resource(show_spinner=False)
def _doorkeeper() -> Doorkeeper:
    server = runtime()
    assert server is not None  # look_after() has asked
    kept_s = float(st.get_option("server.disconnectedSessionTTL"))
    keeper = Doorkeeper(server.is_active_session, PATIENCE * kept_s)
    threading.Thread(
        target=_keep_looking, args=(keeper, LOOK_EVERY * kept_s), daemon=True, name="doorkeeper"
    ).start()
    return keeper


def _keep_looking(keeper: Doorkeeper, every_s: float) -> None:
    server = runtime()
    assert server is not None  # it runs within one
    files = server.media_file_mgr
    while True:
        time.sleep(every_s)
        files.remove_orphaned_files()  # also when nobody's page runs any more
        if keeper.look():
            gc.collect()  # pages and their state refer to each other
        give_back_memory()
