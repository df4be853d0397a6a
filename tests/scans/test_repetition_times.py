"""Repetition times: sidecar before header, differences said, odd ones asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scan_files import bold_table

from brainlm_core.scans import CleaningOptions, MissingTR, read_scan
from brainlm_core.scans.sidecars import sidecar_timing
from brainlm_core.scans.timing import RepetitionTime, resolve

STEM = "sub-01_ses-1_task-rest_run-1_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold"


def sidecar(path: Path, **entries: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"PatientName": "Jane Doe", **entries}))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A place for an image deep in a dataset; the file itself is not looked at."""
    path = tmp_path / "data" / "sub-01" / "ses-1" / "func" / f"{STEM}.nii.gz"
    path.parent.mkdir(parents=True)
    sidecar(tmp_path / "data" / "dataset_description.json", RepetitionTime=9)
    sidecar(tmp_path / "task-rest_bold.json", RepetitionTime=8)  # above the dataset: not of it
    return path


def choose(image: Path, header_s: float | None, given: float | None = None) -> Any:
    return resolve(given, RepetitionTime(header_s), image, image.name)


@pytest.mark.parametrize(
    ("where", "applies"),
    [
        (f"sub-01/ses-1/func/{STEM}.json", True),
        ("sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_bold.json", True),
        ("sub-01/ses-1/sub-01_ses-1_task-rest_bold.json", True),
        ("sub-01/sub-01_task-rest_bold.json", True),
        ("task-rest_bold.json", True),
        ("bold.json", True),
        ("task-nback_bold.json", False),
        ("sub-02_task-rest_bold.json", False),
        ("task-rest_events.json", False),
        ("task-rest_echo-2_bold.json", False),
    ],
)
def test_sidecars_are_inherited_down_the_tree(image: Path, tmp_path: Path, where: str, applies: bool) -> None:
    sidecar(tmp_path / "data" / where, RepetitionTime=2.2)
    assert sidecar_timing(image).repetition_time == (2.2 if applies else None)


def test_the_nearest_sidecar_wins_entry_by_entry(image: Path, tmp_path: Path) -> None:
    sidecar(tmp_path / "data" / "task-rest_bold.json", RepetitionTime=2.2, SliceTiming=[0, 1.9])
    sidecar(image.with_name("sub-01_task-rest_bold.json"), RepetitionTime=2.1)
    sidecar(image.with_name(f"{STEM}.json"), RepetitionTime=2.0)
    timing = sidecar_timing(image)
    assert (timing.repetition_time, timing.last_slice) == (2.0, 1.9)


def test_nothing_outside_the_allowed_folders_is_opened(image: Path, tmp_path: Path) -> None:
    sidecar(tmp_path / "data" / "task-rest_bold.json", RepetitionTime=2.2)
    inside = image.parents[2]
    assert sidecar_timing(image, lambda p: p.is_relative_to(inside)).repetition_time is None


@pytest.mark.parametrize("ending", [".dtseries.nii", ".ptseries.nii", ".func.gii", ".nii", ".tsv"])
@pytest.mark.parametrize("json_ending", ["", ".dtseries"])
def test_endings_of_every_format(tmp_path: Path, ending: str, json_ending: str) -> None:
    sidecar(tmp_path / f"sub-1_hemi-L_bold{json_ending}.json", RepetitionTime=0.8)
    assert sidecar_timing(tmp_path / f"sub-1_hemi-L_bold{ending}").repetition_time == 0.8


def test_a_difference_is_said_with_both_values(image: Path) -> None:
    sidecar(image.with_suffix("").with_suffix(".json"), RepetitionTime=2)
    chosen = choose(image, 1.0)
    assert (chosen.tr_s, chosen.origin, chosen.doubtful) == (2.0, "sidecar", False)
    assert "TR = 1 s" in chosen.notices[0] and "2 s was used" in chosen.notices[0]
    assert choose(image, 2.001).notices == ()
    given = choose(image, 1.0, 2.5)
    assert given.origin == "user" and len(given.notices) == 2


@pytest.mark.parametrize(
    ("entries", "expected", "note"),
    [
        ({"RepetitionTime": 2000}, 2.0, "milliseconds"),
        ({"RepetitionTime": "0.72"}, 0.72, None),
        ({"RepetitionTime": [2.2]}, 2.2, None),
        ({"VolumeTiming": [0, 2.5, 5, 7.5]}, 2.5, None),
        ({"SamplingFrequency": 0.5}, 2.0, None),
        ({"RepetitionTime": 1, "SliceTiming": [0, 0.9]}, 1.0, None),
    ],
)
def test_spellings_of_the_entry(
    image: Path, entries: dict[str, Any], expected: float, note: str | None
) -> None:
    sidecar(image.with_suffix("").with_suffix(".json"), **entries)
    chosen = choose(image, None)
    assert chosen.tr_s == pytest.approx(expected) and not chosen.doubtful
    assert note is None or note in chosen.notices[0]


@pytest.mark.parametrize(
    ("entries", "header_s", "words"),
    [
        ({"VolumeTiming": [0, 2, 9, 11]}, 2.0, "steady pace"),
        ({"RepetitionTime": 0.053}, 2.0, "hardly any"),
        ({"RepetitionTime": 1, "SliceTiming": [0, 1.9, 0.9]}, None, "last slice"),
        ({"SliceTiming": [0, 1.9, 0.9]}, 1.0, "last slice"),
        ({}, 0.053, "hardly any"),
        ({}, 15.0, "hardly any"),
        ({}, None, "does not say"),
        ({"RepetitionTime": 0}, None, "does not say"),
        ({"RepetitionTime": True}, None, "does not say"),
        ({"RepetitionTime": "NaN"}, None, "does not say"),
    ],
)
def test_what_is_hardly_true_is_asked(
    image: Path, entries: dict[str, Any], header_s: float | None, words: str
) -> None:
    sidecar(image.with_suffix("").with_suffix(".json"), **entries)
    with pytest.raises(MissingTR, match=words) as caught:
        choose(image, header_s)
    assert "--tr" in str(caught.value)
    if header_s is not None:  # the answer is believed
        assert choose(image, header_s, header_s).tr_s == header_s


def test_exactly_one_second_is_asked_about_but_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", signals=bold_table(30), tr_s=1.0)
    recording = read_scan(tmp_path / "x.npz")
    assert recording.tr_s == 1.0
    assert any("exactly 1 s" in n and "--tr" in n for n in recording.notices)
    assert recording.provenance.steps[0].parameters["tr_doubtful"] is True
    assert read_scan(tmp_path / "x.npz", tr_s=1.0).notices == ()
    band = CleaningOptions(high_pass_hz=0.01)
    with pytest.raises(MissingTR, match="a filter needs"):
        read_scan(tmp_path / "x.npz", cleaning=band)
    assert read_scan(tmp_path / "x.npz", cleaning=band, tr_s=1.0).tr_s == 1.0


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff\xfe", b'{"RepetitionTime": {"a": 1}}', b"[" * 100_000]
)
def test_damaged_sidecars_say_nothing(image: Path, content: bytes) -> None:
    image.with_suffix("").with_suffix(".json").write_bytes(content)
    assert sidecar_timing(image).repetition_time is None
