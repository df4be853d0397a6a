"""Tables, workbooks and sidecars that are small, or plain, and would take a reader minutes or gigabytes."""

from __future__ import annotations

import gzip
import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

Maker = Callable[[Path], Path]


def _file(name: str, *pieces: tuple[bytes, int]) -> Maker:
    """Return what writes pieces, each so many times; nothing is held whole."""

    def make(folder: Path) -> Path:
        path = folder / name
        with path.open("wb") as stream:
            for piece, times in pieces:
                at_once = max(1, (1 << 20) // len(piece))
                for _ in range(times // at_once):
                    stream.write(piece * at_once)
                stream.write(piece * (times % at_once))
        return path

    return make


def _gz(name: str, piece: bytes, times: int) -> Maker:
    def make(folder: Path) -> Path:
        with gzip.open(folder / name, "wb", 1) as stream:
            for _ in range(times // 100_000):
                stream.write(piece * 100_000)
        return folder / name

    return make


_LONG = "more than 500,000 characters"
_MANY = "more than 1,000,000 lines"
_TEXTS: dict[str, tuple[Maker, str]] = {
    "csv of 3 lines by 100,000 columns": (_file("b.csv", (b"1.25," * 99_999 + b"1\n", 3)), "100,000 cells"),
    "csv of one line of 2 MB": (_file("b.csv", (b"1.25,", 400_000)), _LONG),
    "csv of one line of 20 MB": (_file("b.csv", (b"1,", 10_000_000)), _LONG),
    "csv of one number of 20 MB": (_file("b.csv", (b"1", 20_000_000)), _LONG),
    "csv of one line of blanks": (_file("b.csv", (b" ", 20_000_000)), _LONG),
    "csv of one packed line": (_gz("b.csv.gz", b"1", 60_000_000), _LONG),
    "csv of UTF-16 in one line": (_file("b.csv", (b"\xff\xfe", 1), (b"1\0,\0", 4_000_000)), _LONG),
    "csv of 14,000,000 cells without a number": (_file("b.csv", (b"," * 19_999 + b"\n", 700)), "numbers"),
    "csv of lines of one character": (_file("b.csv", (b"1\n", 3_000_000)), _MANY),
    "csv of empty lines": (_file("b.csv", (b"\n", 10_000_000)), _MANY),
    "csv of old Macs' line ends": (_file("b.csv", (b"\r", 10_000_000)), _MANY),
    "csv of comments": (_file("b.csv", (b"#\n", 5_000_000)), _MANY),
    "csv that unpacks to lines": (_gz("b.csv.gz", b"1,2,3\n", 2_000_000), _MANY),
    "csv of marks of a delimiter": (_file("b.csv", (b"sep=,\n", 2_000_000)), _MANY),
    "csv of quotes": (_file("b.csv", (b'"' * 400_000 + b"\n", 3)), "no table|not a table"),
    "text of quotes and blanks": (_file("b.txt", (b"' " * 200_000 + b"\n", 40)), "cells"),
    "csv of digits without end": (_file("b.csv", (b"9" * 400_000 + b",1\n", 30)), "parcels|beyond|number"),
    "csv of exponents": (_file("b.csv", (b"1e" + b"9" * 100_000 + b",1\n", 30)), "parcels|finite"),
    "csv of zero bytes": (_file("b.csv", (b"\0", 20_000_000)), "no format"),
}  # fmt: skip

_WORKBOOK = '<workbook xmlns:r="r"><sheets><sheet name="a" sheetId="1" r:id="rId1"/></sheets></workbook>'


def _workbook(sheet: Iterable[str], shared: Iterable[str] = ("<sst/>",)) -> Maker:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "b.xlsx", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/workbook.xml", _WORKBOOK)
            for name, parts in (("worksheets/sheet1", sheet), ("sharedStrings", shared)):
                with archive.open(f"xl/{name}.xml", "w") as stream:
                    for part in parts:
                        stream.write(part.encode())
        return folder / "b.xlsx"

    return make


_HEAD, _END = "<worksheet><sheetData>", "</sheetData></worksheet>"
_CELL = '<c t="s"><v>0</v></c>'


def _text(length: int) -> list[str]:
    """Shared texts of one, so long."""
    return ["<sst><si><t>", "x" * length, "</t></si></sst>"]


_DTD = '<!DOCTYPE a [<!ENTITY a "{}">]>'
_CELLS = "more cells"
_BOOKS: dict[str, tuple[Maker, str]] = {
    "workbook of zeros": (
        _workbook([_HEAD, "<row>", *['<c r="A1"><v>0</v></c>' * 100_000] * 16, "</row>", _END]),
        _CELLS,
    ),
    "workbook of empty rows": (_workbook([_HEAD, *["<row/>" * 100_000] * 12, _END]), _CELLS),
    "workbook of shared texts": (
        _workbook([_HEAD, "<row>", _CELL, "</row>", _END], ["<sst>", *["<si><t>a</t></si>" * 100_000] * 18]),
        _CELLS,
    ),
    "workbook of one long text a thousand times": (
        _workbook([_HEAD, "<row>", _CELL * 15_000, "</row>"], _text(400_000)),
        "longer texts",
    ),
    "workbook of one text a hundred thousand times": (
        _workbook([_HEAD, *[f"<row>{_CELL * 15_000}</row>"] * 9], _text(32_000)),
        "longer texts",
    ),
    "workbook of one comment": (_workbook([_HEAD, "<!--", *["x" * 1_000_000] * 30, "-->", _END]), "damaged"),
    "workbook of one attribute": (_workbook([_HEAD, '<a b="', *["x" * 1_000_000] * 30, '"/>']), "damaged"),
    "workbook of entities": (_workbook([_DTD.format("x"), _HEAD, "&a;", _END]), "document type"),
    "workbook nested": (_workbook([_HEAD, "<row>" * 300_000, _END]), "damaged"),
    "workbook of far cells": (
        _workbook([_HEAD, *['<row><c r="XFD1"><v>0</v></c></row>'] * 1000, _END]),
        _CELLS,
    ),
}  # fmt: skip


def _beside(make_sidecar: Callable[[Path], object]) -> Maker:
    """A healthy table beside a sidecar that is none: it is as if there were none."""

    def make(folder: Path) -> Path:
        line = b",".join(b"%d" % (k % 97) for k in range(7))
        (folder / "a_bold.csv").write_bytes(b"\n".join([line] * 30))
        make_sidecar(folder / "a_bold.json")
        return folder / "a_bold.csv"

    return make


_NONE = "parcels|never change"
_SIDECARS: dict[str, tuple[Maker, str]] = {
    "sidecar that is a pipe": (_beside(os.mkfifo), _NONE),
    "sidecar that is a device": (_beside(lambda p: p.symlink_to("/dev/zero")), _NONE),
    "sidecar nested without end": (_beside(lambda p: p.write_bytes(b"[" * 900_000)), _NONE),
    "sidecar of one number": (
        _beside(lambda p: p.write_bytes(b'{"RepetitionTime": ' + b"9" * 900_000 + b"}")),
        _NONE,
    ),
}  # fmt: skip

ATTACKS: dict[str, tuple[Maker, str]] = {**_TEXTS, **_BOOKS, **_SIDECARS}
