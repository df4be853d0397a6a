"""The input recipe on the Model page: how signals are scaled for the model, on every page."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.shell.session import Visitor
from app.shell.words import note
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.input_recipe import InputRecipe, ScalingStatistics
from brainlm_core.base.recording import Recording

#: Kinds of scaling as the control names them.
KINDS = {
    "recording": "Each recording",
    "cohort": "Cohort",
    "ukb1000": "UK Biobank",
    "none": "None",
    "zscore": "z-score",
}
_STATISTICS = "recipe-statistics"
_LARGEST_GAIN = 1000.0


def use(who: Visitor, recipe: InputRecipe) -> None:
    """Scale by another recipe from now on and draw the page again."""
    who.change_model(replace(who.model, recipe=recipe))
    st.rerun()


def recipe_controls(who: Visitor, recording: Recording) -> None:
    """Draw kind of scaling and gain; a change runs the page again, and every other page follows."""
    own = who.model.recipe
    names = [k for k in KINDS if k != "ukb1000" or recording.parcellation.name.startswith("A424")]
    kind = st.segmented_control(
        "Scaling",
        names,
        default=own.kind if own.kind in names else "recording",
        required=True,
        format_func=KINDS.__getitem__,
        key=f"recipe-kind-{own.kind}",
    )
    gain = st.number_input(
        "Gain", 0.001, _LARGEST_GAIN, own.gain, 0.1, format="%.3g", key=f"recipe-gain-{own.gain:g}"
    )
    statistics = own.statistics
    if kind == "cohort" and statistics is None:
        statistics = _statistics()
        if statistics is None:
            note("Cohort scaling needs the file that `brainlm cohort --scaling-statistics` writes.")
            return
    if (kind, gain) != (own.kind, own.gain):
        try:
            use(who, InputRecipe(kind, own.centre, float(gain), statistics, "hand"))
        except BrainLMError as error:
            st.error(str(error))


def _statistics() -> ScalingStatistics | None:
    """Ask for a file of statistics; None until there is one that can be used."""
    given = st.file_uploader("Statistics of a cohort (.json)", "json", key=_STATISTICS)
    if given is None:
        return None
    try:
        return ScalingStatistics.from_json(given.getvalue(), "the file")
    except BrainLMError as error:
        st.error(str(error))
        return None
