"""For every reader: healthy scans with a person's name and birthday wherever the format can hold them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from scipy.io import savemat

from brainlm_core.base.atlas import a424
from brainlm_core.scans import read_scan
from tests.privacy.marks import DATES, FIRST, NAME, NOTE, PERSON
from tests.scans.scan_files import AFFINE, SHAPE, bold_table, bold_volume, label_volume
from tests.scans.table_files import write_workbook

T = 32
DICOM = {
    "PatientName": PERSON,
    "PatientBirthDate": DATES[0],
    "AcquisitionDateTime": f"{DATES[1]}T08:15:00",
    "InstitutionName": f"Clinic {NAME}",
    "DeviceSerialNumber": f"{NAME}-{DATES[0]}",
    "ReferringPhysicianName": PERSON,
}
SUB = "sub-01_task-rest_space-MNI152NLin6Asym"


@dataclass(frozen=True)
class Planted:
    """A scan to read, the further arguments of ``read_scan``, and what carries the marks."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)


def _sidecar(folder: Path, stem: str) -> None:
    (folder / f"{stem}.json").write_text(json.dumps({"RepetitionTime": 2.0, **DICOM}), "utf-8")


def _mark_header(header: Any) -> None:
    """Write into every field of free text of a NIfTI header, and append extensions."""
    names = header.template_dtype.names
    for field_name, text in (
        ("descrip", NOTE),
        ("aux_file", f"{NAME}.{DATES[0]}"),
        ("intent_name", NAME),
        ("db_name", NAME),
        ("data_type", NAME[:10]),
    ):
        if field_name in names:
            header[field_name] = text.encode()[: header[field_name].dtype.itemsize]
    for code in (4, 6, 18, 44):  # AFNI, comment, pipeline, JSON
        header.extensions.append(nib.nifti1.Nifti1Extension(code, f"{NOTE} {PERSON}".encode()))
    dicom = b"\x10\x00\x10\x00PN" + len(PERSON).to_bytes(2, "little") + PERSON.encode()
    header.extensions.append(nib.nifti1.Nifti1Extension(2, dicom))


def _volume(path: Path, data: np.ndarray, cls: Any = nib.Nifti1Image) -> Path:
    image = cls(data.astype(np.float32), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], 2.0))
    image.set_sform(AFFINE, 4)
    image.set_qform(AFFINE, 4)
    _mark_header(image.header)
    nib.save(image, path)
    return path


def _brain() -> np.ndarray:
    from brainlm_core.scans.space import sample_nearest
    from brainlm_core.scans.volume_atlas import load_volume_atlas

    atlas = load_volume_atlas("a424-approximation")
    return bold_volume(sample_nearest(atlas.labels, atlas.affine, SHAPE, AFFINE), T)


def nifti_with_sidecar(folder: Path) -> Planted:
    _sidecar(folder, f"{SUB}_desc-preproc_bold")
    return Planted(_volume(folder / f"{SUB}_desc-preproc_bold.nii.gz", _brain()))


def nifti2_with_a_marked_atlas(folder: Path) -> Planted:
    beside = folder.parent / f"{folder.name}-beside"
    beside.mkdir()
    _, labels = label_volume(beside / "labels.nii")
    _volume(beside / "labels.nii.gz", labels)
    (beside / "labels.nii").unlink()
    scan = _volume(folder / "scan.nii", bold_volume(labels, T), nib.Nifti2Image)
    return Planted(scan, {"atlas": str(beside / "labels.nii.gz"), "tr_s": 2.0})


def fmriprep(folder: Path) -> Planted:
    run = folder / "sub-01" / "func"
    run.mkdir(parents=True)
    brain = _brain()
    _volume(run / f"{SUB}_desc-preproc_bold.nii.gz", brain)
    _volume(run / f"{SUB}_desc-brain_mask.nii.gz", (brain[..., 0] != 0).astype(np.float32))
    _sidecar(run, f"{SUB}_desc-preproc_bold")
    _sidecar(folder, "dataset_description")
    confounds_table(run / "sub-01_task-rest_desc-confounds_timeseries.tsv")
    return Planted(run)


def confounds_table(path: Path, n: int = T) -> Path:
    rng = np.random.default_rng(0)
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    table = pd.DataFrame(0.01 * rng.standard_normal((n, 6)), columns=names)
    table.assign(**{NOTE: 1.0, "PatientName": PERSON, "csf": 1.0}).to_csv(path, sep="\t", index=False)
    return path


def _cifti(path: Path, data: np.ndarray, axis: Any) -> Path:
    image = nib.Cifti2Image(data.astype(np.float32), (nib.cifti2.SeriesAxis(0, 2.0, T), axis))
    image.header.matrix.metadata = nib.cifti2.Cifti2MetaData(
        {"Provenance": f"wb_command -import {NOTE}", "ParentProvenance": PERSON, **DICOM}
    )
    image.nifti_header["descrip"] = NOTE.encode()
    image.nifti_header["aux_file"] = NAME.encode()
    image.nifti_header["intent_name"] = NAME.encode()
    image.nifti_header.extensions.append(nib.nifti1.Nifti1Extension(6, PERSON.encode()))
    nib.save(image, path)
    return path


def dtseries(folder: Path) -> Planted:
    axis = nib.cifti2.BrainModelAxis.from_surface
    left = axis(np.arange(32492), 32492, "CIFTI_STRUCTURE_CORTEX_LEFT")
    right = axis(np.arange(32492), 32492, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    return Planted(_cifti(folder / "scan.dtseries.nii", bold_table(T, 64984), left + right))


def ptseries(folder: Path) -> Planted:
    five = a424().vertex_labels
    names = list(a424().names)  # foreign names are refused: see test_a_refusal_repeats_nothing_of_the_content
    vertices = [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.flatnonzero(five[:10242] == i)} for i in range(424)]
    axis = nib.cifti2.ParcelsAxis(
        names,
        [np.zeros((0, 3), int)] * 424,
        vertices,
        np.eye(4),
        (2, 2, 2),
        {"CIFTI_STRUCTURE_CORTEX_LEFT": 10242},
    )
    return Planted(_cifti(folder / "scan.ptseries.nii", bold_table(T), axis))


def gifti(folder: Path) -> Planted:
    for side, word in (("L", "Left"), ("R", "Right")):
        about = {"Name": PERSON, "Date": DATES[1], "UserName": NAME, **DICOM}
        arrays = [
            nib.gifti.GiftiDataArray(r.astype(np.float32), meta={"Name": NOTE, **about})
            for r in bold_table(T, 10242)
        ]
        meta = nib.gifti.GiftiMetaData(
            {"AnatomicalStructurePrimary": f"Cortex{word}", "TimeStep": "2.0", **about}
        )
        label = nib.gifti.GiftiLabel(key=1)
        label.label = NOTE
        table = nib.gifti.GiftiLabelTable()
        table.labels.append(label)
        image = nib.GiftiImage(darrays=arrays, meta=meta, labeltable=table)
        nib.save(image, folder / f"scan_hemi-{side}.func.gii")
    return Planted(folder / "scan_hemi-L.func.gii")


def saved(folder: Path) -> Planted:
    """A saved recording with what nobody asked for in it."""
    np.save(folder / "clean.npy", bold_table(T))
    path = folder / "scan.npz"
    read_scan(folder / "clean.npy", tr_s=2.0).save(path)
    (folder / "clean.npy").unlink()
    with np.load(path, allow_pickle=False) as store:
        arrays = {k: store[k] for k in store.files}
    meta = {**json.loads(str(arrays.pop("meta"))), "patient": PERSON}
    meta["provenance"]["header"] = DICOM
    meta["quality"]["comment"] = NOTE
    np.savez(path, meta=np.array(json.dumps(meta)), **{NAME: np.array([NOTE, PERSON])}, **arrays)
    return Planted(_commented(path))


def pack(folder: Path) -> Planted:
    arrays = {
        "signals": bold_table(T),
        "tr_s": np.array(2.0),
        f"{NAME} {DATES[0]}": np.array([[1, 2], [3, 4]]),
    }
    np.savez(folder / "scan.npz", **arrays, about=np.array([NOTE, PERSON]))
    return Planted(_commented(folder / "scan.npz"))


def one_array(folder: Path) -> Planted:
    np.savez(folder / "scan.npz", **{f"{NAME}_{DATES[0]}": bold_table(T)})
    return Planted(_commented(folder / "scan.npz"), {"tr_s": 2.0})


def _commented(path: Path) -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = NOTE.encode()
    return path


def npy(folder: Path) -> Planted:
    np.save(folder / "scan.npy", bold_table(T))
    with (folder / "scan.npy").open("ab") as stream:
        stream.write(f"{NOTE} {PERSON}".encode())
    _sidecar(folder, "scan")
    return Planted(folder / "scan.npy", {"tr_s": 2.0})


def parquet(folder: Path) -> Planted:
    rows = {f"{NAME} {DATES[0]}": [bold_table(T).tolist()], "Filename": ["scan-1"], **_about(1)}
    table = pa.table(rows).replace_schema_metadata({"header": json.dumps(DICOM)})
    pq.write_table(table, folder / "scan.parquet")
    return Planted(folder / "scan.parquet", {"tr_s": 2.0})


def arrow_file(folder: Path) -> Planted:
    rows = {"Raw_Recording": [bold_table(T).tolist()] * 2, "Filename": ["scan-1", "scan-2"], **_about(2)}
    feather.write_feather(
        pa.table(rows).replace_schema_metadata({"header": NOTE}), folder / "scan.arrow", compression="zstd"
    )
    return Planted(Path(f"{folder / 'scan.arrow'}#1"), {"tr_s": 2.0})


def _about(n: int) -> dict[str, list[Any]]:
    return {**{k: [v] * n for k, v in DICOM.items()}, "born": [int(DATES[0])] * n, "Age": [59.5] * n}


def mat(folder: Path) -> Planted:
    content = {"signals": bold_table(T), "TR": 2.0, "patient": PERSON, "more": np.array([NOTE], dtype=object)}
    savemat(folder / "scan.mat", content)
    _mat_header(folder / "scan.mat")
    return Planted(folder / "scan.mat")


def mat_with_one_matrix(folder: Path) -> Planted:
    savemat(folder / "scan.mat", {f"{NAME}_{DATES[0]}": bold_table(T)}, do_compression=True)
    _mat_header(folder / "scan.mat")
    return Planted(folder / "scan.mat", {"tr_s": 2.0})


def _mat_header(path: Path) -> None:
    raw = path.read_bytes()
    head = f"MATLAB 5.0 MAT-file, Created on: {DATES[0]}, {NOTE}".encode()
    path.write_bytes(head.ljust(116, b" ")[:116] + raw[116:])


def text_with_comments(folder: Path) -> Planted:
    names = list(a424().names)
    rows = "\n".join(",".join(f"{v:.3f}" for v in row) for row in bold_table(T))
    head = f"# {NOTE}\n% {PERSON}\n" + ",".join(names)
    (folder / "scan.csv").write_text(f"{head}\n{rows}\n", "utf-8")
    _sidecar(folder, "scan")
    return Planted(folder / "scan.csv")


def workbook(folder: Path) -> Planted:
    path = write_workbook(folder / "scan.xlsx", [list(a424().names), *bold_table(T).tolist()])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("docProps/core.xml", f"<coreProperties><creator>{PERSON}</creator></coreProperties>")
        archive.writestr("xl/comments1.xml", f"<comments><comment>{NOTE} {DATES[0]}</comment></comments>")
    return Planted(path, {"tr_s": 2.0})


def text_with_row_names(folder: Path) -> Planted:
    table = pd.DataFrame(bold_table(T), index=[f"{FIRST} {NAME} {DATES[1]} {i}" for i in range(T)])
    table.to_csv(folder / "scan.tsv", sep="\t")
    return Planted(folder / "scan.tsv", {"tr_s": 2.0})


def text_with_coordinates_and_confounds(folder: Path) -> Planted:
    beside = folder.parent / f"{folder.name}-beside"
    beside.mkdir()
    rng = np.random.default_rng(1)
    places = pd.DataFrame(rng.uniform(-50, 50, (30, 3)), columns=list("xyz"))
    text = places.assign(patient=PERSON, label=range(30)).to_csv(index=False)
    (beside / "places.csv").write_text(f"# {NOTE}\n{text}", "utf-8")
    np.savetxt(folder / "scan.dat", bold_table(T, 30), header=NOTE)
    return Planted(
        folder / "scan.dat",
        {
            "tr_s": 2.0,
            "coordinates": str(beside / "places.csv"),
            "confounds": str(confounds_table(beside / "confounds.tsv")),
        },
    )


#: By the key of the reader. A reader without an entry fails the test.
PLANTED: dict[str, tuple[Callable[[Path], Planted], ...]] = {
    "fmriprep": (fmriprep,),
    "cifti": (dtseries, ptseries),
    "nifti": (nifti_with_sidecar, nifti2_with_a_marked_atlas),
    "gifti": (gifti,),
    "npz": (saved, pack, one_array),
    "npy": (npy,),
    "arrow": (parquet, arrow_file),
    "mat": (mat, mat_with_one_matrix),
    "workbook": (workbook,),
    "text": (text_with_comments, text_with_row_names, text_with_coordinates_and_confounds),
}
#: Formats that are refused, and how they begin.
REFUSED = {
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "minc": b"CDF\x01",
    "dicom": bytes(128) + b"DICM",
    "office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "picture": b"%PDF-1.7",
}
__all__ = ["DICOM", "FIRST", "PLANTED", "REFUSED", "Planted"]
