"""The Perturb page without a browser: what it says, what it refuses, what can be taken home."""

from __future__ import annotations

import html
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.perturb import exports as perturb_exports
from app.perturb import state as perturb_state
from app.perturb import work as perturb_work
from app.perturb.answers import FIRST_DRAWS, Desk
from app.perturb.message import message
from app.perturb.rows import SLIDER_KINDS, Common, make_rows
from app.perturb.state import PageState
from brainlm_core.base.atlas import a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.features.perturb.analysis import PerturbOptions, analyse
from brainlm_core.features.perturb.response import prepare
from brainlm_core.features.perturb.scenario import Scenario
from tests.app.conftest import Tab
from tests.perturb.conftest import simulated_recording

STATE = "perturb-state"


class Page(Tab):
    """The Perturb page alone, with a small recording and a small model."""

    def __init__(self, query: dict[str, str] | None = None) -> None:
        self.app = AppTest.from_file(str(Path(__file__).with_name("perturb_app.py")), default_timeout=120)
        for name, value in (query or {}).items():
            self.app.query_params[name] = value
        self.app.run()
        self.check()

    @property
    def state(self) -> PageState:
        return self.app.session_state[STATE]

    @property
    def desk(self) -> Desk:
        return self.who.results[perturb_work.desk_key(self.who)]


@pytest.fixture(scope="module")
def files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("perturb-page") / "small.npz"
    cortex = a424_cortex().subset(np.arange(0, 360, 3), "every third")  # enough for random sets to exist
    simulated_recording(cortex, n=220, seed=2).save(path)
    return {"PERTURB_TEST_MODEL": str(tiny_folder), "PERTURB_TEST_RECORDING": str(path)}


@pytest.fixture
def open_perturb(files: dict, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in files.items():
        monkeypatch.setenv(name, value)
    pages: list[Page] = []

    def opened(query: dict[str, str] | None = None) -> Page:
        pages.append(Page(query))
        return pages[-1]

    yield opened
    for page in pages:  # a thread inside torch at the end of the process would abort it
        for job in list(page.who.jobs.values()):
            job.cancel()
            job.wait(120)


def scenario_of(actions: list[dict[str, Any]] | None = None, **more: Any) -> Scenario:
    first = {"targets": {"network": "Default"}, "kind": "add", "amplitude_sd": 1.5, "onset_s": 20}
    return Scenario.from_dict({"actions": actions or [first], "readout": "others", **more})


def page_model() -> str:
    return os.environ["PERTURB_TEST_MODEL"]


def tables(page: Page) -> list[pd.DataFrame]:
    return [frame.value for frame in page.app.dataframe]


def test_the_page_fills_in_and_names_every_companion(open_perturb: Any) -> None:
    page = open_perturb()
    assert page.state.scenario is not None, "the page opens with something to see"
    page.settle()
    words = page.words()
    assert "Visual +2 SD: the model expects" in words
    for name in (
        "Functional connectivity",
        "Nearness",
        "Attention of the targets",
        "Random-weights twin",
        "SD per SD",
        "random sets",
        "Not shown: cause",
    ):
        assert name in words, name
    (table,) = tables(page)
    assert {"Low (SD)", "High (SD)", "z", "q (FDR)"} <= set(table.columns)
    assert table["Response (SD)"].abs().is_monotonic_decreasing
    assert len(page.desk.full[page.state.scenario].effect_by_draw) == page.state.scenario.draws
    assert len(page.desk.answers[page.state.scenario].effect_by_draw) == FIRST_DRAWS
    for name in ("Over time", "Predictions", "Scenario", "How this is computed", "Export"):
        page.app.session_state["pt-tabs"] = name
        page.run()
    scripts = page.scripts("pt")
    assert set(scripts) == {"response", "companions"}
    assert repr(page.state.scenario.to_json()) in scripts["response"]
    titles = {b.label for b in page.app.get("download_button")}
    assert {"Film (.gif)", "Film (.mp4)", "Picture (.png)", "Responders (.csv)", "Page (.html)"} <= titles


def test_the_page_gives_what_the_command_line_gives(open_perturb: Any) -> None:
    page = open_perturb().settle()
    scenario, desk = page.state.scenario, page.desk
    own = desk.results[scenario]
    again = analyse(desk.engine, page.who.recording, scenario, PerturbOptions(200))
    np.testing.assert_allclose(own.response.effect, again.response.effect, atol=1e-6)
    np.testing.assert_allclose(own.null.z, again.null.z, atol=1e-4)
    for a, b in zip(own.agreement, again.agreement, strict=True):
        assert a.predictor == b.predictor
        np.testing.assert_allclose(a.value, b.value, atol=1e-6)


def test_a_link_opens_scenario_comparison_and_camera(open_perturb: Any) -> None:
    model = page_model()
    asked, kept = scenario_of(model=model), scenario_of(model=model, seed=4)
    camera = "top,0,0,1.5,0,0,0.55"
    page = open_perturb({"s": asked.to_url(), "a": kept.to_url(), "c": camera}).settle()
    assert (page.state.scenario, page.state.compare) == (asked, kept)
    assert page.state.camera == camera
    (table,) = tables(page)
    assert "In A (SD)" in table.columns


@pytest.mark.parametrize("query", [{"s": "1nonsense"}, {"s": ""}, {"s": "1eJw", "a": "2"}])
def test_a_mangled_link_is_one_sentence_and_changes_nothing(open_perturb: Any, query: dict) -> None:
    page = open_perturb(query)
    assert "The scenario in the address is damaged" in page.words()
    assert page.state.scenario is None and page.state.compare is None
    assert not page.who.jobs, "nothing may be computed from a damaged link"
    next(b for b in page.app.button if b.label == "Go on without it").click()
    page.run()
    assert "damaged" not in page.words() and "Drag a slider" in page.words()


def test_a_link_with_one_bad_half_is_not_applied_at_all(open_perturb: Any) -> None:
    page = open_perturb({"s": scenario_of().to_url(), "a": scenario_of().to_url()[:-4]})
    assert "damaged" in page.words() and page.state.scenario is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not readable JSON"),
        (b'{"actions": []}', "no actions"),
        (
            b'{"actions": [{"targets": {"parcels": []}, "kind": "silence"}]}',
            "name no parcel",
        ),
        (
            b'{"actions": [{"targets": {"parcels": [1]}, "kind": "add", "amplitude_sd": 99}]}',
            "amplitude_sd of action 1 is 99",
        ),
        (scenario_of(parcellation="another atlas").to_json().encode(), "made for another atlas"),
        (scenario_of([{"targets": {"parcels": [400]}, "kind": "silence"}]).to_json().encode(), "parcel 400"),
        (scenario_of(model="13m").to_json().encode(), "asks for the model 13m"),
    ],
)
def test_a_bad_scenario_file_is_one_sentence_and_changes_nothing(
    open_perturb: Any, content: bytes, words: str
) -> None:
    page = open_perturb()
    before = (page.state.scenario, page.state.base, page.state.replaced, page.who.model)
    with pytest.raises(ConfigError, match=words):
        perturb_state.from_file(page.who, page.who.recording, page.state, content)
    assert (page.state.scenario, page.state.base, page.state.replaced, page.who.model) == before


def release(page: Page, **event: Any) -> None:
    """Send what the browser sends on release."""
    common = {"kind": "add", "frequency_hz": 0.05, "onset_s": 28.8, "duration_s": 28.8}
    sent = {"serial": page.state.serial + 1, "scenario": None, "extra": [], "a": None, "camera": None}
    import streamlit as st

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(st, "session_state", {STATE: page.state})
        perturb_state.take_message(sent | {"common": common, "readout": "others"} | event)
    page.run()


@pytest.mark.parametrize(
    "event",
    [
        {"scenario": {"actions": "x"}},
        {"scenario": None, "a": {"actions": []}},
        {"common": {"kind": "explode"}},
        {"common": {"kind": "add", "frequency_hz": 0.1, "onset_s": float("nan"), "duration_s": 3}},
        {"readout": "yesterday"},
    ],
)
def test_an_unreadable_message_of_the_sliders_changes_nothing_but_the_error(
    open_perturb: Any, event: dict
) -> None:
    page = open_perturb()
    before = (page.state.scenario, page.state.base, page.state.common, page.state.compare)
    release(page, **event)
    assert (page.state.scenario, page.state.base, page.state.common, page.state.compare) == before
    assert page.state.error is not None and 'role="alert"' in page.words()


def test_onset_after_the_end_is_a_sentence_with_a_way_back(open_perturb: Any) -> None:
    page = open_perturb().settle()
    good = page.state.scenario
    late = {"targets": {"network": "Visual"}, "kind": "add", "amplitude_sd": 1, "onset_s": 500}
    release(page, scenario=scenario_of([late]).to_dict() | {"model": page.who.model.name})
    page.settle()
    assert "sees only the first" in page.words()
    next(b for b in page.app.button if b.label.startswith("Go on with the last scenario")).click()
    page.run().settle()
    assert page.state.scenario == good and "sees only the first" not in page.words()


def test_stopping_keeps_the_answer_and_offers_to_go_on(open_perturb: Any) -> None:
    page = open_perturb()
    for _ in range(200):
        desk = perturb_work.desk_of(page.who)
        if desk is not None and page.state.scenario in desk.answers:
            break
        for job in list(page.who.jobs.values()):
            job.wait(5)
        page.run()
    running = next(iter(page.who.jobs), None)
    assert running in (perturb_work.BANK, perturb_work.COMPANIONS)
    page.who.jobs.pop(running).cancel()
    page.run().settle()  # what else is missing goes on
    assert "the model expects" in page.words() and running not in page.who.jobs
    next(b for b in page.app.button if b.label == "Go on with the calculation").click()
    page.run().settle()
    assert page.state.scenario in page.desk.results
    assert not page.desk.missing(perturb_state.rows_of(page.state, page.who.recording), page.state.base)


def test_a_network_without_a_signal_blocks_its_slider_only(open_perturb: Any) -> None:
    page = open_perturb()
    for job in list(page.who.jobs.values()):
        job.cancel()
    recording = page.who.recording
    signals = recording.signals.copy()
    limbic = np.array(recording.parcellation.yeo7) == "Limbic"
    assert limbic.any()
    signals[limbic] = 1.0
    page.who.take(Recording(signals, recording.tr_s, recording.parcellation, Provenance("flat limbic")))
    page.run().settle()
    assert page.state.error is None and "alert" not in page.words()
    rows = perturb_state.rows_of(page.state, page.who.recording)
    header, _ = message("x", page.state, page.who.recording, rows, page.desk)
    blocked = {row["label"]: row["blocked"] for row in header["rows"] if row["blocked"]}
    assert list(blocked) == ["Limbic"] and "varies in this recording" in blocked["Limbic"]
    assert all(row["nodes"] for row in header["rows"] if not row["blocked"])


def test_a_scenario_without_duration_keeps_lasting_to_the_end(small_parcellation: Any) -> None:
    scenario = scenario_of()
    rows = make_rows(small_parcellation, Common(), scenario, ())
    (moved,) = [row for row in rows if row.active]
    assert moved.duration_s is None and moved.action(moved.value) == scenario.actions[0]


@pytest.mark.parametrize("kind", list(SLIDER_KINDS))
def test_every_kind_of_slider_means_an_action_that_reads_back(kind: str, small_parcellation: Any) -> None:
    rows = make_rows(small_parcellation, Common(kind=kind), None, (3,))
    assert rows and not any(row.active for row in rows)
    for row in rows:
        for value in SLIDER_KINDS[kind].nodes:
            scenario = Scenario((row.action(value),), "others")
            assert Scenario.from_dict(scenario.to_dict()) == scenario
            (moved,) = [r for r in make_rows(small_parcellation, Common(), scenario, ()) if r.active]
            assert moved.value == value and moved.parcels == row.parcels


@pytest.fixture(scope="module")
def result(tiny: Any, small_recording: Any) -> Any:
    return analyse(tiny, small_recording, scenario_of(draws=3), PerturbOptions(20))


def test_exports_hold_what_is_on_the_page(tiny: Any, small_recording: Any, result: Any) -> None:
    stage = prepare(tiny, small_recording)
    scene = perturb_exports.scene_of(stage, result.response)
    for kind, magic in (("gif", b"GIF89a"), ("mp4", b"ftyp")):
        film = perturb_exports.film_bytes(scene, kind)
        assert magic in film[:12] and len(film) > 10_000
    picture = Image.open(io.BytesIO(perturb_exports.png_bytes(scene, 0)))
    assert picture.width >= 800 and len(set(picture.convert("L").get_flattened_data())) > 50
    page = perturb_exports.page_html(stage, result.response, result).decode()
    assert "default-src 'none'" in page, "a self-contained page fetches nothing"
    assert 'src="http' not in page and 'href="http' not in page
    inside = html.unescape(page.split("scenario.json</h2><pre>")[1].split("</pre>")[0])
    assert Scenario.from_dict(json.loads(inside)) == result.response.plan.scenario
    assert "Not for diagnosis" in page and "random sets" in page
    assert 'id="data-response"' in page and 'id="data-surface"' in page, "the brain can be turned offline"
    early = perturb_exports.page_html(stage, result.response, None).decode()
    assert "Strongest responders" in early and "random sets" not in early
