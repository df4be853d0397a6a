"""An answer that a browser waits for is not lost when the page runs anew before it was sent."""

from __future__ import annotations

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from app.shell.streamlit_patches.message_queue import ANSWERS, keep_answers


@pytest.fixture
def queues() -> type:
    """A class of queues of this test's own."""

    class Queues(ForwardMsgQueue):
        def clear(self, retain_lifecycle_msgs: bool = False, *args: object, **named: object) -> None:
            super().clear(retain_lifecycle_msgs, *args, **named)

    keep_answers(Queues)
    keep_answers(Queues)
    return Queues


def message(sort: str, text: str = "") -> ForwardMsg:
    made = ForwardMsg()
    if sort == "script_finished":
        made.script_finished = ForwardMsg.FINISHED_SUCCESSFULLY
    else:
        getattr(made, sort).SetInParent()
    if sort == "file_urls_response":
        made.file_urls_response.response_id = text
    if sort == "delta":
        made.delta.new_element.text.body = text
        made.metadata.delta_path[:] = [0, len(text)]
    return made


def sorts(queue: ForwardMsgQueue) -> list[str]:
    return [m.WhichOneof("type") for m in queue.flush()]


@pytest.mark.parametrize("sort", sorted(ANSWERS))
def test_answers_outlive_a_new_run_and_are_sent_once(queues: type, sort: str) -> None:
    queue = queues()
    for one in (message("delta", "old"), message(sort, "1"), message("script_finished"), message(sort, "2")):
        queue.enqueue(one)
    queue.clear(retain_lifecycle_msgs=True)
    queue.clear(retain_lifecycle_msgs=True)
    queue.enqueue(message("delta", "new"))
    queue.enqueue(message("delta", "new"))  # takes the place of the first, wherever that is by now
    sent = sorts(queue)
    assert sent == [sort, sort, "script_finished", "delta"]
    assert queue.is_empty() and sorts(queue) == []


def test_a_run_of_a_fragment_keeps_an_answer_once(queues: type) -> None:
    queue = queues()
    queue.enqueue(message("file_urls_response", "1"))
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=["f"])
    assert sorts(queue) == ["file_urls_response"]


def test_streamlit_itself_still_loses_them() -> None:
    """When this fails, ``app/shell/streamlit_patches/message_queue.py`` can go."""
    own = type(
        "Own", (ForwardMsgQueue,), {"clear": getattr(ForwardMsgQueue.clear, "before", ForwardMsgQueue.clear)}
    )
    queue = own()
    queue.enqueue(message("file_urls_response", "1"))
    queue.clear(retain_lifecycle_msgs=True)
    assert sorts(queue) == []
