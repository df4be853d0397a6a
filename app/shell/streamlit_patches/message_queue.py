"""What the server answers a browser's question is sent, whatever the page does meanwhile.

Streamlit empties the list of messages to a browser when a page runs anew, and keeps a few sorts of them. The
answer to "where may I put this file?" is not among them: a file that was dropped just before the page ran
anew was never asked for, and the visitor waited for nothing. So is the answer to a click that makes a file.
"""

from __future__ import annotations

from typing import Any

#: Sorts of messages that somebody in the browser waits for.
ANSWERS = frozenset({"file_urls_response", "backend_operation_response"})


def keep_answers(queues: Any = None) -> None:
    """Let a class of message queues keep answers when emptied for a new run; a second call does nothing.

    Parameters
    ----------
    queues : type, optional
        Streamlit's own class by default.
    """
    if queues is None:
        from streamlit.runtime.forward_msg_queue import ForwardMsgQueue as queues
    clear = queues.clear
    if hasattr(clear, "before"):
        return

    def clear_but_answers(self: Any, retain_lifecycle_msgs: bool = False, *args: Any, **named: Any) -> None:
        before = list(self._queue) if retain_lifecycle_msgs else []
        clear(self, retain_lifecycle_msgs, *args, **named)
        kept = {id(message) for message in self._queue}
        lost = [m for m in before if m.WhichOneof("type") in ANSWERS and id(m) not in kept]
        self._queue[:0] = lost  # no other message is found by its place after a clearing

    clear_but_answers.before = clear  # type: ignore[attr-defined]
    queues.clear = clear_but_answers
