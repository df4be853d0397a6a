"""Ways a recording comes into a visitor's hand: dropped, chosen, fetched, or named on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import streamlit as st

from app.shell.jobs import Report
from app.shell.tasks import Task
from brainlm_core.base.errors import DownloadError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.base.scratch import scratch

if TYPE_CHECKING:
    from app.shell.streamlit_patches.uploads import UploadedFile
    from brainlm_core.scans import ScanSource

#: Stated beside the drop zone.
FORMATS = (
    "4D images in MNI space (NIfTI plain or packed, .mgz, AFNI, .hdr/.img, a ZIP of volumes) · "
    "CIFTI (.dtseries.nii, .ptseries.nii) · GIFTI (.func.gii) · "
    "tables with one column per parcel (.csv .tsv .txt .dat .1D .netts .xlsx .npy .npz .mat) · Parquet or "
    "Arrow · a recording saved here (.npz)"
)
#: Folders below which a path on this machine may be read; `BRAINLM_ROOTS` replaces them.
ROOTS_VARIABLE = "BRAINLM_ROOTS"
_MAX_NAME_BYTES = 200
#: Slot of the task that reads a scan: the only one that outlives the recording and the model in hand.
INTAKE = "intake"
#: Part that it publishes before it is done: the mean image of a volume's first moments.
FIRST_LOOK = "first look"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Options:
    """What a visitor may say about a scan besides the scan itself.

    Parameters
    ----------
    tr_s : float or None
        Repetition time in s; None takes the file's.
    cleaning : dict
        Fields of :class:`brainlm_core.scans.CleaningOptions`; empty for none.
    answers : dict
        What was asked: ``atlas``, ``rows_are``, ``space`` of :func:`brainlm_core.scans.read_scan`;
        ``confounds`` empty to read without the table.
    """

    tr_s: float | None = None
    cleaning: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Uploads:
    """Dropped files by role; all but ``scan`` may be None."""

    scan: UploadedFile
    partner: UploadedFile | None = None
    confounds: UploadedFile | None = None
    coordinates: UploadedFile | None = None
    atlas: UploadedFile | None = None
    labels: UploadedFile | None = None

    @property
    def files(self) -> tuple[UploadedFile, ...]:
        """All files that are there."""
        every = (self.scan, self.partner, self.confounds, self.coordinates, self.atlas, self.labels)
        return tuple(f for f in every if f is not None)

    def signature(self, options: Options) -> str:
        """Return what makes this attempt differ from the last one."""
        files = (self.scan, self.partner, self.confounds, self.coordinates, self.atlas, self.labels)
        ids = [f.file_id if f else "" for f in files]
        return "|".join([*ids, repr(options)])


def read_upload(uploads: Uploads, options: Options) -> Task[Recording]:
    """Read dropped files: written to a private folder in blocks, read, and deleted whatever happens."""
    name = plain_name(uploads.scan.name)

    def work(report: Report) -> Recording:
        from brainlm_core.scans import ScanSource

        with ExitStack() as stack:
            report(0.0, "Receiving the file")
            with no_room_is_a_sentence():
                folder = stack.enter_context(scratch())
                scans = [f for f in (uploads.scan, uploads.partner) if f is not None]
                names = tuple(plain_name(f.name) for f in scans)
                # On the disk the files get names of ours: theirs may be too long or odd for it.
                paths = tuple(
                    _write(file, folder, f"upload-{i}{'.gz' if shown.lower().endswith('.gz') else ''}")
                    for i, (file, shown) in enumerate(zip(scans, names, strict=True))
                )
                confounds = (
                    _write(uploads.confounds, folder, confounds_name(uploads.confounds.name))
                    if uploads.confounds
                    else None
                )
                coordinates = (
                    _write(uploads.coordinates, folder, "coordinates.csv") if uploads.coordinates else None
                )
                atlas = _write(uploads.atlas, folder, "label-volume.nii") if uploads.atlas else None
                labels = (
                    _write(uploads.labels, folder, labels_name(uploads.labels.name))
                    if uploads.labels
                    else None
                )
            scan = ScanSource(paths, names, uploaded=True)
            return _read(
                scan, options, report,
                confounds=confounds, coordinates=coordinates, atlas=atlas, labels=labels,
            )  # fmt: skip

    return Task(INTAKE, ("upload", uploads.signature(options)), f"Reading {name}", work)


def read_path(text: str, options: Options) -> Task[Recording]:
    """Read a file or a run folder on this machine, only below the allowed roots."""

    def work(report: Report) -> Recording:
        from brainlm_core.scans import ScanSource

        path = allowed_path(text)
        # Links inside a run folder may lead outside again: the readers hold the same limit.
        return _read(ScanSource((path,), (path.name,), roots=allowed_roots()), options, report)

    return Task(INTAKE, ("path", text, repr(options)), "Reading the file", work)


def read_public_example() -> Task[Recording]:
    """Fetch one public resting scan through nilearn and read it."""

    def work(report: Report) -> Recording:
        report(0.02, "Downloading one scan of a public study, about 80 MB the first time")
        scan, confounds = _fetch_public()
        return _read(scan, Options(), report, confounds=confounds, name="Public example (ds000228)")

    return Task(INTAKE, ("public",), "Fetching a public example", work)


def _fetch_public() -> tuple[Path, Path]:
    try:
        from nilearn.datasets import fetch_development_fmri

        found = fetch_development_fmri(n_subjects=1, age_group="adult", verbose=0)
    except Exception as error:  # nilearn passes on whatever its HTTP library raises
        raise DownloadError(
            "the public example cannot be downloaded now",
            "check the connection, or open a simulated recording",
        ) from error
    return Path(found["func"][0]), Path(found["confounds"][0])


def allowed_roots() -> tuple[Path, ...]:
    """Return the folders that a path on this machine may lie in."""
    named = os.environ.get(ROOTS_VARIABLE)
    parts = named.split(os.pathsep) if named else [str(Path.home()), str(Path.cwd())]
    return tuple(Path(p).expanduser().resolve() for p in parts if p)


def allowed_path(text: str) -> Path:
    """Return the resolved path.

    Raises
    ------
    ScanError
        If it lies outside the allowed roots or does not exist; both read alike, so that a
        visitor cannot learn what exists elsewhere.
    """
    from brainlm_core.scans.source import lies_within

    try:
        path = Path(text.strip()).expanduser().resolve()
        inside = lies_within(path, allowed_roots()) and path.exists()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise _not_there()
    return path


def allowed_model_folder(text: str) -> Path:
    """Return the resolved path of a folder whose files all lie below the allowed roots, links followed.

    Raises
    ------
    ScanError
        As :func:`allowed_path`.
    """
    from brainlm_core.scans.source import lies_within

    folder, roots = allowed_path(text), allowed_roots()
    try:
        stray = [p for p in folder.iterdir() if not lies_within(p, roots)] if folder.is_dir() else []
    except OSError:
        stray = [folder]
    if stray:
        raise _not_there()
    return folder


def _not_there() -> ScanError:
    return ScanError(
        "there is no readable file or folder of that name below the allowed folders",
        f"give a path below {' or '.join(str(r) for r in allowed_roots())}, "
        f"or allow another folder by starting the dashboard with {ROOTS_VARIABLE}=/that/folder",
    )


def started_locally() -> bool:
    """Whether server and browser are the same machine, so that its paths are this visitor's own.

    Behind a reverse proxy every visitor seems to come from this machine: the name that the browser
    asked for and the headers that proxies add tell them apart.
    """
    headers = st.context.headers
    host = (urlsplit(f"//{headers.get('Host', '')}").hostname or "").lower()
    return (
        st.get_option("server.address") in _LOOPBACK
        and (st.context.ip_address or "127.0.0.1") in _LOOPBACK
        and host in _LOOPBACK
        and not any(headers.get(name) for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"))
    )


def confounds_name(name: str) -> str:
    """Return a name of ours that tells the reader whose motion file it is, and nothing else."""
    from brainlm_core.scans.motion import motion_kind

    ours = {
        "spm": "rp_confounds.txt",
        "fsl": "confounds.par",
        "afni": "confounds.1D",
        "hcp": "Movement_Regressors.txt",
        "fmriprep": "desc-confounds_timeseries.tsv",
    }
    ending = "csv" if name.lower().endswith(".csv") else "tsv"
    return ours.get(motion_kind(plain_name(name)), f"confounds.{ending}")


def labels_name(name: str) -> str:
    """Return a name of ours for a lookup table, which tells JSON from text."""
    return f"labels.{'json' if name.lower().endswith('.json') else 'tsv'}"


def plain_name(name: str) -> str:
    """Return a printable file name without folders, of a length that every disk takes; ``scan`` for none."""
    last = Path("".join(c for c in name.replace("\\", "/") if c.isprintable())).name
    if len(last.encode()) > _MAX_NAME_BYTES:
        last = f"{last[:24]}…{last[-24:]}"
    return "scan" if last in ("", ".", "..") else last


@contextmanager
def no_room_is_a_sentence() -> Iterator[None]:
    """Say in one sentence that the disk does not take an upload."""
    try:
        yield
    except OSError as error:
        raise ScanError(
            "there is no room for the file on the server's disk",
            "tell whoever runs this server; the recording in hand stays",
        ) from error


def _write(file: BinaryIO, folder: Path, name: str) -> Path:
    path = folder / name
    file.seek(0)
    with path.open("wb") as stream:
        shutil.copyfileobj(file, stream, 1 << 20)
    return path


def _read(
    path: Path | ScanSource,
    options: Options,
    report: Report,
    *,
    confounds: Path | None = None,
    coordinates: Path | None = None,
    atlas: Path | None = None,
    labels: Path | None = None,
    name: str | None = None,
) -> Recording:
    from brainlm_core.scans import CleaningOptions
    from brainlm_core.scans.isolation import read_isolated

    return read_isolated(
        path,
        tr_s=options.tr_s,
        confounds=None if options.answers.get("confounds") == "" else confounds,
        coordinates=coordinates,
        space=options.answers.get("space"),
        atlas=options.answers.get("atlas") or (None if atlas is None else str(atlas)),
        labels=labels,
        rows_are=options.answers.get("rows_are"),
        cleaning=CleaningOptions(**options.cleaning) if options.cleaning else None,
        progress=report,
        name=name,
        cancelled=report.cancelled,
        first_look=lambda slices: report.publish(FIRST_LOOK, slices),
    )
