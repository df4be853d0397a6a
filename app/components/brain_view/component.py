"""The brain view as a Streamlit element: registers the component, sends frames, hears clicks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike

from app.components.brain_view.event import BrainEvent
from app.shell.streamlit_patches.components import component, publish
from brainlm_core import viz
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.transport import pack, parcellation_bytes, surface_bytes

#: Package that holds the drawing, ``frontend/``.
LOOK = Path(viz.__file__).resolve().parent
FOLDERS = {"brain_view": LOOK}
#: "The page says nothing about the picked parcel", as opposed to None, "no parcel is picked".
_UNSET: Final = -2
VIEWS = ("overview", "left", "right", "left-medial", "right-medial", "top", "bottom", "front", "back")


def brain_view(
    panels: Sequence[BrainPanel],
    parcellation: Parcellation,
    *,
    key: str,
    times_s: ArrayLike | None = None,
    seen_until_s: float | None = None,
    picked: int | None = _UNSET,
    height: int = 480,
    view: str = "overview",
    inflation: float = 0.55,
    start_frame: int = 0,
    autoplay: bool = False,
    pickable: bool = True,
) -> BrainEvent:
    """Show one or more linked brains; return the picked parcel.

    All panels share one clock and one camera. Camera, clock, play state and surface stay as the
    visitor left them as long as ``key`` stays the same, also when the frames change and when the
    visitor comes back from another page.

    Parameters
    ----------
    panels : sequence of BrainPanel
        Side by side, below each other on a narrow screen. All with ``parcellation.n_parcels``
        parcels; panels of several frames all have the same number.
    parcellation : Parcellation
        Names, places and vertex map of the parcels.
    key : str
        Identity of the element, unique on the page.
    times_s : array_like (n_frames,) or None
        Time of each frame in s, rising. None numbers the frames.
    seen_until_s : float or None
        Time in s up to which the model saw the data; marked on the timeline.
    picked : int or None
        Parcel to outline. Leave it out to let the brain view keep the visitor's own choice.
        If given, a click wins in the run that it causes (``changed`` is then True); store
        ``event.picked`` and pass it back.
    height : int
        Height of one brain in px on a wide screen; narrower ones adapt.
    view : str
        First camera, one of :data:`VIEWS`.
    inflation : float
        First surface, from 0 (folded) to 1 (inflated).
    start_frame : int
        First frame on screen; negative counts from the end.
    autoplay : bool
        Start playing, unless the visitor's system asks for reduced motion.
    pickable : bool
        False shows names on hover but ignores clicks.

    Returns
    -------
    BrainEvent

    Raises
    ------
    ConfigError
        If panels, times or options contradict each other.
    """
    n_frames = _check(panels, parcellation, view, inflation)
    times = None if times_s is None else np.asarray(times_s, dtype=np.float64)
    if times is not None and (times.shape != (n_frames,) or (np.diff(times) <= 0).any()):
        raise ConfigError(
            f"{times.size} times do not fit {n_frames} frames", "give one rising time in s per frame"
        )

    memory = _memory(key, parcellation)
    if picked != _UNSET and not memory["changed"] and picked != memory["picked"]:
        memory["picked"] = picked
    changed, memory["changed"] = memory["changed"], False
    current = memory["picked"]
    if current is not None and not 0 <= current < parcellation.n_parcels:
        raise ConfigError(f"there is no parcel {current}", f"pick one from 0 to {parcellation.n_parcels - 1}")

    header = {
        "key": key,
        "surface": publish(f"{key}/surface", surface_bytes()),
        "parcellation": publish(f"{key}/parcellation", parcellation_bytes(parcellation)),
        "panels": [_panel_header(panel) for panel in panels],
        "times": None if times is None else [round(float(t), 4) for t in times],
        "seen_until": seen_until_s,
        "picked": current,
        "pick_number": memory["number"],
        "height": int(height),
        "view": view,
        "inflation": float(inflation),
        "start_frame": int(start_frame) % n_frames,
        "autoplay": bool(autoplay),
        "pickable": bool(pickable),
    }
    arrays = {f"panel{i}": panel.values for i, panel in enumerate(panels)}
    result = component("brain_view", FOLDERS)(
        key=key,
        data=pack(header, arrays),
        on_pick_change=_remember_pick(key),
        on_status_change=_nothing,
    )
    return BrainEvent(
        picked=current,
        changed=changed,
        frame=memory["frame"],
        webgl_missing=result.get("status") == "webgl-missing",
    )


def picked_parcel(key: str) -> int | None:
    """Return the parcel picked in the brain view ``key``, also above its place on the page."""
    return st.session_state.get(_memory_key(key), {}).get("picked")


def _check(panels: Sequence[BrainPanel], parcellation: Parcellation, view: str, inflation: float) -> int:
    """Return the number of frames on the shared clock, or raise ConfigError."""
    if not panels:
        raise ConfigError("a brain view without panels shows nothing", "give at least one BrainPanel")
    for panel in panels:
        if panel.n_parcels != parcellation.n_parcels:
            raise ConfigError(
                f"{panel.title!r} has {panel.n_parcels} values for {parcellation.n_parcels} parcels",
                f"give one value per parcel of {parcellation.name}",
            )
    lengths = {panel.n_frames for panel in panels} - {1}
    if len(lengths) > 1:
        raise ConfigError(
            f"linked panels have {sorted(lengths)} frames",
            "give all the same number, or one frame for a still",
        )
    if view not in VIEWS:
        raise ConfigError(f"there is no view {view!r}", f"use one of {', '.join(VIEWS)}")
    if not 0 <= inflation <= 1:
        raise ConfigError(f"an inflation of {inflation} is impossible", "give a number from 0 to 1")
    return max(lengths, default=1)


def _panel_header(panel: BrainPanel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "unit": panel.unit,
        "scale": panel.scale,
        "limits": list(panel.limits or ()),
        "categories": [[c.name, c.colour] for c in panel.categories],
        "alt": panel.alt or panel.title,
        "n_frames": panel.n_frames,
    }


def _memory_key(key: str) -> str:
    return f"_brain_view_{key}"


def _memory(key: str, parcellation: Parcellation) -> dict[str, Any]:
    """Return what this session knows of the element; a new parcellation forgets the pick."""
    identity = hashlib.sha256(parcellation_bytes(parcellation)).hexdigest()[:16]
    memory = st.session_state.get(_memory_key(key))
    if memory is None or memory["parcellation"] not in (None, identity):
        memory = {"picked": None, "changed": False, "frame": 0, "number": 0}
    memory["parcellation"] = identity
    st.session_state[_memory_key(key)] = memory
    return memory


def _remember_pick(key: str) -> Callable[[], None]:
    """Return the callback that stores a click before the script runs."""

    def remember() -> None:
        event = (st.session_state.get(key) or {}).get("pick")
        if not isinstance(event, dict):
            return
        parcel = event.get("parcel")
        memory = st.session_state.get(_memory_key(key)) or {"parcellation": None}
        memory["picked"] = int(parcel) if isinstance(parcel, int | float) and parcel >= 0 else None
        memory["frame"], memory["number"] = int(event.get("frame", 0)), int(event.get("number", 0))
        memory["changed"] = True
        st.session_state[_memory_key(key)] = memory

    return remember


def _nothing() -> None:
    """Declare a state value of the component; reading it is enough."""
