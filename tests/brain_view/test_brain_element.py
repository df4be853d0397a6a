"""The element on a page, without a browser: options, refusals, memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.brain_view import BrainPanel, brain_view
from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import ConfigError


def _still_and_moving() -> None:
    import numpy as np
    import streamlit as st

    from app.components.brain_view import BrainPanel, brain_view, picked_parcel
    from brainlm_core.base.atlas import a424

    st.text(f"above={picked_parcel('b')}")
    chosen = st.number_input("chosen", value=-1)
    panels = [BrainPanel("Moving", np.zeros((5, 424))), BrainPanel("Still", np.zeros(424))]
    event = brain_view(
        panels, a424(), key="b", times_s=np.arange(5) * 0.72, picked=None if chosen < 0 else int(chosen)
    )
    st.text(f"picked={event.picked} changed={event.changed} missing={event.webgl_missing}")


def test_a_still_beside_a_moving_panel_on_one_clock() -> None:
    app = AppTest.from_function(_still_and_moving, default_timeout=30).run()
    assert not app.exception
    assert [t.value for t in app.text] == ["above=None", "picked=None changed=False missing=False"]


def test_the_page_chooses_a_parcel_and_every_run_knows_it() -> None:
    app = AppTest.from_function(_still_and_moving, default_timeout=30).run()
    app.number_input[0].set_value(17).run()
    assert app.text[-1].value == "picked=17 changed=False missing=False"
    app.run()
    assert app.text[0].value == "above=17"


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda p: brain_view([], p, key="k"), "without panels"),
        (lambda p: brain_view([BrainPanel("x", np.zeros(7))], p, key="k"), "7 values for 424"),
        (
            lambda p: brain_view(
                [BrainPanel("x", np.zeros((2, 424))), BrainPanel("y", np.zeros((3, 424)))], p, key="k"
            ),
            r"\[2, 3\] frames",
        ),
        (lambda p: brain_view([BrainPanel("x", np.zeros(424))], p, key="k", view="inside"), "no view"),
        (lambda p: brain_view([BrainPanel("x", np.zeros(424))], p, key="k", inflation=2), "inflation"),
        (
            lambda p: brain_view([BrainPanel("x", np.zeros((2, 424)))], p, key="k", times_s=[1.0, 1.0]),
            "times",
        ),
        (lambda p: brain_view([BrainPanel("x", np.zeros((2, 424)))], p, key="k", times_s=[0.0]), "times"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(call: Callable[[object], object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        call(a424())


def _wrong_pick() -> None:
    import numpy as np
    import streamlit as st

    from app.components.brain_view import BrainPanel, brain_view
    from brainlm_core.base.atlas import a424
    from brainlm_core.base.errors import ConfigError

    try:
        brain_view([BrainPanel("x", np.zeros(424))], a424(), key="b", picked=424)
    except ConfigError as error:
        st.error(str(error))


def test_an_impossible_parcel_is_refused_in_a_sentence() -> None:
    app = AppTest.from_function(_wrong_pick, default_timeout=30).run()
    assert "no parcel 424" in app.error[0].value


def test_the_package_imports_without_a_server() -> None:
    code = "import app.components.brain_view as b; print(len(b.VIEWS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "9"
