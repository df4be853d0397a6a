"""One file from the Hugging Face hub, kept as far as it came: the next try goes on from there.

The hub's own library throws a broken download away when the process ends or gives up. Weights are gigabytes
and hospital networks break, so the bytes are kept here in a file of their own beside the cache.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainlm_core.base.errors import DownloadError

#: Called with the bytes that are here and the bytes in all.
Received = Callable[[int, int], None]

#: A hub that has not said anything after this long counts as out of reach, in s.
ANSWER_S = 5.0
#: Silence in the middle of a file after which the connection counts as broken, in s.
_SILENCE_S = 20.0
_SHA256_LENGTH, _SHA1_LENGTH = 64, 40


def download(
    url: str,
    target: Path,
    *,
    endpoint: str | None = None,
    sha256: str | None = None,
    received: Received | None = None,
) -> None:
    """Bring one file of a hub repository to ``target``, whole and checked by its digest.

    Steps: ask for size and digest; go on where ``target.part`` ends; after a break try again as long as each
    try brings something; compare the digest; rename.

    Parameters
    ----------
    url : str
        As from :func:`huggingface_hub.hf_hub_url`, at a full commit hash.
    target : Path
    endpoint : str, optional
        Of another hub.
    sha256 : str, optional
        What the file must be, whatever the hub says of it.
    received : callable, optional

    Raises
    ------
    DownloadError
        If the connection broke (what came is kept), the content is not what the hub says (nothing is kept),
        or this machine cannot keep it.
    httpx2.HTTPError, huggingface_hub.errors.HfHubHTTPError
        If the hub cannot be reached or refuses.
    TimeoutError
        If it says nothing within :data:`ANSWER_S`.
    """
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.utils import WeakFileLock

    if target.is_file():
        return
    about = _within(ANSWER_S, lambda: get_hf_file_metadata(url, timeout=ANSWER_S, endpoint=endpoint))
    if about.size is None or about.etag is None:
        raise DownloadError(f"the hub does not say what {target.name} is", "try again later")
    if sha256 is not None and len(about.etag) == _SHA256_LENGTH and about.etag != sha256:
        raise _another_file(target)  # before gigabytes are fetched
    part = target.with_name(f"{target.name}.{about.etag[:12]}.part")
    with _keeping(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f"{target.name}.lock")
        try:
            with WeakFileLock(lock):  # one download of a file at a time on this machine
                if not target.is_file():
                    _fill(url, part, about.size, received)
                    if _digest(part, about.etag) != about.etag:
                        part.unlink()
                        raise DownloadError(f"{target.name} arrived damaged", "try again")
                    if sha256 is not None and _digest(part, sha256) != sha256:
                        part.unlink()
                        raise _another_file(target)
                    part.replace(target)
        finally:
            lock.unlink(missing_ok=True)


def _another_file(target: Path) -> DownloadError:
    return DownloadError(
        f"{target.parent.name}/{target.name} on the hub is another file than the published one: "
        "its SHA-256 differs",
        "do not use it; the bundled default model needs no download",
    )


def _within(seconds: float, ask: Callable[[], Any]) -> Any:
    """Call ``ask`` and give up on it after ``seconds``: a name server that is silent knows no time-out."""
    answer: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(ask())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True, name="hub-answer")
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not answer:
        raise TimeoutError(f"the hub said nothing for {seconds:g} s")
    return answer[0]


def _fill(url: str, part: Path, size: int, received: Received | None) -> None:
    """Receive what is missing of ``part``; stop when a try brings nothing."""
    import httpx2

    here = _length(part)
    while here < size:
        try:
            _receive(url, part, size, received)
        except httpx2.TransportError as error:
            if _length(part) > here:
                here = _length(part)
                continue
            raise DownloadError(
                f"the connection to the Hugging Face hub broke after {_length(part) / 1e6:.0f} of "
                f"{size / 1e6:.0f} MB, which are kept",
                "try again: it goes on from there; or use the bundled default model",
            ) from error
        if _length(part) <= here:
            break
        here = _length(part)
    if here != size:
        part.unlink(missing_ok=True)
        raise DownloadError("the hub sent a file of another size than it said", "try again")


def _receive(url: str, part: Path, size: int, received: Received | None) -> None:
    import httpx2
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    here = _length(part)
    if here:
        headers["Range"] = f"bytes={here}-"
    with get_session().stream(
        "GET",
        url,
        headers=headers,
        timeout=httpx2.Timeout(_SILENCE_S, connect=ANSWER_S),
        follow_redirects=True,
    ) as answer:
        hf_raise_for_status(answer)
        if answer.status_code != 206:  # the server does not know ranges and begins anew
            here = 0
        with part.open("ab" if here else "wb") as stream:
            for block in answer.iter_bytes():
                stream.write(block)
                here += len(block)
                if received is not None:
                    received(here, size)


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _digest(path: Path, like: str) -> str:
    """Return the digest that the hub names a file by: SHA-256 of large files, git's SHA-1 of small ones."""
    if len(like) not in (_SHA256_LENGTH, _SHA1_LENGTH):
        return like  # the size is all that is known
    start: Any = hashlib.sha256() if len(like) == _SHA256_LENGTH else hashlib.sha1(usedforsecurity=False)
    if len(like) == _SHA1_LENGTH:
        start.update(f"blob {_length(path)}\0".encode())
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: start).hexdigest()


@contextmanager
def _keeping(target: Path) -> Iterator[None]:
    """Say which folder does not take the file, and what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, ConnectionError, TimeoutError):  # OSErrors too, but of the network
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"the disk is full, the weights in {target.parent.name} cannot be kept",
                "free some space and try again: what has come is kept; the bundled default model needs none",
            ) from error
        raise DownloadError(
            f"the weights in {target.parent.name} cannot be kept: the cache folder is not writable",
            "set BRAINLM_CACHE to a folder that is; the bundled default model needs none",
        ) from error
