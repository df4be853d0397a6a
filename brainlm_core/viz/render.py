"""Brain pictures and films as files, without a display server: frames, PNG, GIF, MP4.

The brains come from :mod:`brainlm_core.viz.raster`; around them a title, the clock, the border between
seen and forecast, and a colour bar with its unit.
"""

from __future__ import annotations

import io
import itertools
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.scratch import scratch
from brainlm_core.viz.colour_maps import lookup_table, map_values
from brainlm_core.viz.raster import brain_raster

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Picture = NDArray[np.uint8]
Film = Literal["gif", "mp4"]

#: Text, faint text, background and accent by theme, sRGB.
_INK = {
    "light": ((21, 32, 43), (85, 98, 108), (251, 251, 250), (11, 107, 117)),
    "dark": ((230, 236, 239), (154, 168, 177), (14, 19, 23), (76, 194, 196)),
}
#: Heights in pixels of the head (titles), the foot (colour bar) and the clock strip, at 400 px a brain.
_HEAD, _FOOT, _CLOCK = 34, 50, 40


@dataclass(frozen=True, eq=False)
class Panel:
    """One brain of a film.

    Parameters
    ----------
    title : str
    frames : ndarray (n_frames, n_parcels), float32
        NaN is drawn grey. One frame stands still while the others move.
    unit : str
        Beside the colour bar.
    scale : {"diverging", "sequential"}
    limits : (float, float)
        Ends of the colour bar.
    """

    title: str
    frames: NDArray[np.float32]
    unit: str
    scale: Literal["diverging", "sequential"]
    limits: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a film shows.

    Parameters
    ----------
    panels : sequence of Panel
        Side by side, on one clock.
    parcellation : Parcellation
    times_s : ndarray (n_frames,) or None
        Time of each frame in s.
    seen_until_s : float or None
        Time up to which the model saw the data; marked on the clock.
    note : str
        Small line at the foot, e.g. "simulated data".
    width : int
        Of one brain in pixels; even.
    theme : {"light", "dark"}
    """

    panels: Sequence[Panel]
    parcellation: Parcellation
    times_s: NDArray[np.float64] | None = None
    seen_until_s: float | None = None
    note: str = ""
    width: int = 400
    theme: str = "light"

    def __post_init__(self) -> None:
        if not self.panels:
            raise ConfigError("a film without panels shows nothing", "give at least one panel")
        for panel in self.panels:
            if panel.frames.ndim != 2 or panel.frames.shape[1] != self.parcellation.n_parcels:
                raise ConfigError(
                    f"{panel.title!r} has frames of shape {panel.frames.shape}",
                    f"give (n_frames, {self.parcellation.n_parcels})",
                )
        if len({panel.frames.shape[0] for panel in self.panels} - {1}) > 1:
            raise ConfigError("the panels differ in their number of frames", "give all the same number")
        if self.times_s is not None and len(self.times_s) != self.n_frames:
            raise ConfigError(f"{len(self.times_s)} times for {self.n_frames} frames", "give one per frame")
        if self.width < 80 or self.width % 2:
            raise ConfigError(f"a width of {self.width} px is impossible", "choose an even number from 80 on")

    @property
    def n_frames(self) -> int:
        """Number of moments."""
        return max(panel.frames.shape[0] for panel in self.panels)


def render_frames(scene: Scene, frames: Sequence[int] | None = None) -> Iterator[Picture]:
    """Yield pictures (height, width, 3) uint8, even in both sizes, of some or all frames."""
    from PIL import Image, ImageDraw

    raster = brain_raster(scene.parcellation, scene.width)
    brain_width, brain_height = raster.size
    background = _INK[scene.theme][2]
    height = _HEAD + brain_height + _FOOT + (_CLOCK if scene.times_s is not None or scene.note else 0)
    base = Image.new("RGB", (brain_width * len(scene.panels), height + height % 2), background)
    draw = ImageDraw.Draw(base)
    for column, panel in enumerate(scene.panels):
        _dress(draw, base, scene, panel, column * brain_width, brain_height)
    still = np.asarray(base)
    for index in range(scene.n_frames) if frames is None else frames:
        picture = still.copy()
        for column, panel in enumerate(scene.panels):
            values = panel.frames[min(index, len(panel.frames) - 1)]
            colours = map_values(values, panel.scale, panel.limits, scene.theme)
            left = column * brain_width
            picture[_HEAD : _HEAD + brain_height, left : left + brain_width] = raster.frame(
                colours, background, scene.theme
            )
        yield _with_clock(picture, scene, index, _HEAD + brain_height + _FOOT)


def png_bytes(scene: Scene, frame: int = 0) -> bytes:
    """Return one frame as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(next(render_frames(scene, [frame]))).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def film_bytes(scene: Scene, kind: Film, frames_per_s: float = 8.0) -> bytes:
    """Return the film as GIF (looped, 256 colours) or MP4 (H.264, plays in every browser)."""
    if not 0 < frames_per_s <= 60:
        raise ConfigError(f"{frames_per_s:g} frames a second are impossible", "choose up to 60")
    return _gif(scene, frames_per_s) if kind == "gif" else _mp4(scene, frames_per_s)


def _gif(scene: Scene, frames_per_s: float) -> bytes:
    from PIL import Image

    palette: Image.Image | None = None
    pictures = []
    for picture in render_frames(scene):
        image = Image.fromarray(picture)
        if palette is None:
            palette = _palette(scene)
        # One palette and no dithering: colours of a parcel do not flicker between frames.
        pictures.append(image.quantize(palette=palette, dither=Image.Dither.NONE))
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=max(20, round(1000 / frames_per_s)),
        loop=0,
        optimize=False,
    )
    return stream.getvalue()


def _palette(scene: Scene) -> Image.Image:
    """Return a picture whose palette serves all frames: adapted to a spread of them side by side."""
    from PIL import Image

    chosen = np.unique(np.linspace(0, scene.n_frames - 1, min(scene.n_frames, 6)).astype(int))
    sample = np.concatenate([p[::2, ::2] for p in render_frames(scene, [int(i) for i in chosen])])
    return Image.fromarray(sample).quantize(256, method=Image.Quantize.MEDIANCUT)


def _mp4(scene: Scene, frames_per_s: float) -> bytes:
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError(
            "films in MP4 need the package imageio-ffmpeg", "run `pip install imageio-ffmpeg`, or choose gif"
        ) from error
    frames = render_frames(scene)
    first = next(frames)  # a scene has at least one frame
    with scratch() as folder:
        path = folder / "film.mp4"
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            *("-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{first.shape[1]}x{first.shape[0]}", "-r", str(frames_per_s), "-i", "-", "-an"),
            # Even sides and 4:2:0 are what browsers and slides play.
            *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-crf", "20"),
            *("-movflags", "+faststart", "-y", str(path)),
        ]
        # Our own pipe: the package's writer leaves a second one open.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
            assert encoder.stdin is not None
            try:
                for picture in itertools.chain([first], frames):
                    encoder.stdin.write(np.ascontiguousarray(picture).tobytes())
                encoder.stdin.close()
            except BrokenPipeError:
                pass  # the encoder's exit code says it below
        if encoder.returncode != 0:
            raise ConfigError("the film could not be encoded as MP4", "choose gif")
        return path.read_bytes()


def _dress(
    draw: ImageDraw.ImageDraw, base: Image.Image, scene: Scene, panel: Panel, left: int, brain_height: int
) -> None:
    """Draw what does not move: title, colour bar, its ends and unit."""
    from PIL import Image

    ink, faint, _, _ = _INK[scene.theme]
    draw.text((left + scene.width // 2, _HEAD // 2 + 2), panel.title, ink, _font(17), anchor="mm")
    top, bar = _HEAD + brain_height + 8, round(0.5 * scene.width)
    x = left + (scene.width - bar) // 2
    strip = np.repeat(lookup_table(panel.scale)[None, np.linspace(0, 255, bar).astype(int)], 9, axis=0)
    base.paste(Image.fromarray(np.ascontiguousarray(strip)), (x, top))
    low, high = panel.limits
    draw.text((x - 8, top + 4), _number(low, panel.scale), faint, _font(14), anchor="rm")
    draw.text((x + bar + 8, top + 4), _number(high, panel.scale), faint, _font(14), anchor="lm")
    draw.text((left + scene.width // 2, top + 22), panel.unit, faint, _font(14), anchor="mm")


def _with_clock(picture: Picture, scene: Scene, index: int, top: int) -> Picture:
    """Draw the clock, the border between seen and forecast, and the note."""
    if scene.times_s is None and not scene.note:
        return picture
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    ink, faint, _, accent = _INK[scene.theme]
    width = picture.shape[1]
    left, right, y = 16, width - 16, top + 8
    if scene.times_s is not None:
        times = scene.times_s
        span = max(float(times[-1] - times[0]), 1e-9)
        draw.line([(left, y), (right, y)], fill=faint, width=2)
        words = f"{times[index]:.1f} s"
        if scene.seen_until_s is not None:
            border = left + (right - left) * float(np.clip((scene.seen_until_s - times[0]) / span, 0, 1))
            draw.line([(border, y), (right, y)], fill=accent, width=4)
            draw.line([(border, y - 7), (border, y + 7)], fill=accent, width=2)
            words += " · seen" if times[index] <= scene.seen_until_s + 1e-9 else " · forecast"
        x = left + (right - left) * float(times[index] - times[0]) / span
        draw.ellipse([(x - 6, y - 6), (x + 6, y + 6)], fill=ink)
        draw.text((left, y + 20), words, ink, _font(15), anchor="lm")
    if scene.note:
        draw.text((right, y + 20), scene.note, faint, _font(14), anchor="rm")
    return np.asarray(image)


def _number(value: float, scale: str) -> str:
    text = f"{abs(value):.2g}"
    if value < 0:
        return f"-{text}"
    return f"+{text}" if scale == "diverging" else text


def _font(size: int):  # type: ignore[no-untyped-def]
    from PIL import ImageFont

    return ImageFont.load_default(size)
