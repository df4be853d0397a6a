"""Settings of a page in its address: a link opens the page as it was, with the reader's own recording.

Which recording is in hand is never in a link, except for the bundled simulated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app.shell.model_chooser import use_model
from app.shell.session import Visitor
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.input_recipe import InputRecipe

_READ = "links-read"
#: The page that ran last, and what its settings were: Streamlit forgets widgets that are not drawn.
_LAST, _KEPT = "links-last", "links-kept"
#: Names in the address that every page has: bundled recording, picked parcel, model.
_DEMO, _PARCEL, _MODEL = "demo", "parcel", "model"
#: … and how signals are scaled for the model; statistics of a cohort are a file, which no link carries.
_SCALING, _CENTRE, _GAIN = "scaling", "centre", "gain"


@dataclass(frozen=True)
class Setting:
    """One widget whose value belongs into the link.

    Parameters
    ----------
    key : str
        Of the widget.
    name : str
        In the address.
    default : object
        Left out of the address.
    read : callable
        From text to value, or None for text that makes no sense.
    """

    key: str
    name: str
    default: object
    read: Callable[[str], Any]


def one_of(choices: Collection[Any]) -> Callable[[str], Any]:
    """Return a reader that takes the text of one of the choices."""
    known = {text_of(choice): choice for choice in choices}
    return known.get


def whole(low: int, high: int) -> Callable[[str], int | None]:
    """Return a reader that takes a whole number in a range, ends included."""

    def read(text: str) -> int | None:
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            return None
        return int(text) if low <= int(text) <= high else None

    return read


def seconds(text: str) -> float | None:
    """Read a time in s, up to a day."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 86_400 else None


def text_of(value: object) -> str:
    """Return a value as it stands in an address."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


def restore(who: Visitor, page: str, settings: Callable[[], Sequence[Setting]]) -> None:
    """Take over what the address says, once per visit; call before anything reads the settings.

    ``settings`` is asked after the recording of the link is in hand: some belong to the recording.
    What makes no sense is left out, one by one: a link from another version still opens the page.
    Whoever comes back from another page finds the settings as they were left.
    """
    read: set[str] = st.session_state.setdefault(_READ, set())
    came_back = st.session_state.get(_LAST) != page
    st.session_state[_LAST] = page
    if page in read:
        if came_back:
            _as_left(settings())
        return
    read.add(page)
    link = st.query_params
    _take_demo(who, link.get(_DEMO, ""))
    if _MODEL in link:
        try:
            use_model(who, link[_MODEL])
        except BrainLMError as error:
            who.model_error = error
    _take_recipe(who, link)
    for setting in settings():
        value = setting.read(link[setting.name]) if setting.name in link else None
        if value is not None:
            st.session_state[setting.key] = value
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    number = whole(1, recording.n_parcels)(link.get(_PARCEL, ""))
    if number is not None:
        who.picked = number - 1


def keep(who: Visitor, settings: Sequence[Setting]) -> None:
    """Put the settings into the address; those at their default are left out."""
    wanted, kept = {}, st.session_state.setdefault(_KEPT, {})
    for setting in settings:
        value = st.session_state.get(setting.key, setting.default)
        kept[setting.key] = value
        if value is not None and value != setting.default:
            wanted[setting.name] = text_of(value)
    if who.demo_index:
        wanted[_DEMO] = str(who.demo_index + 1)
    if who.picked is not None:
        wanted[_PARCEL] = str(who.picked + 1)
    if who.model.name != "default" and not _is_path(who.model.name):
        wanted[_MODEL] = who.model.name
    recipe = who.model.recipe
    if recipe.kind != "cohort":
        values = {_SCALING: recipe.kind, _CENTRE: recipe.centre, _GAIN: text_of(recipe.gain)}
        wanted |= {k: v for k, v in values.items() if v not in ("recording", "own", "1")}
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def _as_left(settings: Sequence[Setting]) -> None:
    """Give settings whose widgets were forgotten meanwhile the values that they had."""
    kept = st.session_state.get(_KEPT, {})
    for setting in settings:
        value = kept.get(setting.key)
        if value is not None and setting.key not in st.session_state:
            st.session_state[setting.key] = value


def _take_demo(who: Visitor, text: str) -> None:
    from brainlm_core.scans.demo import SCENARIOS, demo_recordings

    number = whole(1, len(SCENARIOS))(text)
    if number is not None and who.demo_index is not None and number - 1 != who.demo_index:
        who.take(demo_recordings()[number - 1], demo_index=number - 1)


def _take_recipe(who: Visitor, link: Mapping[str, str]) -> None:
    """Scale as the link says; what makes no sense is left out."""
    if not {_SCALING, _CENTRE, _GAIN} & set(link):
        return
    try:
        recipe = InputRecipe(
            link.get(_SCALING, "recording"),
            link.get(_CENTRE, "own"),
            float(link.get(_GAIN, "1")),
            chosen_by="hand",
        )
    except (BrainLMError, ValueError):
        return
    if recipe != who.model.recipe:
        who.change_model(replace(who.model, recipe=recipe))


def _is_path(name: str) -> bool:
    """Whether a model is a folder of this machine: its path is nobody else's business."""
    return "/" in name or "\\" in name
