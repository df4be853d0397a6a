"""The Model page without a browser: what it hides, what it says, what it keeps."""

from __future__ import annotations

import re

import pytest

from app.model.work import COST, DOCTOR, RECONSTRUCT, SWEEP
from tests.app.conftest import Open, Tab

TABS = ("Model card", "Choices", "Input scale", "Weights and machine", "Limits", "Export")


@pytest.fixture
def page(open_page: Open) -> Tab:
    return open_page("model.py").settle()


def test_the_sentence_names_model_baseline_and_twin(page: Tab) -> None:
    sentence = r"The model explains \d+\s% of what it did not see; ridge from the visible parcels \d+\s%"
    assert re.search(sentence, page.words())
    assert "random weights" in page.words()
    assert "Ridge, visible parcels" in page.words()
    assert "judge the model on a measured scan" in page.words()


def test_another_mask_is_another_answer_and_the_old_one_is_kept(page: Tab) -> None:
    before = page.words()
    page.app.session_state["md-kind"] = "network"
    page.app.session_state["md-network"] = "Default"
    page.run().settle()
    after = page.words()
    assert before != after
    known = [key for key in page.who.results if key[0] == RECONSTRUCT]
    assert len(known) == 2
    page.app.session_state["md-kind"] = "random"
    page.run()
    assert RECONSTRUCT not in page.who.jobs, "a known answer must not be computed again"
    assert page.words() == before


def test_every_tab_can_be_opened(page: Tab) -> None:
    for name in TABS:
        page.app.session_state["md-tabs"] = name
        page.run().settle()
    (script,) = page.scripts("md").values()
    assert "ReconstructOptions(kind='random', share=0.75" in script and "twin=engine.twin()" in script


def test_the_card_stands_beside_its_baselines(page: Tab) -> None:
    page.app.session_state["md-tabs"] = "Model card"
    page.run()
    words = page.words()
    assert words.count("b-strip") >= 7
    assert "Random-weights twin" in words and "Group connectivity" in words


def test_choices_and_input_scale_are_computed_on_this_scan(page: Tab) -> None:
    page.app.session_state["md-tabs"] = "Choices"
    page.run().settle()
    sweeps = next(value for key, value in page.who.results.items() if key[0] == SWEEP)
    assert [s.name for s in sweeps] == ["share", "block"]
    assert {"model", "ridge", "random_twin"} <= set(sweeps[0].r2)
    page.app.session_state["md-tabs"] = "Input scale"
    page.run().settle()
    found = next(value for key, value in page.who.results.items() if key[0] == DOCTOR)
    assert found.sentence.split(":")[0] in page.words()


def test_cost_is_measured_only_when_asked_for(page: Tab) -> None:
    page.app.session_state["md-tabs"] = "Weights and machine"
    page.run()
    assert "exactly equal" in page.words()
    assert COST not in page.who.jobs
    page.widget("button", "md-measure").click()
    page.run()
    assert COST in page.who.jobs
    page.settle()
    assert "Peak above that" in page.words()


def test_precision_is_a_choice_that_reaches_the_engine(page: Tab) -> None:
    page.app.session_state["md-tabs"] = "Weights and machine"
    page.run()
    page.app.get("button_group")  # drawn
    key = f"precision-{page.who.model.device}-{page.who.model.precision}"
    page.app.session_state[key] = "bf16"
    page.run().settle()
    assert page.who.model.precision == "bf16"
    result = next(value for key, value in page.who.results.items() if key[0] == RECONSTRUCT)
    assert result.model.precision == "bf16"


def test_limits_say_what_it_is_not_for(page: Tab) -> None:
    page.app.session_state["md-tabs"] = "Limits"
    page.run()
    assert "Not for diagnosis" in page.words()


def test_random_weights_are_not_compared_with_themselves(open_page: Open) -> None:
    page = open_page("model.py", model="random:default").settle()
    assert "Random weights explain" in page.words()
    assert "the same model with random weights" not in page.words()


def test_a_model_that_cannot_be_loaded_is_a_sentence_and_the_scan_stays(open_page: Open) -> None:
    page = open_page("model.py", model="/nowhere").settle()
    assert 'role="alert"' in page.words()
    assert "The model could not be used" in page.words()
