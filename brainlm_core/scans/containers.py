"""What a scan may be packed in: gzip, bzip2, xz, or one ZIP archive of images."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from brainlm_core.base.errors import DAMAGED_ARRAYS, ScanError

#: What tells a packed file from its first bytes.
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"))
#: An xz file may ask for a dictionary of gigabytes; no program that packs scans does, in bytes.
_XZ_MEMORY = 1 << 28
_BLOCK = 1 << 18
_IMAGE = re.compile(r"\.(nii|nii\.gz|nii\.bz2|nii\.xz)$", re.IGNORECASE)
#: Most files in an archive of volumes.
MAX_MEMBERS = 20_000
_DAMAGE: tuple[type[Exception], ...] = (*DAMAGED_ARRAYS, lzma.LZMAError)


def packing(head: bytes) -> str:
    """Return how bytes are packed: gzip, bzip2, xz, or empty for not at all."""
    return next((how for magic, how in _MAGIC if head.startswith(magic)), "")


class _Unpacked(io.RawIOBase):
    """A bzip2 or xz stream, unpacked block by block within a bound of memory; several streams in a row."""

    def __init__(self, raw: IO[bytes], how: str) -> None:
        self._raw, self._how = raw, how
        self._engine = self._new()
        self._ended = False

    def _new(self) -> Any:
        return bz2.BZ2Decompressor() if self._how == "bzip2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise io.UnsupportedOperation("a whole packed file is never unpacked at once")
        try:
            while not self._ended:
                if self._engine.eof:
                    rest = self._engine.unused_data.lstrip(b"\0") or self._raw.read(_BLOCK).lstrip(b"\0")
                    if not rest:
                        self._ended = True
                        return b""
                    self._engine = self._new()
                    out = self._engine.decompress(rest, size)
                else:
                    more = self._raw.read(_BLOCK) if self._engine.needs_input else b""
                    if self._engine.needs_input and not more:
                        raise EOFError
                    out = self._engine.decompress(more, size)
                if out:
                    return cast(bytes, out)
        except lzma.LZMAError as error:
            raise OSError(str(error)) from error
        return b""


def unpacked(raw: IO[bytes], how: str) -> IO[bytes]:
    """Return a stream of the unpacked bytes of ``raw``."""
    if not how:
        return raw
    if how == "gzip":
        from zlib_ng import gzip_ng

        return cast(IO[bytes], gzip_ng.GzipNGFile(fileobj=raw, mode="rb"))
    return cast(IO[bytes], _Unpacked(raw, how))


def first_bytes(path: Path, head: bytes, size: int) -> bytes:
    """Return the first bytes after unpacking, empty when the packing is damaged from the start.

    Of a ZIP archive of images the first image's; of any other archive ``head`` itself.
    """
    try:
        if head.startswith(b"PK\x03\x04"):
            members = image_members(path)
            return head if not members else _first_of(opener(path, members[0]), size)
        how = packing(head)
        if how == "gzip":
            with gzip.open(path, "rb") as packed:
                return packed.read(size)
        return _first_of(lambda: path.open("rb"), size) if how else head
    except _DAMAGE:
        return b"" if packing(head) else head


def _first_of(open_raw: Callable[[], IO[bytes]], size: int) -> bytes:
    with open_raw() as raw:
        start = raw.read(6)
    with open_raw() as raw:
        stream, out = unpacked(raw, packing(start)), b""
        while len(out) < size and (block := stream.read(size - len(out))):
            out += block
    return out


def image_members(path: Path) -> list[str]:
    """Return the names of the images in a ZIP archive, in the order of their numbers; empty without any."""
    from brainlm_core.scans.limits import check_directory

    check_directory(path, path.name, MAX_MEMBERS)
    with zipfile.ZipFile(path) as archive:
        names = [m.filename for m in archive.infolist() if not m.is_dir()]
    images = [n for n in names if _IMAGE.search(n) and not re.search(r"(^|/)(\.|__MACOSX)", n)]
    return sorted(images, key=by_number)


def by_number(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``scan2`` before ``scan10``."""
    parts = re.split(r"(\d{1,18})", name)
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in parts]


def opener(path: Path, member: str | None = None) -> Callable[[], IO[bytes]]:
    """Return what opens a file, or a member of a ZIP archive, as it is stored."""
    if member is None:
        return lambda: path.open("rb")

    def open_member() -> IO[bytes]:
        archive = zipfile.ZipFile(path)
        try:
            return archive.open(member)
        except RuntimeError as error:
            raise ScanError(f"{path.name} is protected by a password", "save it without one") from error
        finally:
            archive.close()  # the member keeps the file open until it is closed itself

    return open_member
