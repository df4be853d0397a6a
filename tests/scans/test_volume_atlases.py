"""The official atlas when it can be had, else the bundled approximation, never a long wait."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import AtlasError, DownloadError
from brainlm_core.scans import volume_atlas
from brainlm_core.scans.atlas_approximation import SHAPE, approximate_a424, compute_approximation
from brainlm_core.scans.volume_atlas import OFFICIAL, load_volume_atlas, official_file


def dice(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both = np.bincount(a[(a == b) & (a > 0)], minlength=425)[1:]
    sizes = np.bincount(a.ravel(), minlength=425)[1:] + np.bincount(b.ravel(), minlength=425)[1:]
    return 2 * both / sizes


def test_approximation_against_the_official_volume(shared: Path) -> None:
    import nibabel as nib

    official = np.asarray(nib.load(shared / "atlas" / "A424+2mm.nii.gz").dataobj).astype(int)
    labels, _ = approximate_a424()
    assert labels.shape == SHAPE == official.shape
    overlap = dice(labels.astype(int), official)
    assert overlap.mean() > 0.73
    assert (overlap > 0).all()


@pytest.mark.slow
def test_bundled_approximation_is_what_the_code_computes() -> None:
    bundled, _ = approximate_a424()
    assert (bundled != compute_approximation()).mean() < 1e-4


def test_official_file_from_the_cache(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path))
    (tmp_path / "atlas").mkdir()
    for remote in OFFICIAL.values():
        shutil.copyfile(shared / "atlas" / remote.file_name, tmp_path / "atlas" / remote.file_name)
        assert official_file(remote) == tmp_path / "atlas" / remote.file_name
    for space in OFFICIAL:
        atlas = load_volume_atlas(space=space)
        assert not atlas.is_approximation
        assert space in atlas.title
        assert (atlas.n_voxels > 0).all()
    damaged = tmp_path / "atlas" / OFFICIAL["MNI152NLin6Asym"].file_name
    damaged.write_bytes(damaged.read_bytes()[:-3])
    volume_atlas._official.cache_clear()
    assert load_volume_atlas().is_approximation  # a changed file is not the official one


def test_offline_is_quick_and_said(tmp_path: Path) -> None:
    start = time.perf_counter()
    atlas = load_volume_atlas()
    assert time.perf_counter() - start < 5
    assert atlas.is_approximation
    assert "approximation" in atlas.title and "approximation" in atlas.notices[0]


def test_download_never_makes_anyone_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRAINLM_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path))
    monkeypatch.setattr(volume_atlas, "_failed", set())
    calls = []

    def hang(remote: object, folder: Path) -> Path:
        calls.append(remote)
        time.sleep(2)
        raise DownloadError("never", "comes")

    monkeypatch.setattr(volume_atlas, "fetch", hang)
    remote = OFFICIAL["MNI152NLin6Asym"]
    start = time.perf_counter()
    assert official_file(remote, patience_s=0.2) is None
    assert official_file(remote, patience_s=0.2) is None  # tried once per process
    assert time.perf_counter() - start < 1.5
    assert len(calls) == 1


def test_download_checks_the_digest(tmp_path: Path) -> None:
    import http.server
    import threading

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.nii.gz").write_bytes(b"something else")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "served"))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/a.nii.gz"
        remote = replace(OFFICIAL["MNI152NLin6Asym"], url=url, file_name="a.nii.gz")
        with pytest.raises(DownloadError, match="cannot be downloaded now"):
            volume_atlas.fetch(remote, tmp_path / "got")
        import hashlib

        right = replace(remote, sha256=hashlib.sha256(b"something else").hexdigest())
        assert volume_atlas.fetch(right, tmp_path / "got").read_bytes() == b"something else"
        server.shutdown()


def test_unknown_atlas_names() -> None:
    with pytest.raises(AtlasError, match="there is no atlas nonsense"):
        load_volume_atlas("nonsense")
