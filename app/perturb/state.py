"""What a visitor asks on the Perturb page: from sliders, from a link, from a file; all of it or nothing."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from app.perturb.rows import Common, SliderRow, common_of, make_rows
from app.shell.model_chooser import use_model
from app.shell.session import Visitor
from brainlm_core.base.errors import BrainLMError, ConfigError
from brainlm_core.base.recording import Recording
from brainlm_core.features.perturb.scenario import READOUTS, Scenario

#: Mask draws of a new question; the first picture needs only the first two of them.
DRAWS = 8
_STATE = "perturb-state"


@dataclass
class PageState:
    """What this visitor asks.

    Parameters
    ----------
    recording_key : str
        Of the recording that it was made for.
    scenario : Scenario or None
        None while every slider is neutral.
    base : Scenario
        The question without actions: draws, seed, window, read-out.
    common : Common
    extra : tuple of int
        Parcels that were added, counted from 1.
    compare : Scenario or None
        Scenario A.
    serial : int
        Of the browser's last message.
    replaced : int
        Counts scenarios that came from outside the sliders.
    camera : str or None
        As in the link.
    error : BrainLMError or None
        What was wrong with the last thing asked.
    token : str
        Of this session's question: the browser forgets sliders that belong to another.
    """

    recording_key: str
    base: Scenario
    scenario: Scenario | None = None
    common: Common = field(default_factory=Common)
    extra: tuple[int, ...] = ()
    compare: Scenario | None = None
    serial: int = 0
    replaced: int = 0
    camera: str | None = None
    error: BrainLMError | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    def adopt(self, scenario: Scenario) -> None:
        """Take a scenario from a file or a link; the sliders follow."""
        self.scenario = scenario
        self.base = scenario.with_actions(())
        self.common = common_of(scenario, self.common)
        self.replaced += 1
        self.error = None


def known_state() -> PageState | None:
    """Return the question in hand without starting one; None before the first visit of the page."""
    state = st.session_state.get(_STATE)
    return state if isinstance(state, PageState) else None


def page_state(who: Visitor, recording: Recording) -> PageState:
    """Return the question in hand; a new recording, or the first visit, starts afresh."""
    state: PageState | None = st.session_state.get(_STATE)
    if state is None or state.recording_key != who.key:
        previous = state
        base = Scenario((), "others", DRAWS, 0, who.model.name, recording.parcellation.name)
        state = PageState(who.key, base)
        if previous is not None:
            state.serial, state.replaced = previous.serial, previous.replaced + 1
        st.session_state[_STATE] = state
        if previous is None and "s" in st.query_params:
            from_link(who, recording, state)
        if state.scenario is None and state.error is None:
            first = next(iter(make_rows(recording.parcellation, state.common, None, ())), None)
            if first is not None:
                state.adopt(base.with_actions([first.action(2.0)]))
    if state.base.model != who.model.name:
        state.base = replace(state.base, model=who.model.name)
        state.scenario = state.scenario and replace(state.scenario, model=who.model.name)
        state.compare = state.compare and replace(state.compare, model=who.model.name)
    return state


def from_link(who: Visitor, recording: Recording, state: PageState) -> None:
    """Read scenario, comparison and camera from the address; all of it or nothing."""
    link = st.query_params
    try:
        scenario = Scenario.from_url(link["s"])
        compare = Scenario.from_url(link["a"]) if "a" in link else None
        for one in (scenario, compare):
            if one is not None:
                check(one, recording)
        use_model(who, scenario.model)
    except BrainLMError as error:
        state.error = error
        return
    state.adopt(scenario)
    state.compare = compare
    camera = link.get("c", "")
    state.camera = camera if _is_camera(camera) else None


def check(scenario: Scenario, recording: Recording) -> None:
    """Raise ConfigError when a scenario was made for another parcellation or names what this one lacks."""
    scenario.check_parcellation(recording.parcellation)
    for action in scenario.actions:
        action.targets.rows(recording.parcellation)


def from_file(who: Visitor, recording: Recording, state: PageState, content: bytes) -> None:
    """Take the content of a ``scenario.json``; BrainLMError leaves everything as it was."""
    scenario = Scenario.from_json(content)
    check(scenario, recording)
    use_model(who, scenario.model)
    state.adopt(scenario)


def _is_camera(text: str) -> bool:
    from app.components.brain_view import VIEWS

    view, *numbers = text.split(",")
    try:
        return (
            view in VIEWS and len([float(n) for n in numbers]) == 6 and "n" not in ",".join(numbers).lower()
        )
    except ValueError:
        return False


def take_message(event: dict[str, Any]) -> None:
    """Take what the browser sent on release; a message that makes no sense changes nothing but the error."""
    state: PageState | None = st.session_state.get(_STATE)
    if state is None:
        return
    serial, extra = event.get("serial"), event.get("extra")
    state.serial = serial if isinstance(serial, int) and serial else state.serial
    camera = event.get("camera")
    state.camera = camera if isinstance(camera, str) and _is_camera(camera) else None
    try:
        asked = event.get("scenario")
        scenario = None if asked is None else Scenario.from_dict(asked)
        kept = event.get("a")
        compare = None if kept is None else Scenario.from_dict(kept)
        common = Common.from_message(event.get("common"))
        readout = event.get("readout")
        if readout not in READOUTS:
            raise ConfigError(f"there is no readout {readout!r}", "reload the page")
    except BrainLMError as error:
        state.error = error
        return
    state.scenario, state.compare, state.common, state.error = scenario, compare, common, None
    state.base = (scenario or replace(state.base, readout=readout)).with_actions(())
    state.extra = tuple(n for n in extra if isinstance(n, int)) if isinstance(extra, list) else ()


def rows_of(state: PageState, recording: Recording) -> tuple[SliderRow, ...]:
    """Return the sliders of the question in hand."""
    return make_rows(recording.parcellation, state.common, state.scenario, state.extra)
