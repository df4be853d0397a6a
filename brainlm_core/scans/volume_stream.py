"""One pass over a 4D file: parcel sums volume by volume, never more than two volumes in memory."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.containers import opener, unpacked
from brainlm_core.scans.limits import MAX_SIGNAL
from brainlm_core.scans.nifti_header import NiftiHeader, gunzip_damage

#: Volumes that the mean image for the space check is made of.
N_MEAN_VOLUMES = 12
#: Volumes of the first look, which is to be had at once.
N_FIRST_VOLUMES = 3
_SKIP_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class LabelledVoxels:
    """Voxels of a scan by parcel.

    Parameters
    ----------
    index : ndarray (n,), intp
        Flat Fortran-order voxel indices, sorted by parcel, then by position.
    starts : ndarray (m,), intp
        First entry of each parcel that has voxels.
    parcels : ndarray (m,), intp
        Those parcels, 0-based.
    n_parcels : int
        All parcels, with or without voxels.
    """

    index: NDArray[np.intp]
    starts: NDArray[np.intp]
    parcels: NDArray[np.intp]
    n_parcels: int


@dataclass(frozen=True, eq=False)
class StreamResult:
    """What one pass yields.

    Parameters
    ----------
    means : ndarray (n_parcels, n_timepoints), float64
        Mean over the voxels of a parcel that vary and are finite; NaN rows without any.
    n_valid : ndarray (n_parcels,), int64
        Voxels of each parcel that vary.
    mean_image : ndarray (x, y, z), float32
        Mean of a few evenly spaced volumes; NaN counts as 0.
    spread_image : ndarray (x, y, z), float32
        Standard deviation over the same volumes: where the brain is once the mean was removed.
    sha256 : str or None
        Digest of the file as stored; None when there is more than one.
    tail : bytes
        What stands behind the data of the last file, at most :data:`TAIL_BYTES`.
    """

    means: NDArray[np.float64]
    n_valid: NDArray[np.int64]
    mean_image: NDArray[np.float32]
    spread_image: NDArray[np.float32]
    sha256: str | None
    tail: bytes = b""


class _HashedFile:
    """A binary file whose bytes are hashed as they pass, on the thread that asks for it.

    The decompressing thread only collects blocks; :meth:`digest_pending` hashes them on the
    averaging thread, so that the two share the work.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._pending: deque[bytes] = deque()
        self._digest = hashlib.sha256()

    def __enter__(self) -> _HashedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._pending.append(block)
        return block

    def readinto(self, buffer: Any) -> int:
        count = cast(int, self._file.readinto(buffer))
        self._pending.append(bytes(memoryview(buffer)[:count]))
        return count

    def digest_pending(self) -> None:
        while self._pending:
            self._digest.update(self._pending.popleft())

    def finish(self) -> str:
        while self.read(1 << 20):
            self.digest_pending()
        self.digest_pending()
        return self._digest.hexdigest()


@dataclass(frozen=True)
class VolumePart:
    """Some volumes in a row: a file, or a member of a ZIP archive.

    Parameters
    ----------
    path : Path
        The file.
    n_volumes : int
        Volumes in it.
    offset : int
        First byte of data after unpacking.
    how : str
        How it is packed; see :func:`brainlm_core.scans.containers.packing`.
    member : str or None
        Name inside a ZIP archive.
    """

    path: Path
    n_volumes: int
    offset: int
    how: str = ""
    member: str | None = None


def _fill(stream: IO[bytes], buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        filled += count


#: Bytes behind the data that are kept: FreeSurfer writes the repetition time there.
TAIL_BYTES = 20


def _volumes(
    parts: Sequence[VolumePart], raw: _HashedFile | None, volume_bytes: int, tail: bytearray
) -> Iterator[bytearray]:
    """Yield one volume after the other; a thread unpacks the next while this one is added up.

    Two buffers go round: what is yielded is overwritten once the next volume is asked for.
    """
    free: queue.Queue[bytearray | None] = queue.Queue()
    full: queue.Queue[bytearray | Exception | None] = queue.Queue()
    for _ in range(2):
        free.put(bytearray(volume_bytes))

    def work() -> None:
        try:
            for part in parts:
                with ExitStack() as stack:
                    stored = raw or stack.enter_context(opener(part.path, part.member)())
                    stream = unpacked(cast(IO[bytes], stored), part.how)
                    _skip(stream, part.offset)
                    for _ in range(part.n_volumes):
                        buffer = free.get()
                        if buffer is None:
                            return
                        _fill(stream, memoryview(buffer))
                        full.put(buffer)
                    tail[:] = stream.read(TAIL_BYTES)  # reaches the checksum of the last block, too
            full.put(None)
        except Exception as error:  # handed over to the thread that waits
            full.put(error)

    worker = threading.Thread(target=work, name="read volumes", daemon=True)
    worker.start()
    try:
        while (item := full.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
            free.put(item)
    finally:
        free.put(None)
        worker.join()


def _skip(stream: IO[bytes], n_bytes: int) -> None:
    while n_bytes > 0:
        block = min(n_bytes, 1 << 20)
        _fill(stream, memoryview(bytearray(block)))
        n_bytes -= block


def stream_means(
    parts: Sequence[VolumePart],
    header: NiftiHeader,
    voxels: LabelledVoxels,
    *,
    name: str,
    tick: Callable[[float], None] = lambda _fraction: None,
    first_look: Callable[[NDArray[np.float32]], None] | None = None,
) -> StreamResult:
    """Average the voxels of every parcel in every volume, in one pass.

    Steps for each volume, in order: unpack it (in a thread, one ahead); gather the labelled voxels in
    parcel order; add them up per parcel in float64 (``numpy.add.reduceat``); note which voxels
    vary. At the end voxels that never vary (outside the field of view) are taken out of the
    sums, and slope and intercept of the header are applied to the means.

    Parameters
    ----------
    parts : sequence of VolumePart
        The files, in order.
    header : NiftiHeader
        Checked header of the series.
    voxels : LabelledVoxels
        Which voxels belong to which parcel.
    name : str
        Display name for errors.
    tick : callable
        Told the fraction done.
    first_look : callable, optional
        Told the mean of the first :data:`N_FIRST_VOLUMES`, (x, y, z), when they have passed.

    Returns
    -------
    StreamResult

    Raises
    ------
    ScanError
        If the file ends early or is damaged.
    """
    n_timepoints = header.shape[3]
    dtype = header.dtype if header.scales is None else np.dtype(np.float32)
    sums = _Sums(voxels, n_timepoints, dtype)
    tail = bytearray()
    wanted = set(np.unique(np.linspace(0, n_timepoints - 1, N_MEAN_VOLUMES).astype(int)).tolist())
    images = _Images(int(np.prod(header.shape[:3])))
    first = _Images(images.sum.size) if first_look is not None else None
    whole = len(parts) == 1 and parts[0].member is None
    with ExitStack() as stack:
        raw = stack.enter_context(_HashedFile(parts[0].path)) if whole else None
        try:
            # Damaged files hold any bit pattern: their sums may overflow until the checksum tells.
            with np.errstate(invalid="ignore", over="ignore"):
                for t, buffer in enumerate(_volumes(parts, raw, header.volume_bytes, tail)):
                    volume = np.frombuffer(buffer, dtype=header.dtype)
                    if header.scales is not None:
                        slope, inter = header.scales[t]
                        volume = (volume * slope + inter).astype(np.float32)
                    sums.add(t, volume)
                    if raw is not None:
                        raw.digest_pending()
                    if t in wanted:
                        images.add(volume)
                    if first is not None and first_look is not None:
                        first.add(volume)
                        if first.n == N_FIRST_VOLUMES:
                            early = np.nan_to_num(first.finish()[0] * header.slope + header.inter)
                            first_look(early.reshape(header.shape[:3], order="F"))
                            first = None
                    if t % 16 == 0:
                        tick(t / n_timepoints)
        except Exception as error:
            if not gunzip_damage(error):
                raise
            raise ScanError(f"{name} is cut short or damaged", "copy or download the file again") from error
        digest = None if raw is None else raw.finish()
    means, n_valid = sums.finish()
    mean, spread = images.finish()
    means, mean = _scaled(means, mean, header, name)
    return StreamResult(
        means=means,
        n_valid=n_valid,
        mean_image=mean.reshape(header.shape[:3], order="F"),
        spread_image=spread.reshape(header.shape[:3], order="F"),
        sha256=digest,
        tail=bytes(tail),
    )


def stream_first(
    parts: Sequence[VolumePart], header: NiftiHeader, n_values: int, name: str
) -> tuple[NDArray[np.float32], bytes]:
    """Return the first values of every volume, (n_timepoints, n_values), and what stands behind the data.

    Raises
    ------
    ScanError
        If a file ends early or is damaged.
    """
    out = np.empty((header.shape[3], n_values), np.float32)
    tail = bytearray()
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            for t, buffer in enumerate(_volumes(parts, None, header.volume_bytes, tail)):
                slope, inter = (header.slope, header.inter) if header.scales is None else header.scales[t]
                out[t] = np.frombuffer(buffer, header.dtype, count=n_values) * slope + inter
    except Exception as error:
        if not gunzip_damage(error):
            raise
        raise ScanError(f"{name} is cut short or damaged", "copy or download the file again") from error
    return out, bytes(tail)


def _scaled(
    means: NDArray[np.float64], mean: NDArray[np.float32], header: NiftiHeader, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Apply slope and intercept; refuse a mad scale here, before anything is computed with its values."""
    with np.errstate(over="ignore", invalid="ignore"):
        stored, scaled = means, means * header.slope + header.inter
        mean = mean * header.slope + header.inter
    mad = ~np.isnan(stored) & ~(np.abs(scaled) <= MAX_SIGNAL)
    if mad.any():
        plain = header.slope == 1 and header.inter == 0
        how = "" if plain else f" by its header's scale (slope {header.slope:g}, intercept {header.inter:g})"
        raise ScanError(
            f"{name} holds values beyond {MAX_SIGNAL:g}{how}",
            "check how the scan was exported, or download it again",
        )
    # Voxels of no parcel may hold anything; they only take part in the outline of the brain.
    return scaled, np.nan_to_num(mean, nan=0, posinf=0, neginf=0)


class _Images:
    """Mean and standard deviation of some volumes, as offsets from the first so that float32 is enough."""

    def __init__(self, n_voxels: int) -> None:
        self.n = 0
        self.first = np.zeros(n_voxels, np.float32)
        self.sum = np.zeros(n_voxels, np.float32)
        self.squares = np.zeros(n_voxels, np.float32)

    def add(self, volume: NDArray[Any]) -> None:
        values = np.nan_to_num(volume.astype(np.float32), posinf=0, neginf=0)
        if self.n == 0:
            self.first = values
        else:
            values -= self.first
            self.sum += values
            values *= values
            self.squares += values
        self.n += 1

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and standard deviation per voxel, (n_voxels,) each."""
        with np.errstate(invalid="ignore", over="ignore"):
            offset = self.sum / max(self.n, 1)
            variance = self.squares / max(self.n, 1) - offset * offset
            spread = np.sqrt(np.maximum(np.nan_to_num(variance, posinf=0, neginf=0), 0))
        return (self.first + offset).astype(np.float32), spread.astype(np.float32)


class _Sums:
    """Running sums per parcel, and which voxels vary."""

    def __init__(self, voxels: LabelledVoxels, n_timepoints: int, dtype: np.dtype) -> None:
        self.voxels = voxels
        self.native = dtype.newbyteorder("=")
        self.sums = np.zeros((n_timepoints, len(voxels.starts)))
        self.sizes = np.diff(np.append(voxels.starts, len(voxels.index))).astype(np.float64)
        self.counts: NDArray[np.float64] | None = None  # (time, parcels), once a NaN was seen
        n = len(voxels.index)
        self.now = np.empty(n, self.native)
        self.first = np.empty(n, self.native)
        self.varied = np.zeros(n, np.bool_)
        self.changed = np.empty(n, np.bool_)
        self.missing: NDArray[np.bool_] | None = None  # voxels that were NaN at any time

    def add(self, t: int, volume: NDArray[Any]) -> None:
        if len(self.voxels.index) == 0:
            return
        if volume.dtype.isnative:
            np.take(volume, self.voxels.index, out=self.now, mode="clip")
        else:
            self.now[:] = volume[self.voxels.index]
        if t == 0:
            self.first[:] = self.now
        total = np.add.reduceat(self.now, self.voxels.starts, dtype=np.float64)
        if self.native.kind == "f" and (self.missing is not None or not np.isfinite(total).all()):
            self._add_with_gaps(t)
            return
        self.sums[t] = total
        np.not_equal(self.now, self.first, out=self.changed)
        np.logical_or(self.varied, self.changed, out=self.varied)

    def _add_with_gaps(self, t: int) -> None:
        finite = np.isfinite(self.now)
        if self.missing is None or self.counts is None:
            self.missing = np.zeros(len(finite), np.bool_)
            self.counts = np.broadcast_to(self.sizes, self.sums.shape).copy()
        self.missing |= ~finite
        fresh = finite & ~np.isfinite(self.first)
        self.first[fresh] = self.now[fresh]
        self.varied |= finite & (self.now != self.first)
        filled = np.where(finite, self.now, 0)
        self.sums[t] = np.add.reduceat(filled, self.voxels.starts, dtype=np.float64)
        self.counts[t] = np.add.reduceat(finite, self.voxels.starts, dtype=np.float64)

    def finish(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return means (n_parcels, time) and the number of varying voxels (n_parcels,)."""
        voxels = self.voxels
        means = np.full((voxels.n_parcels, len(self.sums)), np.nan)
        n_valid = np.zeros(voxels.n_parcels, np.int64)
        if len(voxels.index) == 0:
            return means, n_valid
        constant = ~self.varied
        if self.missing is not None:
            constant &= ~self.missing
        values = np.where(constant, self.first, 0)
        gone = np.add.reduceat(values, voxels.starts, dtype=np.float64)
        n_gone = np.add.reduceat(constant, voxels.starts, dtype=np.float64)
        counts = (self.sizes if self.counts is None else self.counts) - n_gone
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (self.sums - gone) / np.where(counts > 0, counts, np.nan)
        n_valid[voxels.parcels] = np.add.reduceat(self.varied, voxels.starts, dtype=np.int64)
        means[voxels.parcels] = found.T
        means[n_valid == 0] = np.nan
        return means, n_valid
