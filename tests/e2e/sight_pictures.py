"""Small reference pictures of the pages, and how far a page may be from its own.

A reference is the page in grey at an eighth of its size (a quarter on a phone): what stands where can be
told from it, letters cannot. Two pictures are compared tile by tile, so that a missing button counts as much
as a missing brain, and each tile may have moved by one small pixel, so that another build of the typeface
does not count at all.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

FOLDER = Path(__file__).parent / "sight"
#: Side of a tile, in small pixels.
TILE = 6
#: Largest mean difference of a tile, in grey levels of 255.
TOLERANCE = 6.0
#: Blur before comparing, in small pixels: what WebP and the rasteriser do to single ones does not matter.
_BLUR = 0.7


def reference_path(name: str) -> Path:
    """Return where the reference of a view is kept."""
    return FOLDER / f"{name}.webp"


def small(picture: Image.Image) -> Image.Image:
    """Return a picture in grey, at an eighth of its size, or a quarter on a phone."""
    factor = 8 if picture.width > 700 else 4
    size = (round(picture.width / factor), round(picture.height / factor))
    return picture.convert("L").resize(size, Image.Resampling.BOX)


def save_reference(name: str, picture: Image.Image) -> int:
    """Keep a picture as the reference of its name; return the file's size in bytes."""
    FOLDER.mkdir(exist_ok=True)
    stream = io.BytesIO()
    small(picture).save(stream, "webp", quality=80, method=6)
    reference_path(name).write_bytes(stream.getvalue())
    return len(stream.getvalue())


def furthest_tile(picture: Image.Image, reference: Image.Image) -> tuple[float, tuple[int, int]]:
    """Return how far the two pictures are apart where they are furthest apart.

    Parameters
    ----------
    picture : Image
        The page as it is, in full size.
    reference : Image
        As :func:`save_reference` kept it.

    Returns
    -------
    float
        Mean absolute difference of that tile, in grey levels (0–255).
    tuple of int
        Its upper left corner in the full-size picture (x, y), in px.

    Raises
    ------
    ValueError
        If the pictures are not of one size.
    """
    made = small(picture)
    if made.size != reference.size:
        raise ValueError(f"the page is {made.size} small pixels, its reference {reference.size}")
    now, then = (
        gaussian_filter(np.asarray(image, dtype=np.float32), _BLUR)
        for image in (made, reference.convert("L"))
    )
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    # (shifts, tiles down, tiles across): each tile takes the shift that suits it best
    apart = np.min([_tiles(np.abs(now - _shifted(then, *shift))) for shift in shifts], axis=0)
    row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    factor = picture.width / reference.width
    return float(apart.max()), (round(column * TILE * factor), round(row * TILE * factor))


def _shifted(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Return an image moved by whole pixels; its edge is repeated."""
    padded = np.pad(image, 1, mode="edge")
    height, width = image.shape
    return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def _tiles(image: np.ndarray) -> np.ndarray:
    """Return the mean of each tile; the last row and column of tiles may be smaller."""
    sums = np.add.reduceat(
        np.add.reduceat(image, range(0, image.shape[0], TILE), axis=0), range(0, image.shape[1], TILE), axis=1
    )
    counts = np.add.reduceat(
        np.add.reduceat(np.ones_like(image), range(0, image.shape[0], TILE), axis=0),
        range(0, image.shape[1], TILE),
        axis=1,
    )
    return sums / counts
