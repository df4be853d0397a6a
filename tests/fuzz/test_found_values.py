"""Inputs that once broke a promise and are too large to keep, made again here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainlm_core.base.errors import AtlasError, BrainLMError, ConfigError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.scans import read_scan
from tests.fuzz.containers import npy, npz, signals
from tests.fuzz.scan_targets import saved_arrays


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return saved_arrays()


def meta_with(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, np.ndarray]], None]:
    def tamper(arrays: dict[str, np.ndarray]) -> None:
        meta = json.loads(str(arrays["meta"]))
        change(meta)
        arrays["meta"] = np.array(json.dumps(meta))

    return tamper


def array_with(name: str, value: Any) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays.__setitem__(name, np.asarray(value))


@pytest.mark.parametrize(
    "tamper",
    [
        meta_with(lambda m: m["quality"].pop("reasons")),
        meta_with(lambda m: m["quality"].pop("template_overlap")),
        meta_with(lambda m: m["quality"].update(verdict="<script>")),
        meta_with(lambda m: m["quality"].update(reasons=[None])),
        meta_with(lambda m: m["provenance"]["steps"][0].update(parameters=["x"])),
        meta_with(lambda m: m["provenance"].update(steps=[1])),
        meta_with(lambda m: m.pop("provenance")),
        meta_with(lambda m: m.update(tr_s="../../x")),
        meta_with(lambda m: m.update(notices=float("nan"))),
        meta_with(lambda m: m["provenance"]["steps"][0]["parameters"].update(tr_s=float("inf"))),
        array_with("meta", "[1]"),
        array_with("meta", "[" * 100_000),
        array_with("quality_dvars", np.zeros(3, np.float32)),
        array_with("quality_flat", np.zeros(3, bool)),
        array_with("quality_other", 1),
        array_with("parcel_names", 3),
        array_with("parcel_centre", np.full((424, 3), np.nan)),
        array_with("vertex_labels", np.full(20484, -2, np.int16)),
        array_with("signals", np.full((424, 24), "x")),
    ],
)
def test_tampered_recordings_are_refused(
    arrays: dict[str, np.ndarray], tamper: Callable[[dict[str, np.ndarray]], None], tmp_path: Path
) -> None:
    changed = dict(arrays)
    tamper(changed)
    path = tmp_path / "rec.npz"
    np.savez(path, **changed)  # type: ignore[arg-type]
    with pytest.raises((ScanError, AtlasError)):
        Recording.load(path)
    with pytest.raises(BrainLMError):
        read_scan(path)


def broken_header() -> bytes:
    """Return an array whose header is a text without an end."""
    whole = npy(signals())
    return whole[:10] + whole[10:].replace(b"}", b"(", 1)


def test_an_array_header_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(broken_header())
    with pytest.raises(ScanError, match=r"damaged \.npy"):
        read_scan(tmp_path / "a.npy", tr_s=2)
    (tmp_path / "a.npz").write_bytes(npz({"signals": broken_header()}))
    with pytest.raises(ScanError, match="damaged ZIP"):
        read_scan(tmp_path / "a.npz", tr_s=2)
    (tmp_path / "b.npz").write_bytes(npz({"signals": broken_header(), "offsets": npy(np.array([0, 24]))}))
    with pytest.raises(BrainLMError):
        open_cohort(tmp_path / "b.npz", tr_s=2)


@pytest.mark.parametrize("code", [0x7FFFFFFF, 0x110000, 0xD800])
def test_text_that_is_no_unicode(arrays: dict[str, np.ndarray], tmp_path: Path, code: int) -> None:
    names = arrays["parcel_names"].copy()
    names.view(np.uint32)[0] = code
    np.savez(tmp_path / "rec.npz", **{**arrays, "parcel_names": names})  # type: ignore[arg-type]
    with pytest.raises(BrainLMError):
        read_scan(tmp_path / "rec.npz")


@pytest.mark.parametrize("digest", ["../../../secret", "/etc/passwd", "0" * 15, "0" * 16 + "/", 3])
def test_a_store_names_no_file_outside_itself(tmp_path: Path, digest: Any) -> None:
    from tests.fuzz.cohort_files import store_files

    for key in ("digest", "parcellation"):
        store = tmp_path / key
        for name, data in store_files().items():
            file = store / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        journal = store / "journal.jsonl"
        lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
        lines[0]["added"][key] = digest
        journal.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
        with pytest.raises(ConfigError, match=r"list of recordings .* is damaged"):
            open_cohort(store)
