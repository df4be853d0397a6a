"""Everything that :func:`brainlm_core.scans.read_scan` opens, and the side files that it takes."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from brainlm_core.base.recording import Recording
from brainlm_core.scans import CleaningOptions, read_scan
from tests.fuzz import containers as make
from tests.fuzz.bomb_targets import GIFTI_WORDS
from tests.fuzz.mutations import Part
from tests.fuzz.targets import Target

_ROWS = (None, None, None, "#0", "#3")


def _read(path: Path, option: int) -> None:
    """Read a file as the command line does, with and without a repetition time and a row."""
    row = _ROWS[option % len(_ROWS)]
    check(read_scan(path if row is None else f"{path}{row}", tr_s=(2.0, None)[option % 2]), option)


def check(recording: Recording, option: int = 0) -> None:
    """Hold what every recording promises."""
    assert recording.signals.shape == (recording.parcellation.n_parcels, recording.n_timepoints)
    assert np.isfinite(recording.signals).all() and 0.05 <= recording.tr_s <= 20
    assert recording.quality is not None
    quality = recording.quality
    assert quality.verdict in ("good", "usable", "poor")
    assert quality.coverage.shape == quality.tsnr.shape == quality.flat.shape == (recording.n_parcels,)
    assert quality.dvars.shape == quality.spikes.shape == (recording.n_timepoints,)
    assert all(isinstance(n, str) for n in (*recording.notices, *quality.reasons))
    text = json.dumps(recording.provenance.to_dict(), allow_nan=False)
    text += "".join((*recording.notices, *quality.reasons))
    assert "fuzz-case" not in text, "a path of this machine is kept"
    (text + "".join((recording.parcellation.name, *recording.parcellation.names))).encode()
    if option % 7 == 0:
        stream = Path(tempfile.gettempdir()) / f"again-{os.getpid()}.npz"
        recording.save(stream)
        again = Recording.load(stream)
        stream.unlink()
        assert np.array_equal(again.signals, recording.signals)
        assert math.isclose(again.tr_s, recording.tr_s)
        assert again.provenance.to_dict() == json.loads(json.dumps(recording.provenance.to_dict()))


def _nifti_parts() -> tuple[Part, ...]:
    one, two = make.nifti(make.brain()), make.nifti(make.brain(np.float32), nib.Nifti2Image, units="msec")
    fields = make.header_fields(nib.Nifti1Header.template_dtype)
    fields2 = make.header_fields(nib.Nifti2Header.template_dtype)
    return (
        Part(one, fields=fields),
        Part(one[:352], lambda head: head + one[352:], fields=fields),
        Part(two[:544], lambda head: head + two[544:], fields=fields2),
        Part(one, make.gz, fields=fields),
        Part(two, make.gz, fields=fields2),
        Part(make.gz(one)),
    )


def _cifti_parts() -> tuple[Part, ...]:
    return make.cifti_parts(make.cifti_dense()) + make.cifti_parts(make.cifti_dense(deep=True))


def _ptseries_parts() -> tuple[Part, ...]:
    return make.cifti_parts(make.cifti_parcels())


def _gifti_parts() -> tuple[Part, ...]:
    packed, plain = make.gifti(), make.gifti("ASCII", 1)
    words = (b"NIFTI_TYPE_FLOAT64", b"NIFTI_TYPE_UINT8", b"NIFTI_TYPE_COMPLEX64", b"Base64Binary", b"ASCII",
             b"ExternalFileBinary", b"ColumnMajorOrder", b"BigEndian", b"Dim1", b"CortexRight",
             *GIFTI_WORDS)  # fmt: skip
    head, rest = packed[:2500], packed[2500:]
    return Part(head, lambda h: h + rest, words=words), Part(packed, words=words), Part(plain, words=words)


def saved_arrays() -> dict[str, np.ndarray]:
    """Return the arrays of a saved recording."""
    stream = io.BytesIO()
    np.save(stream, make.signals())
    folder = Path(tempfile.mkdtemp())
    np.save(folder / "a.npy", make.signals())
    read_scan(folder / "a.npy", tr_s=2.0).save(folder / "rec.npz")
    with np.load(folder / "rec.npz", allow_pickle=False) as store:
        arrays = {k: store[k] for k in store.files}
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return arrays


def _saved_parts() -> tuple[Part, ...]:
    return make.npz_parts(saved_arrays(), "meta")


def _pack_parts() -> tuple[Part, ...]:
    long = make.signals(424, 2 * make.N_VOLUMES)
    pack = {"signals": long, "offsets": np.array([0, 24, 48]), "tr_s": np.array(2.0)}
    return make.npz_parts({"signals": make.signals(), "tr_s": np.array(2.0)}) + make.npz_parts(pack)


def _npy_parts() -> tuple[Part, ...]:
    return make.npy_parts(make.npy(make.signals())) + make.npy_parts(make.npy(make.signals().T.astype(">i2")))


def _mat_parts() -> tuple[Part, ...]:
    from scipy.io import savemat

    parts = []
    for packed in (False, True):
        stream = io.BytesIO()
        content = {"signals": make.signals(), "TR": 2.0, "names": np.array(["a", "bc"], dtype=object)}
        savemat(stream, content, do_compression=packed)
        whole = stream.getvalue()
        parts += [Part(whole), Part(whole[:400], lambda head, rest=whole[400:]: head + rest)]
    return tuple(parts)


def arrow_parts() -> tuple[Part, ...]:
    import pyarrow as pa
    import pyarrow.feather as feather

    rows = [make.signals().astype(np.float32).tolist()]
    kinds: dict[str, Any] = {
        "float": pa.array(rows, pa.list_(pa.list_(pa.float32()))),
        "words": pa.array([[["a", "b"]] * 24], pa.list_(pa.list_(pa.string()))),
        "gaps": pa.array([[[1.0, None], None, [2.0]]], pa.list_(pa.list_(pa.float64()))),
        "times": pa.array([[[1, 2]] * 24], pa.list_(pa.list_(pa.timestamp("s")))),
        "bits": pa.array([[[b"x", b"y"]] * 24], pa.list_(pa.list_(pa.binary()))),
    }
    parts = []
    for values in kinds.values():
        table = {"Raw_Recording": values, "Patient_ID": ["x"], "Age": [30.5]}
        whole = make.parquet(table)
        parts += [Part(whole), Part(whole[-4000:], lambda tail, head=whole[:-4000]: head + tail)]
    stream = io.BytesIO()
    feather.write_feather(pa.table({"Raw_Recording": kinds["float"]}), stream, compression="uncompressed")
    table = pa.table({"Raw_Recording": kinds["float"], "Patient_ID": ["x"], "Age": [30]})
    flow = pa.BufferOutputStream()
    with pa.ipc.new_stream(flow, table.schema) as writer:
        writer.write_table(table)
    for whole in (stream.getvalue(), flow.getvalue().to_pybytes()):
        parts += [Part(whole), Part(whole[:2000], lambda head, rest=whole[2000:]: head + rest)]
    return tuple(parts)


def _text_parts() -> tuple[Part, ...]:
    values = make.signals(424, 22)
    table = "\n".join(",".join(f"{v:g}" for v in row) for row in values)
    tab = "\n".join("\t".join(f"{v:g}" for v in row[:24]) for row in make.signals(24, 424))
    named = ",".join(f"p{i}" for i in range(424)) + "\n" + table
    comma = table.replace(",", ";").replace("9", "9,")
    blanks = "# a comment\n% b\n" + table.replace(",", "  ")
    words = ("index," + ",".join(map(str, range(424))) + "\n").join(["", table])
    short = "time,a,b,c\n0,1,2,3\n2,3,4,5\n4,3,2,1\n6,1,1,2\n"
    texts = (table, tab, named, comma, blanks, words, short, short.replace(",", "\t"))
    parts = []
    for text in texts:
        data = text.encode()
        parts += [Part(data), Part(data[:600], lambda head, rest=data[600:]: head + rest)]
    parts.append(Part(named.encode("utf-16")))
    return tuple(parts)


def _folder_parts() -> tuple[Part, ...]:
    names = (
        "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz\n"
        "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz\n"
        "sub-01_task-rest_desc-confounds_timeseries.tsv\n"
        "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.json\n"
        "sub-01_hemi-L_space-fsaverage5_bold.func.gii"
    )
    return (Part(names.encode()),)


@cache
def _healthy() -> dict[str, bytes]:
    return {
        ".nii.gz": make.gz(make.nifti(make.brain())),
        ".gii": make.gifti(),
        ".tsv": _confounds_text(),
        ".json": b'{"RepetitionTime": 2.0}',
    }


def _read_folder(path: Path, option: int) -> None:
    """Lay out a folder whose file names are the damaged lines, and read it."""
    run = path.parent / "run"
    run.mkdir()
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    for line in lines[:20]:
        name = (
            line.replace("/", "_").replace("\0", "")[:60] + line.replace("/", "_").replace("\0", "")[60:200]
        )
        if name in ("", ".", "..") or len(name.encode()) > 250:
            continue
        content = next((v for k, v in _healthy().items() if name.endswith(k)), b"x")
        (run / name).write_bytes(content)
    check(read_scan(run, tr_s=(2.0, None)[option % 2]), option)


def _confounds_text() -> bytes:
    names = [f"{k}_{a}" for k in ("trans", "rot") for a in "xyz"]
    names += ["framewise_displacement", "csf", "white_matter", "global_signal", "a_comp_cor_00", "cosine00"]
    rng = np.random.default_rng(2)
    rows = [
        ["n/a" if i == 0 and n == "framewise_displacement" else f"{rng.normal():.3f}" for n in names]
        for i in range(24)
    ]
    return "\n".join("\t".join(r) for r in [names, *rows]).encode()


def _confounds_parts() -> tuple[Part, ...]:
    text = _confounds_text()
    other = text.replace(b"framewise_displacement", b"dvars")
    return (
        Part(text), Part(other), Part(text[:300], lambda head: head + text[300:]),
        Part(text.replace(b"\t", b",")),
    )  # fmt: skip


@cache
def _table_file(n: int) -> Path:
    path = Path(tempfile.mkdtemp()) / "table.npy"
    np.save(path, make.signals(n))
    return path


def _read_confounds(path: Path, option: int) -> None:
    strategies = (
        (),
        ("motion",),
        ("simple",),
        ("compcor",),
        ("motion", "wm_csf", "global_signal"),
        ("non_steady_state",),
    )
    strategy = strategies[option % len(strategies)]
    cleaning = CleaningOptions(strategy=strategy) if strategy else None
    check(read_scan(_table_file(424), tr_s=2.0, confounds=path, cleaning=cleaning), option)


def _coordinates_parts() -> tuple[Part, ...]:
    rng = np.random.default_rng(3)
    rows = [
        f"r{i},{rng.uniform(-60, 60):.1f},{rng.uniform(-80, 60):.1f},{rng.uniform(-30, 60):.1f}"
        for i in range(30)
    ]
    text = ("label,x,y,z\n" + "\n".join(rows)).encode()
    bare = "\n".join(r.split(",", 1)[1] for r in rows).encode()
    return Part(text), Part(bare), Part(text.replace(b",", b"\t")), Part(text[:200], lambda h: h + text[200:])


def _read_coordinates(path: Path, option: int) -> None:
    check(read_scan(_table_file(30), tr_s=2.0, coordinates=path), option)


def _sidecar_parts() -> tuple[Part, ...]:
    return (Part(b'{"RepetitionTime": 2.0, "EchoTime": [1, 2], "PatientName": "x"}', is_json=True),)


def _read_sidecar(path: Path, option: int) -> None:
    scan = path.parent / "scan_bold.csv"
    scan.write_bytes(_csv())
    path.rename(path.parent / "scan_bold.json")
    check(read_scan(scan), option)


@cache
def _csv() -> bytes:
    return "\n".join(",".join(f"{v:g}" for v in row) for row in make.signals(424, 22)).encode()


def _labels_parts() -> tuple[Part, ...]:
    labels = make.brain(n=1)[..., 0].astype(np.int16)
    inside = labels > 0
    labels[inside] = 1 + np.arange(inside.sum()) % 12
    whole = make.nifti(labels)
    fields = make.header_fields(nib.Nifti1Header.template_dtype)
    return (
        Part(whole[:352], lambda head: make.gz(head + whole[352:]), fields=fields),
        Part(whole, make.gz, fields=fields),
        Part(make.gz(whole)),
    )


@cache
def _scan_file() -> Path:
    path = Path(tempfile.mkdtemp()) / "scan.nii"
    path.write_bytes(make.nifti(make.brain()))
    return path


@cache
def _dense_file() -> Path:
    path = Path(tempfile.mkdtemp()) / "scan.dtseries.nii"
    path.write_bytes(make.cifti_dense(deep=True))
    return path


def _read_dlabel(path: Path, option: int) -> None:
    check(read_scan(_dense_file(), atlas=str(path)), option)


def _read_labels(path: Path, option: int) -> None:
    check(read_scan(_scan_file(), atlas=str(path)), option)


SCAN_TARGETS = (
    Target("nifti", "scan.nii.gz", _nifti_parts, _read),
    Target("cifti", "scan.dtseries.nii", _cifti_parts, _read),
    Target("ptseries", "scan.ptseries.nii", _ptseries_parts, _read),
    Target("gifti", "scan.L.func.gii", _gifti_parts, _read),
    Target("saved", "rec.npz", _saved_parts, _read),
    Target("npz", "pack.npz", _pack_parts, _read),
    Target("npy", "table.npy", _npy_parts, _read),
    Target("mat", "table.mat", _mat_parts, _read),
    Target("arrow", "rows.parquet", arrow_parts, _read),
    Target("text", "table.csv", _text_parts, _read),
    Target("folder", "names.txt", _folder_parts, _read_folder),
    Target("confounds", "confounds.tsv", _confounds_parts, _read_confounds),
    Target("coordinates", "places.csv", _coordinates_parts, _read_coordinates),
    Target("sidecar", "side.json", _sidecar_parts, _read_sidecar),
    Target("labels", "labels.nii.gz", _labels_parts, _read_labels),
    Target("dlabel", "A424.dlabel.nii", lambda: make.cifti_parts(make.cifti_labels()), _read_dlabel),
)
