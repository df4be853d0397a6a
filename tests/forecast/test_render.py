from __future__ import annotations

import io
import subprocess

import numpy as np
import pytest
from PIL import Image

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.viz.colour_maps import STOPS, lookup_table, map_values, rgb
from brainlm_core.viz.raster import brain_raster
from brainlm_core.viz.render import Panel, Scene, film_bytes, png_bytes, render_frames


def scene(n_frames: int = 6, **changes) -> Scene:
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(n_frames, 424)).astype(np.float32)
    panels = [
        Panel("Observed", frames, "SD", "diverging", (-2.0, 2.0)),
        Panel("Still", np.abs(frames[:1]), "mm", "sequential", (0.0, 2.0)),
    ]
    settings = {"times_s": np.arange(n_frames) * 0.72, "seen_until_s": 1.5, "width": 120} | changes
    return Scene(panels, a424(), **settings)


def test_every_parcel_of_the_cortex_and_below_is_drawn():
    raster = brain_raster(a424(), 400)
    shown = np.asarray(raster.weights.sum(axis=0)).ravel()
    assert (shown[:424] > 0.5).sum() >= 415  # a few lie in folds that no view reaches
    assert shown[424] > 0.3 * np.prod(raster.size)


def test_left_and_right_do_not_change_places():
    parcels = a424()
    left = np.array(
        [h == "L" and s == "cortex" for h, s in zip(parcels.hemisphere, parcels.structure, strict=True)]
    )
    front = parcels.position[:, 1] > 20
    for rows, columns in (
        (left, slice(0, 200)),  # left hemisphere on the left
        (left & front, slice(0, 100)),  # seen from outside, its front points left
    ):
        values = np.where(rows, 1.0, np.nan).astype(np.float32)
        picture = brain_raster(parcels, 400).frame(map_values(values, "diverging", (-1, 1)), (255, 255, 255))
        top = picture[:147].astype(int)
        warm = (top[..., 0] - top[..., 2]) > 60
        assert warm.any()
        inside = np.zeros_like(warm)
        inside[:, columns] = True
        assert (warm & inside).sum() > 0.97 * warm.sum()


def test_a_parcel_without_data_is_grey_and_others_follow_their_value():
    raster = brain_raster(a424_cortex(), 200)
    values = np.full(360, np.nan, dtype=np.float32)
    grey = raster.frame(map_values(values, "diverging", (-1, 1)), (255, 255, 255)).astype(int)
    assert np.abs(grey - grey.mean(axis=2, keepdims=True)).max() < 16
    warm = raster.frame(map_values(np.ones(360), "diverging", (-1, 1)), (255, 255, 255)).astype(int)
    cold = raster.frame(map_values(np.full(360, -1.0), "diverging", (-1, 1)), (255, 255, 255)).astype(int)
    assert (warm[..., 0] - warm[..., 2]).max() > 60
    assert (cold[..., 2] - cold[..., 0]).max() > 60


def test_a_frame_after_the_first_is_a_look_up():
    import time

    raster = brain_raster(a424(), 400)
    colours = map_values(np.linspace(-1, 1, 424), "diverging", (-1, 1))
    raster.frame(colours, (0, 0, 0))
    best = min(_timed(lambda: raster.frame(colours, (0, 0, 0)), time.process_time) for _ in range(5))
    assert best < 0.1


def _timed(call, clock) -> float:
    start = clock()
    call()
    return clock() - start


def test_png_gif_and_mp4_can_be_read_back(tmp_path):
    film = scene()
    with Image.open(io.BytesIO(png_bytes(film, 3))) as picture:
        assert picture.size[0] == 240 and len(picture.convert("RGB").getcolors(100_000)) > 200
    with Image.open(io.BytesIO(film_bytes(film, "gif"))) as gif:
        assert gif.n_frames == 6
        first = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(5)
        moved = np.abs(np.asarray(gif.convert("RGB")).astype(int) - first).mean(axis=2)
    assert moved[40:160, :120].mean() > 5, "the first brain moves"
    assert moved[40:160, 120:].mean() < 0.5, "the second one stands still"
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.mp4"
    path.write_bytes(film_bytes(film, "mp4"))
    drawn = list(render_frames(film))
    decode = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path)]
    decode += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = np.frombuffer(subprocess.run(decode, capture_output=True, check=True).stdout, np.uint8)
    height, width = (side + side % 2 for side in drawn[0].shape[:2])
    pictures = raw.reshape(-1, height, width, 3)[:, : drawn[0].shape[0], : drawn[0].shape[1]]
    assert len(pictures) == 6
    assert np.abs(pictures[2].astype(int) - drawn[2]).mean() < 6


def test_the_clock_knows_what_was_seen():
    pictures = list(render_frames(scene(6)))
    accent = np.abs(pictures[0].astype(int) - np.array([11, 107, 117])).sum(axis=2) < 12
    columns = np.flatnonzero(accent.any(axis=0))
    width = pictures[0].shape[1]
    assert columns[0] / width == pytest.approx(1.5 / 3.6, abs=0.06)
    assert columns[-1] > 0.9 * width


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match="times"):
        scene(times_s=np.arange(3.0))
    with pytest.raises(ConfigError, match="width"):
        scene(width=81)
    with pytest.raises(ConfigError, match="frames of shape"):
        Scene([Panel("x", np.zeros((2, 10), np.float32), "", "diverging", (-1, 1))], a424())
    with pytest.raises(ConfigError, match="frames a second"):
        film_bytes(scene(), "gif", 0)


def test_maps_end_in_their_stops_and_zero_is_neutral():
    for scale, stops in STOPS.items():
        table = lookup_table(scale)
        for at, colour in ((0, stops[0]), (255, stops[-1])):
            assert np.abs(table[at].astype(int) - rgb(colour)).max() <= 1
    middle = lookup_table("diverging")[127:129].astype(int)
    assert np.ptp(middle, axis=1).max() < 12
