"""The registry of formats: a new one is a module with a ``read`` function and one entry here.

Formats are recognised by their content; the file name decides only where content cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.nifti_header import is_cifti
from brainlm_core.scans.parcel_tables import to_parcels
from brainlm_core.scans.source import Probe
from brainlm_core.scans.types import ReadRequest, ReadResult
from brainlm_core.scans.volume_files import is_volume


@dataclass(frozen=True)
class Reader:
    """One format.

    Parameters
    ----------
    key : str
        Unique short name.
    title : str
        Shown to the user.
    suffixes : tuple of str
        Usual file name endings, for file choosers.
    recognise : callable
        ``recognise(probe) -> bool``, from the first bytes.
    read : callable
        ``read(request) -> ParcelSignals or Recording``.
    may_abort : bool
        Whether its library has ended the whole process on a damaged file: it is read in a child, always.
    """

    key: str
    title: str
    suffixes: tuple[str, ...]
    recognise: Callable[[Probe], bool]
    read: Callable[[ReadRequest], ReadResult]
    may_abort: bool = False


def _read_table(load: Callable[[Path, str], Grid], request: ReadRequest) -> ReadResult:
    request.progress(0.1, "reading the table")
    return to_parcels(load(request.source.path, request.source.name), request)


def _text(path: Path, name: str) -> Grid:
    from brainlm_core.scans.text_tables import read_text

    return read_text(path, name)


def _npy(path: Path, name: str) -> Grid:
    from brainlm_core.scans.array_tables import read_npy

    return read_npy(path, name)


def _mat(path: Path, name: str) -> Grid:
    from brainlm_core.scans.array_tables import read_mat

    return read_mat(path, name)


def _nifti(request: ReadRequest) -> ReadResult:
    from brainlm_core.scans.volumes import read_nifti

    return read_nifti(request)


def _cifti(request: ReadRequest) -> ReadResult:
    from brainlm_core.scans.cifti import read_cifti

    return read_cifti(request)


def _gifti(request: ReadRequest) -> ReadResult:
    from brainlm_core.scans.gifti import read_gifti

    return read_gifti(request)


def _folder(request: ReadRequest) -> ReadResult:
    from brainlm_core.scans.fmriprep import read_folder

    return read_folder(request, lambda probe, inner: find_reader(probe, inner.source.name).read(inner))


def _arrow(request: ReadRequest) -> ReadResult:
    from brainlm_core.scans.arrow_rows import read_arrow

    source = request.source
    request.progress(0.1, "reading the table")
    return to_parcels(read_arrow(source.path, source.name, source.row), request)


def _zip(request: ReadRequest) -> ReadResult:
    """Read a ``.npz``: a saved recording when it says so, else a table."""
    from brainlm_core.scans.array_tables import read_npz
    from brainlm_core.scans.limits import check_zip
    from brainlm_core.scans.saved import read_saved

    members = check_zip(request.source.path, request.source.name)
    if {"meta.npy", "signals.npy", "parcellation_name.npy"} <= set(members):
        return read_saved(request)
    return _read_table(partial(read_npz, row=request.source.row), request)


def _hdf5(path: Path, name: str) -> Grid:
    from brainlm_core.scans.hdf5_tables import read_hdf5

    return read_hdf5(path, name)


def _dicom(request: ReadRequest) -> ReadResult:
    raise ScanError(
        f"{request.source.name} is a DICOM file of the scanner, which lies in no template's space",
        "convert and register the run first (dcm2niix, then fMRIPrep), and give the result",
    )


def _minc(request: ReadRequest) -> ReadResult:
    raise ScanError(
        f"{request.source.name} is a MINC image, a format that is not read here",
        "convert it to NIfTI (mnc2nii) and give that",
    )


def _is_minc(probe: Probe) -> bool:
    return probe.inner.startswith(b"CDF\x01") or (
        probe.inner.startswith(b"\x89HDF") and probe.name.endswith((".mnc", ".mnc.gz"))
    )


def _old_office(request: ReadRequest) -> ReadResult:
    raise ScanError(f"{request.source.name} is an Office document, not a scan", "export the signals as .csv")


def _picture(request: ReadRequest) -> ReadResult:
    raise ScanError(f"{request.source.name} is a picture or document, not a scan", "give the scan itself")


def _workbook(request: ReadRequest) -> ReadResult:
    from brainlm_core.scans.text_tables import read_workbook_grid

    return _read_table(read_workbook_grid, request)


def _is_workbook(probe: Probe) -> bool:
    return probe.head.startswith(b"PK\x03\x04") and b"xl/" in probe.head


def _is_text(probe: Probe) -> bool:
    """Whether nothing speaks against text; in compressed data the first bytes must be printable."""
    if probe.is_dir:
        return False
    printable = bytes({*range(32, 256), 9, 10, 12, 13})
    return not probe.is_gzip or (bool(probe.inner) and not probe.inner.translate(None, printable))


def _starts(*magic: bytes) -> Callable[[Probe], bool]:
    return lambda probe: probe.inner.startswith(magic)


def _is_gifti(probe: Probe) -> bool:
    return any("<GIFTI".encode(code) in probe.inner for code in ("ascii", "utf-16-le", "utf-16-be"))


_VOLUME_ENDINGS = (
    *(".nii", ".nii.gz", ".nii.bz2", ".nii.xz", ".mgz", ".mgh"),
    *(".HEAD", ".BRIK", ".hdr", ".img", ".zip"),
)

#: Tried in order; the first that recognises the content reads the file.
READERS: tuple[Reader, ...] = (
    Reader("fmriprep", "folder of fMRIPrep derivatives", (), lambda probe: probe.is_dir, _folder),
    Reader("cifti", "CIFTI time series", (".dtseries.nii", ".ptseries.nii"), is_cifti, _cifti),
    Reader("nifti", "volumes: NIfTI, FreeSurfer, AFNI", _VOLUME_ENDINGS, is_volume, _nifti),
    Reader("gifti", "GIFTI surface series", (".func.gii", ".gii"), _is_gifti, _gifti),
    Reader("workbook", "spreadsheet workbook", (".xlsx",), _is_workbook, _workbook),
    Reader("npz", "NumPy archive or saved recording", (".npz",), _starts(b"PK\x03\x04", b"PK\x05\x06"), _zip),
    Reader("npy", "NumPy array", (".npy",), _starts(b"\x93NUMPY"), partial(_read_table, _npy)),
    Reader(
        "arrow",
        "Parquet or Arrow rows",
        (".parquet", ".arrow", ".feather"),
        _starts(b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"),
        _arrow,
        may_abort=True,
    ),
    Reader("mat", "MATLAB file (version 5)", (".mat",), _starts(b"MATLAB 5.0"), partial(_read_table, _mat)),
    Reader("minc", "MINC (refused)", (), _is_minc, _minc),
    Reader("dicom", "DICOM (refused)", (), lambda probe: probe.head[128:132] == b"DICM", _dicom),
    Reader(
        "hdf5",
        "MATLAB file (version 7.3), HDF5",
        (".mat",),
        _starts(b"\x89HDF", b"MATLAB 7.3"),
        partial(_read_table, _hdf5),
        may_abort=True,
    ),
    Reader("office", "Office document (refused)", (), _starts(b"\xd0\xcf\x11\xe0"), _old_office),
    Reader(
        "picture",
        "picture or PDF (refused)",
        (),
        _starts(b"\x89PNG", b"\xff\xd8\xff", b"%PDF", b"GIF8", b"BM"),
        _picture,
    ),
    Reader(
        "text",
        "text table",
        (".csv", ".tsv", ".txt", ".dat", ".1d", ".netts", ".csv.gz", ".tsv.gz"),
        _is_text,
        partial(_read_table, _text),
    ),
)


def scan_suffixes() -> tuple[str, ...]:
    """Return the endings of every format in lower case, longest first: a folder import takes them."""
    return tuple(sorted({s.lower() for reader in READERS for s in reader.suffixes}, key=len, reverse=True))


def is_scan_name(name: str) -> bool:
    """Whether a file's name ends as a format here does, in whatever case."""
    return name.lower().endswith(scan_suffixes())


def find_reader(probe: Probe, name: str) -> Reader:
    """Return the reader for a file.

    Raises
    ------
    ScanError
        If no reader recognises it.
    """
    for reader in READERS:
        if reader.recognise(probe):
            return reader
    if probe.is_gzip:
        raise ScanError(
            f"{name} is compressed data that cannot be read as a scan; it is damaged, cut short or no scan",
            "copy or download the file again",
        )
    raise ScanError(f"{name} is in no format that is known here", "give NIfTI, CIFTI, GIFTI or a table")
