"""Fetch the published weights from the Hugging Face hub, pinned to one revision.

The pin is written as the beginning of a commit hash, because that is what the source of this
project's architecture notes gives; the hub wants full hashes, so the commit is looked up once in
the repository's history. After that the cache folder answers without a network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainlm_core.download import Received, download
from brainlm_core.errors import DownloadError
from brainlm_core.paths import cache_dir

Progress = Callable[[float, str], None]

REPOSITORY = "vandijklab/brainlm"
#: Beginning of the pinned commit hash; ``$BRAINLM_HUB_REVISION`` overrides it.
PINNED_REVISION = "fdaf3df"
_HASH_LENGTH = 40
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def revision() -> str:
    """Return the revision that downloads are pinned to."""
    return os.environ.get("BRAINLM_HUB_REVISION", PINNED_REVISION)


def fetch(folder: str, progress: Progress | None = None) -> Path:
    """Return the local folder of one published model, downloading it when it is not there yet.

    Parameters
    ----------
    folder : str
        Folder in the hub repository, e.g. ``old_13M``.
    progress : callable or None
        Called with a share 0–1 and a sentence.

    Returns
    -------
    Path

    Raises
    ------
    DownloadError
        If the hub cannot be reached, does not hold the pinned revision, or breaks off: what has come is kept
        and the next call goes on from there.
    """
    here = cached(folder)
    if here is not None:
        return here
    import httpx2
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils import OfflineModeIsEnabled

    if progress:
        progress(0.0, "Asking the Hugging Face hub for the weights")
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        api = HfApi(endpoint=endpoint)
        commit = _full_hash(api)
        files = api.list_repo_files(REPOSITORY, revision=commit)
        wanted = [f"{folder}/config.json"]
        wanted += [f"{folder}/{name}" for name in _WEIGHTS if f"{folder}/{name}" in files][:1]
        if len(wanted) < 2 or wanted[0] not in files:
            raise DownloadError(
                f"{REPOSITORY} holds no complete folder {folder} at revision {revision()}",
                "use the bundled default model",
            )
        root = _snapshots() / commit
        for name in wanted:
            url = hf_hub_url(REPOSITORY, name, revision=commit, endpoint=endpoint)
            download(url, root / name, endpoint=endpoint, received=_telling(progress, folder))
    except (
        LocalEntryNotFoundError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        httpx2.HTTPError,
        OSError,
    ) as error:
        raise DownloadError(
            f"the weights {folder} cannot be fetched from the Hugging Face hub now",
            "check the internet connection, or use the bundled default model",
        ) from error
    except (HFValidationError, ValueError) as error:
        raise DownloadError(
            f"the revision {revision()!r} is not one of {REPOSITORY}", "unset BRAINLM_HUB_REVISION"
        ) from error
    if progress:
        progress(1.0, "Weights are here")
    return root / folder


def _snapshots() -> Path:
    return cache_dir() / "hub" / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots"


def cached(folder: str) -> Path | None:
    """Return a complete earlier download of the pinned revision."""
    for root in sorted(_snapshots().glob(f"{revision()}*")):
        path = root / folder
        if (path / "config.json").is_file() and any((path / name).is_file() for name in _WEIGHTS):
            return path
    return None


def _full_hash(api: Any) -> str:
    pin = revision()
    if len(pin) == _HASH_LENGTH:
        return pin
    for commit in api.list_repo_commits(REPOSITORY):
        if commit.commit_id.startswith(pin):
            return str(commit.commit_id)
    raise DownloadError(
        f"{REPOSITORY} no longer holds the pinned revision {pin}",
        "use the bundled default model, or set BRAINLM_HUB_REVISION to a full commit hash",
    )


def _telling(progress: Progress | None, folder: str) -> Received | None:
    """Return what tells ``progress`` how much of a file is here."""
    if progress is None:
        return None

    def tell(here: int, size: int) -> None:
        progress(min(1.0, here / size), f"Fetching {folder}: {here / 1e6:.0f} of {size / 1e6:.0f} MB")

    return tell
