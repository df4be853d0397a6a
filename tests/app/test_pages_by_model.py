"""Each page that asks a model, for each bundled model: answers about a small recording, in true words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainlm_core.base.recording import Recording
from brainlm_core.scans.demo import demo_recordings
from tests.app.conftest import Open, Tab

#: What a page says once it has answered.
ANSWERED = {
    "networks.py": "of parcels",
    "forecast.py": "linear mix",
    "perturb.py": "the model expects",
    "model.py": "explains",
}


@pytest.fixture(scope="module")
def small() -> Recording:
    """Every tenth parcel of a simulated recording, 300 volumes."""
    whole = demo_recordings()[0]
    rows = np.arange(0, whole.n_parcels, 10)
    return replace(
        whole,
        signals=whole.signals[rows, :300],
        parcellation=whole.parcellation.subset(rows, "small"),
        quality=None,
    )


def opened(open_page: Open, page: str, model: str, small: Recording) -> Tab:
    """Open a page with a small recording in hand, and wait until it has answered."""
    tab = open_page("scan.py", model=model)
    tab.who.take(small)
    tab.app.switch_page(f"../pages/{page}")
    return tab.run().settle()


# Perturb asks the default model of 200 random sets: tests/perturb has that.
@pytest.mark.parametrize(
    ("page", "model"),
    [(p, m) for p in ANSWERED for m in ("default", "context") if (p, m) != ("perturb.py", "default")],
)
def test_every_page_answers_with_every_bundled_model(
    open_page: Open, page: str, model: str, small: Recording
) -> None:
    tab = opened(open_page, page, model, small)
    assert ANSWERED[page] in tab.words(), tab.words()
    assert tab.who.model_error is None
    assert "transformer" not in tab.words().lower().replace("no transformer", "")


def test_only_a_map_of_the_scan_can_be_steadied_by_the_group(open_page: Open, small: Recording) -> None:
    tab = opened(open_page, "networks.py", "context", small)
    before = tab.words()
    tab.widget("slider", "net-group").set_value(30)
    tab.run().settle()
    assert tab.app.query_params["group"] == "30"
    assert tab.words() != before, "the share of the group changed nothing"
