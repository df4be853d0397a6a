"""What travels to the browser: complete, exact enough, small."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path

import numpy as np
import pytest

from brainlm_core import viz
from brainlm_core.base.atlas import a424, from_coordinates
from brainlm_core.base.paths import assets_dir
from brainlm_core.viz import transport
from brainlm_core.viz.colour_maps import lookup_table
from brainlm_core.viz.transport import pack, parcellation_bytes, surface_bytes, unpack


def test_container_gives_back_what_went_in() -> None:
    arrays = {
        "odd": np.arange(5, dtype=np.uint8),
        "frames": np.array([1.5, np.nan, -np.inf], dtype=np.float32),
        "empty": np.zeros(0, dtype=np.int16),
    }
    header, back = unpack(pack({"title": "Größe µV", "n": 1}, arrays))
    assert header == {"title": "Größe µV", "n": 1}
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("title", ["", "a", "ab", "abc", "é"])
def test_arrays_start_where_typed_arrays_may(title: str) -> None:
    data = pack({"title": title}, {"a": np.zeros(3, dtype=np.int8), "b": np.ones(1, dtype=np.float32)})
    length = int(np.frombuffer(data, dtype="<u4", count=1)[0])
    header, _ = unpack(data)
    assert (4 + length) % 4 == 0
    assert "arrays" not in header


def test_a_frame_of_424_parcels_is_under_two_kilobytes() -> None:
    def size(n: int) -> int:
        return len(pack({}, {"panel0": np.zeros((n, 424), dtype=np.float32)}))

    assert (size(61) - size(1)) / 60 <= 2048


def test_surface_is_the_bundled_one_to_a_hundredth_of_a_millimetre() -> None:
    header, arrays = unpack(surface_bytes())
    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        for h, side in enumerate(("left", "right")):
            points = arrays[f"pial_{side}"].reshape(-1, 3) / header["steps_per_mm"] + header["centre"][h]
            assert np.abs(points - store[f"pial_{side}"]).max() < 0.01
            np.testing.assert_array_equal(arrays[f"faces_{side}"].reshape(-1, 3), store[f"faces_{side}"])
            inflated = arrays[f"inflated_{side}"].reshape(-1, 3) / header["steps_per_mm"]
            shape = store[f"inflated_{side}"]
            spread = np.ptp(inflated, axis=0) / np.ptp(shape, axis=0)
            assert spread == pytest.approx(np.full(3, transport.INFLATED_SCALE), abs=1e-3)
    np.testing.assert_array_equal(arrays["diverging"].reshape(256, 3), lookup_table("diverging"))


def test_surface_travels_in_about_half_a_megabyte() -> None:
    assert len(surface_bytes()) < 600_000


def test_parcels_carry_names_places_and_which_are_deep() -> None:
    parcellation = a424()
    header, arrays = unpack(parcellation_bytes(parcellation))
    assert header["names"] == list(parcellation.names)
    np.testing.assert_array_equal(arrays["labels"], parcellation.vertex_labels)
    np.testing.assert_array_equal(arrays["position"].reshape(-1, 3), parcellation.position)
    deep = np.isin(parcellation.structure, ["subcortex", "cerebellum"])
    assert deep.sum() == 64
    np.testing.assert_array_equal(arrays["deep"].astype(bool), deep)


def test_a_visitors_parcellation_is_not_kept() -> None:
    mine = from_coordinates("mine", ("p", "q"), np.array([[-30.0, 0, 50], [30.0, 0, 50]]))
    parcellation_bytes(mine)
    gone = weakref.ref(mine)
    del mine
    gc.collect()
    assert gone() is None


def test_the_entry_names_every_module_so_that_all_are_fetched_at_once() -> None:
    folder = Path(viz.__file__).parent / "frontend"
    named = set(re.findall(r'"\./([\w.]+)"', (folder / "main.js").read_text(encoding="utf-8")))
    assert named == {path.name for path in folder.glob("*.js")} - {"main.js"}
