"""Label images of the user's with a lookup table in the layouts of the field."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scan_files import bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import AtlasError
from brainlm_core.scans import read_scan
from brainlm_core.scans.isolation import read_isolated
from brainlm_core.scans.lookup import read_lookup

NAMES = {7: "Left-Thalamus", 12: "Right Hippocampus", 2035: "ctx-rh-insula"}
LAYOUTS = {
    "bids.tsv": "index\tname\tabbreviation\n" + "".join(f"{k}\t{v}\tx{k}\n" for k, v in NAMES.items()),
    "label.tsv": "index\tlabel\n" + "".join(f"{k}\t{v}\n" for k, v in NAMES.items()),
    "name_first.csv": "name,color,index\n" + "".join(f"{v},#ff0000,{k}\n" for k, v in NAMES.items()),
    "freesurfer.txt": "#No. Label Name:   R   G   B   A\n\n"
    + "".join(f"{k:<5} {v:<30} 205 62 78 0\n" for k, v in NAMES.items()),
    "plain.txt": "".join(f"{k} {v}\n" for k, v in NAMES.items()),
    "quoted.csv": "\ufeffIndex;Name\r\n" + "".join(f'{k};"{v}"\r\n' for k, v in NAMES.items()),
    "a.json": json.dumps({str(k): v for k, v in NAMES.items()}),
    "b.json": json.dumps({v: k for k, v in NAMES.items()}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_names(tmp_path: Path, layout: str) -> None:
    (tmp_path / layout).write_text(LAYOUTS[layout], "utf-8")
    assert read_lookup(tmp_path / layout) == NAMES


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no numbers with names"), ("1 a\n1 b\n", "twice"), ("some words\nand more\n", "no numbers")],
)
def test_what_is_no_lookup_table_is_said(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(AtlasError, match=words):
        read_lookup(tmp_path / "l.txt")


def test_a_volume_is_averaged_over_named_labels(tmp_path: Path) -> None:
    path, labels = label_volume(tmp_path / "labels.nii.gz", 12)
    data = bold_volume(labels, 25)
    scan = save_nifti(tmp_path / "space-MNI152NLin6Asym_bold.nii", data)
    (tmp_path / "names.tsv").write_text("index\tname\n" + "".join(f"{i}\tArea {i}\n" for i in range(1, 13)))
    for read in (read_scan, read_isolated):
        recording = read(scan, atlas=str(path), labels=str(tmp_path / "names.tsv"))
        assert recording.parcellation.names[4] == "Area 5"
        np.testing.assert_allclose(recording.signals[4], data[labels == 5].mean(axis=0), rtol=1e-4)
    (tmp_path / "few.tsv").write_text("index\tname\n1\tone\n")
    with pytest.raises(AtlasError, match="lacks 11 of the 12 labels"):
        read_scan(scan, atlas=str(path), labels=str(tmp_path / "few.tsv"))
    with pytest.raises(AtlasError, match="without the label volume"):
        read_scan(scan, labels=str(tmp_path / "few.tsv"))
