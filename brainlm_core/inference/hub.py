"""The published weights: two files of one pinned commit of the Hugging Face hub.

Nothing is looked up: the pin is a whole commit hash and the two names are known, so that no listing and no
history of the repository is asked for. What the hub's own cache already holds, and what somebody put into
the named folder by hand, is used before anything is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainlm_core.base.errors import CheckpointError, DownloadError
from brainlm_core.base.paths import cache_dir
from brainlm_core.inference.download import Received, download

Progress = Callable[[float, str], None]

REPOSITORY = "vandijklab/brainlm"
#: Head of the repository's ``main`` ("vit_models"); ``$BRAINLM_HUB_REVISION`` overrides it.
PINNED_REVISION = "4c54e0cccf920d9d6af7c647cb866fc19c60cf26"
CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
#: The only files of a model's folder that are fetched; optimiser states beside them are gigabytes.
FILES = (CONFIG, WEIGHTS)
#: SHA-256 of files at the pinned commit, as far as they are stated in public; the others are checked against
#: the digest that the hub sends with the file.
DIGESTS = {
    "vitmae_111M/pytorch_model.bin": "25f5b52178f7409dee4fed2fa3dd18c6692d0764d96996ff0ee4be740520fcd6",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: A time left is said once this much time has shown how fast the connection is, in s.
_MEASURED_S = 1.0


@dataclass(frozen=True)
class LocalModel:
    """A published model on this machine.

    Parameters
    ----------
    folder : Path
        With :data:`FILES`.
    revision : str or None
        Commit that the files are of; None where nobody can tell.
    origin : {"fetched", "hub cache", "by hand"}
    """

    folder: Path
    revision: str | None
    origin: str


def revision() -> str:
    """Return the commit that downloads are pinned to.

    Raises
    ------
    DownloadError
        If ``$BRAINLM_HUB_REVISION`` is not a whole commit hash.
    """
    pin = os.environ.get("BRAINLM_HUB_REVISION", "").strip() or PINNED_REVISION
    if _COMMIT.fullmatch(pin) is None:
        raise DownloadError(
            f"BRAINLM_HUB_REVISION is {pin!r}, not a whole commit hash",
            "give all 40 digits of the commit, or unset it",
        )
    return pin


def folder_by_hand(folder: str) -> Path:
    """Return the place for files of one published model that were brought to this machine by hand."""
    return cache_dir() / "models" / folder


def fetch(folder: str, progress: Progress | None = None, *, size_mb: float | None = None) -> LocalModel:
    """Return one published model on this machine, downloading it when it is not there yet.

    Parameters
    ----------
    folder : str
        Folder in the hub repository, e.g. ``old_13M``.
    progress : callable or None
        Called with a share 0–1 and a sentence.
    size_mb : float, optional
        Of the weights, in 10⁶ bytes: said where the files have to be brought by hand.

    Returns
    -------
    LocalModel

    Raises
    ------
    DownloadError
        If the hub does not answer within five seconds, does not hold the files, or breaks off: what has come
        is kept and the next call goes on from there.
    CheckpointError
        If a file that was brought by hand has another digest than the published one.
    """
    here = local(folder)
    if here is not None:
        return here
    if os.environ.get("BRAINLM_OFFLINE"):
        raise DownloadError(
            f"the weights {folder} are not on this machine and BRAINLM_OFFLINE is set",
            _other_ways(folder, size_mb),
        )
    import httpx2
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import OfflineModeIsEnabled

    if progress:
        progress(0.0, "Asking the Hugging Face hub for the weights")
    endpoint = os.environ.get("HF_ENDPOINT") or None
    commit = revision()
    root = _snapshots() / commit
    try:
        for name in FILES:
            path = f"{folder}/{name}"
            url = hf_hub_url(REPOSITORY, path, revision=commit, endpoint=endpoint)
            digest = DIGESTS.get(path) if commit == PINNED_REVISION else None
            download(url, root / path, endpoint=endpoint, sha256=digest, received=_telling(progress, folder))
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise DownloadError(
            f"{REPOSITORY} does not hold {folder} at revision {commit}", _other_ways(folder, size_mb)
        ) from error
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx2.HTTPError, OSError) as error:
        raise DownloadError(
            f"the weights {folder} cannot be fetched from the Hugging Face hub now",
            f"check the internet connection, or {_other_ways(folder, size_mb)}",
        ) from error
    if progress:
        progress(1.0, "Weights are here and their digests are right")
    return LocalModel(root / folder, commit, "fetched")


def local(folder: str) -> LocalModel | None:
    """Return a complete model of the pinned commit that is on this machine already.

    Looked into, in this order: what was fetched before, the hub's own cache (``$HF_HOME``), the folder for
    files brought by hand.

    Raises
    ------
    CheckpointError
        If a file brought by hand has another digest than the published one.
    """
    commit = revision()
    own = _snapshots() / commit / folder
    if _complete(own):
        return LocalModel(own, commit, "fetched")
    shared = _hub_cache() / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / commit / folder
    if _complete(shared) and _is_named_by_digest(shared / WEIGHTS):
        return LocalModel(shared, commit, "hub cache")
    brought = folder_by_hand(folder)
    if _complete(brought):
        known = DIGESTS.get(f"{folder}/{WEIGHTS}") if commit == PINNED_REVISION else None
        if known is not None and _sha256(brought / WEIGHTS) != known:
            raise CheckpointError(
                f"{WEIGHTS} in {brought} is not the published file of {folder}: its SHA-256 differs",
                f"get it again from {REPOSITORY} at revision {commit}, or remove the folder",
            )
        return LocalModel(brought, commit if known else None, "by hand")
    return None


def cached(folder: str) -> Path | None:
    """Return the folder of a model that is here and right, if there is one; never raises."""
    try:
        here = local(folder)
    except (CheckpointError, DownloadError):
        return None
    return None if here is None else here.folder


def _other_ways(folder: str, size_mb: float | None) -> str:
    size = f" ({size_mb:,.0f} MB)" if size_mb else ""
    return (
        f"put {CONFIG} and {WEIGHTS}{size} of {REPOSITORY}/{folder} into {folder_by_hand(folder)}, "
        "or use the bundled default model"
    )


def _snapshots() -> Path:
    return cache_dir() / "hub" / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"


def _hub_cache() -> Path:
    """Return the cache of the hub's own library, by the variables that it reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if place := os.environ.get(variable):
            return Path(os.path.expandvars(place)).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expandvars(base)).expanduser() / "huggingface" / "hub"


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _is_named_by_digest(path: Path) -> bool:
    """Whether a file of the hub's cache is what its name says: large files are kept under their SHA-256."""
    name = path.resolve().name
    return _SHA256.fullmatch(name) is None or _sha256(path) == name


def _sha256(path: Path) -> str:
    """Return a file's digest; remembered until the file changes, since 2.6 GB take seconds."""
    path = path.resolve()
    facts = path.stat()
    stamp = [facts.st_size, facts.st_mtime_ns]
    memory = cache_dir() / "hub" / "digests.json"
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known[str(path)][:2] == stamp and _SHA256.fullmatch(str(known[str(path)][2])):
            return str(known[str(path)][2])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        known = {}
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        part = memory.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps({**known, str(path): [*stamp, digest]}), encoding="utf-8")
        part.replace(memory)
    except OSError:  # a read-only cache only costs the time
        pass
    return digest


def _telling(progress: Progress | None, folder: str) -> Received | None:
    """Return what tells ``progress`` how much of a file is here, and how long the rest takes."""
    if progress is None:
        return None
    began: list[tuple[float, int]] = []

    def tell(here: int, size: int) -> None:
        now = time.monotonic()
        if not began:
            began.append((now, here))
        passed, came = now - began[0][0], here - began[0][1]
        text = f"Fetching {folder}: {here / 1e6:.0f} of {size / 1e6:.0f} MB"
        if passed >= _MEASURED_S and came > 0 and here < size:
            text += f", about {_duration((size - here) * passed / came)} left"
        progress(min(1.0, here / size), text)

    return tell


def _duration(seconds: float) -> str:
    return f"{max(1.0, seconds):.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
