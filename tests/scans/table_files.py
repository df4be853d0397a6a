"""Tables as other programs write them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"></Types>'


def _column(number: int) -> str:
    letters = ""
    while number >= 0:
        number, rest = divmod(number, 26)
        letters, number = chr(65 + rest) + letters, number - 1
    return letters


def write_workbook(path: Path, rows: Sequence[Sequence[object]], *, shared: bool = False) -> Path:
    """Write the first sheet of a workbook as spreadsheet programs do: texts in line or in a shared table."""
    texts: list[str] = []
    lines = []
    for r, row in enumerate(rows, 1):
        cells = []
        for c, value in enumerate(row):
            at = f"{_column(c)}{r}"
            if value is None:
                continue
            if isinstance(value, str) and shared:
                texts.append(value)
                cells.append(f'<c r="{at}" t="s"><v>{len(texts) - 1}</v></c>')
            elif isinstance(value, str):
                cells.append(f'<c r="{at}" t="inlineStr"><is><t>{escape(value)}</t></is></c>')
            else:
                cells.append(f'<c r="{at}"><v>{value!r}</v></c>')
        lines.append(f'<row r="{r}">{"".join(cells)}</row>')
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'<?xml version="1.0"?><worksheet><sheetData>{"".join(lines)}</sheetData></worksheet>',
        )
        if shared:
            items = "".join(f"<si><t>{escape(t)}</t></si>" for t in texts)
            archive.writestr("xl/sharedStrings.xml", f"<sst>{items}</sst>")
    return path
