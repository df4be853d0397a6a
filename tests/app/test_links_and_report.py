"""Links bring a page back as it was; the report chip makes one file of what the pages show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.report import work as report_work
from app.shell.links import one_of, seconds, text_of, whole
from brainlm_core.features.embedding.analysis import make_map
from tests.app.conftest import Open
from tests.cohort.cohort_tools import embeddings


def opened(root: Path, page: str, link: dict[str, str]) -> AppTest:
    """A new visitor who follows a link."""
    app = AppTest.from_file(str(root / "app" / "main.py"), default_timeout=120)
    if page != "scan.py":  # it answers at the root
        app.switch_page(f"../pages/{page}")
    for name, text in link.items():
        app.query_params[name] = text
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def stop(app: AppTest) -> None:
    for job in list(app.session_state["visitor"].jobs.values()):
        job.cancel()
        job.wait(120)


LINKS = {
    "scan.py": {"parcel": "12", "demo": "2"},
    "networks.py": {"show": "row", "map": "rollout", "networks": "9", "windows": "all", "parcel": "3"},
    "forecast.py": {"steps": "5", "seen": "0.5", "looks": "4", "starts": "50", "third": "interval",
                    "measure": "mse", "start": "180", "demo": "3"},
    "model.py": {"hide": "future", "share": "40", "mask": "7", "third": "error", "model": "random:default"},
    "embeddings.py": {"colour": "age_years", "layer": "mean", "map": "umap", "beside": "twin_cls",
                      "scan": "sim-006_run-1", "tab": "Neighbours", "model": "random:default"},
}  # fmt: skip
STATE = {
    "scan.py": {},
    "networks.py": {"net-shown": "row", "net-reduction": "rollout", "net-k": 9, "net-windows": "all"},
    "forecast.py": {"fc-steps": 5, "fc-share": 0.5, "fc-members": 4, "fc-starts": 50, "fc-third": "interval",
                    "fc-measure": "mse"},
    "model.py": {"md-kind": "future", "md-share": 40, "md-seed": 7, "md-third": "error"},
    "embeddings.py": {"emb-colour-0": "age_years", "emb-kind-0": "mean", "emb-method-0": "umap",
                      "emb-beside-0": "twin_cls", "emb-tabs": "Neighbours"},
}  # fmt: skip


@pytest.mark.parametrize("page", LINKS)
def test_link_restores_every_setting_and_stays_in_the_address(
    root: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(  # a UMAP compiles for many seconds; which one is asked for is what counts
        "app.embeddings.work.make_map", lambda cohort, _, kind, **more: make_map(cohort, "pca", kind, **more)
    )
    link = LINKS[page]
    app = opened(root, page, link)
    who = app.session_state["visitor"]
    for key, value in STATE[page].items():
        assert app.session_state[key] == value, key
    assert who.demo_index == int(link.get("demo", "1")) - 1
    assert who.picked == (int(link["parcel"]) - 1 if "parcel" in link else None)
    assert who.model.name == link.get("model", "default")
    now = {name: value[0] if isinstance(value, list) else value for name, value in app.query_params.items()}
    assert now == link
    if page == "embeddings.py":
        own = app.session_state["embeddings-desk"]
        assert own.cohort.ids[own.picked] == link["scan"]
    stop(app)


def test_a_link_to_an_own_cohort_waits_for_it_and_names_nobody(root: Path) -> None:
    app = opened(root, "embeddings.py", {"colour": "shoe_size", "layer": "mean", "scan": "r3"})
    own = app.session_state["embeddings-desk"]
    assert app.session_state["emb-colour-0"] == "group" and own.picked is None
    cohort = embeddings(30)
    own.take(replace(cohort, phenotypes=cohort.phenotypes.assign(shoe_size=range(30))), "mine.parquet")
    app.run()
    assert app.session_state["emb-colour-1"] == "shoe_size" and app.session_state["emb-kind-1"] == "mean"
    own.picked = 3
    app.run()
    assert set(app.query_params) == {"colour", "layer"}
    own.take(cohort, "another.parquet")
    app.run()
    assert not set(app.query_params)
    stop(app)


@pytest.mark.parametrize("page", ["scan.py", "networks.py", "forecast.py", "model.py", "embeddings.py"])
def test_nonsense_in_a_link_opens_the_page_as_it_usually_is(root: Path, page: str) -> None:
    names = {name for link in LINKS.values() for name in link} | {"layer", "head", "beyond"}
    for text in ("<script>alert(1)</script>", "-1", "1e400", "", "９"):
        app = opened(root, page, dict.fromkeys(names - {"model"}, text))
        who = app.session_state["visitor"]
        assert who.picked is None and who.demo_index == 0
        assert not set(app.query_params) - {"start"}, dict(app.query_params)
        stop(app)


def test_link_loads_no_folder_and_no_licensed_weights(root: Path) -> None:
    names = (
        "13m",
        "/etc",
        "../secret",
        "..%2fsecret",
        "%2fetc",
        "\0",
        "random:/etc",
        "folder:",
        "．．/secret",
    )
    for name in names:
        app = opened(root, "networks.py", {"model": name})
        who = app.session_state["visitor"]
        assert who.model.name == "default" and who.model_error is not None and not who.jobs
        stop(app)


def test_readers_of_single_values() -> None:
    assert one_of((False, True))("1") is True and one_of((1.0, 0.5))("0.5") == 0.5
    assert [whole(2, 20)(t) for t in ("2", "20", "21", "１", "+3", "2.0", "9" * 400)] == [2, 20, *[None] * 5]
    assert [seconds(t) for t in ("3.5", "nan", "inf", "-1", "x")] == [3.5, *[None] * 4]
    assert text_of(True) == "1" and text_of(0.75) == "0.75" and text_of("all") == "all"


@pytest.mark.slow
def test_report_is_made_of_what_the_pages_show(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_work, "NULL_SETS", 0)
    tab = open_page("networks.py")
    tab.app.session_state["net-k"] = 5
    tab.run().settle()
    known = next(v for k, v in tab.who.results.items() if k[0] == "networks")
    tab.widget("text_input", "report-label").set_value("Pilot <3>")
    tab.run()
    tab.widget("button", "report-make").click()
    tab.run().settle(240)
    key, made = tab.app.session_state["report-made"]
    text = made.decode()
    assert key[0] == tab.who.key and len(made) < 5e6
    assert "Pilot &lt;3&gt;" in text and "n_networks=5" in text
    assert f"{known.scores[0].knn.value:.2f}" in text
    assert tab.app.get("download_button"), "the file is offered"
    tab.who.take(tab.who.recording)
    tab.app.session_state["visitor"].key = "other"
    tab.run()
    assert "report-made" not in tab.app.session_state, "the report of a recording that was let go is gone"


def test_report_chip_is_on_every_page(open_page: Open) -> None:
    for page in ("scan.py", "networks.py", "forecast.py", "perturb.py", "model.py"):
        tab = open_page(page)
        assert tab.widget("button", "report-make").label == "Make the report"
        assert re.search("One HTML file that works offline", tab.words())
