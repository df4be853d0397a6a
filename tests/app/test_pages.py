"""Each page without a browser: what it says, what it refuses, what it keeps."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from app.shell.navigation import PAGES, ROOT
from tests.app.conftest import Open


def table(n_columns: int = 424, n_volumes: int = 90, seed: int = 0) -> bytes:
    buffer = io.StringIO()
    values = 100 + np.random.default_rng(seed).normal(size=(n_volumes, n_columns))
    np.savetxt(buffer, values, delimiter=",", fmt="%.4f")
    return buffer.getvalue().encode()


@pytest.mark.parametrize("entry", PAGES, ids=lambda e: e.file)
def test_contract_every_page_explains_itself(open_page: Open, entry) -> None:  # type: ignore[no-untyped-def]
    tab = open_page(entry.file)
    assert 'class="b-one"' in tab.words(), "no page without its one sentence"
    assert "Simulated data" in tab.words(), "the demo must say that it is simulated"
    tabs = re.search(r'key="([\w-]+-tabs)"', (ROOT / "app" / entry.path.stem / "page.py").read_text("utf-8"))
    assert tabs, "a page keeps its details in tabs with a key that ends in -tabs"
    tab.app.session_state[tabs[1]] = "How this is computed"
    tab.run()
    assert "Reference: " in tab.words()
    assert "What this does not show: " in tab.words()


def test_navigation_lists_only_pages_that_exist() -> None:
    assert PAGES[0].file == "scan.py"
    assert all(entry.path.is_file() for entry in PAGES)
    assert len({entry.url for entry in PAGES}) == len(PAGES)


def test_every_tab_of_the_scan_page_can_be_opened(open_page: Open) -> None:
    tab = open_page("scan.py")
    for name in ("Traces", "Parcels", "Quality and origin", "Export", "Carpet"):
        tab.app.session_state["scan-tabs"] = name
        tab.run()
    assert set(tab.scripts("scan")) == {"signal", "dvars"}, "nothing told the signal to noise of a table"


def test_demo_recordings_can_be_chosen(open_page: Open) -> None:
    tab = open_page("scan.py")
    first = tab.who.key
    tab.widget("selectbox", "ready-").set_value(2)
    tab.run()
    assert tab.who.demo_index == 2 and tab.who.key != first
    assert "simulated-3" in tab.words()


def test_dropped_table_with_its_tr_is_in_hand_and_leaves_the_drop_zone(open_page: Open) -> None:
    tab = open_page("scan.py")
    tab.widget("number_input", "tr-").set_value(2.0)
    tab.widget("file_uploader", "drop-").set_value(("mine_424.csv", table(), "text/csv"))
    tab.run().settle()
    recording = tab.who.recording
    assert recording is not None and recording.provenance.source_name == "mine_424.csv"
    assert (recording.n_parcels, recording.n_timepoints, recording.tr_s) == (424, 90, 2.0)
    zone = tab.widget("file_uploader", "drop-").value
    assert zone.file_id in tab.who.read_uploads and not tab.who.jobs, "read once"
    assert "Simulated data" not in tab.words()
    tab.app.session_state["scan-tabs"] = "Traces"
    tab.run().run()
    assert tab.who.recording is recording, "a later run brought another recording back"
    tab.widget("selectbox", "ready-").set_value(1)
    tab.run()
    assert "simulated-2" in tab.words()


def test_table_without_tr_is_asked_for_it_in_place(open_page: Open) -> None:
    tab = open_page("scan.py")
    before = tab.who.key
    tab.widget("file_uploader", "drop-").set_value(("mine_424.csv", table(), "text/csv"))
    tab.run().settle()
    assert "repetition time" in tab.words() and tab.who.key == before
    tab.widget("number_input", "ask-tr").set_value(1.5)
    next(b for b in tab.app.button if b.label == "Read the file").click()
    tab.run().settle()
    assert tab.who.recording.tr_s == 1.5


def test_table_of_two_readings_is_asked_about_in_place(open_page: Open) -> None:
    tab = open_page("scan.py")
    before = tab.who.key
    tab.widget("number_input", "tr-").set_value(2.0)
    tab.widget("file_uploader", "drop-").set_value(("mine.csv", table(424, 360), "text/csv"))
    tab.run().settle()
    assert "could be parcels" in tab.words() and tab.who.key == before
    next(b for b in tab.app.button if b.label.startswith("Rows are volumes: 424 parcels")).click()
    tab.run().settle()
    assert tab.who.recording.signals.shape == (424, 360)


def test_confounds_that_do_not_fit_can_be_dropped_in_place(open_page: Open) -> None:
    tab = open_page("scan.py")
    tab.widget("number_input", "tr-").set_value(2.0)
    rows = b"framewise_displacement\n" + b"0.1\n" * 7
    tab.widget("file_uploader", "confounds-").set_value(("c_timeseries.tsv", rows, "text/tsv"))
    tab.widget("file_uploader", "drop-").set_value(("mine_424.csv", table(), "text/csv"))
    tab.run().settle()
    assert "7" in tab.words()
    next(b for b in tab.app.button if b.label == "Read the scan without this table").click()
    tab.run().settle()
    assert tab.who.recording.n_parcels == 424 and tab.who.recording.quality.fd_mm is None


def test_an_odd_repetition_time_is_confirmed_by_one_click(open_page: Open) -> None:
    tab = open_page("scan.py")
    lines = [b"%.2f," % (0.05 * i) + line for i, line in enumerate(table().strip().split(b"\n"))]
    odd = b"\n".join([b"time_s," + b",".join(b"%d" % i for i in range(1, 425)), *lines])
    tab.widget("file_uploader", "drop-").set_value(("mine_424.csv", odd, "text/csv"))
    tab.run().settle()
    next(b for b in tab.app.button if b.label == "It is 0.05 s").click()
    tab.run().settle()
    assert tab.who.recording.tr_s == 0.05


def test_columns_of_two_orders_are_chosen_from_a_list(open_page: Open) -> None:
    tab = open_page("scan.py")
    tab.widget("number_input", "tr-").set_value(2.0)
    tab.widget("file_uploader", "drop-").set_value(("mine.csv", table(360, 90), "text/csv"))
    tab.run().settle()
    assert "differ in order" in tab.words()
    tab.widget("selectbox", "choose-reading").set_value("HCP-MMP (Glasser 2016), left hemisphere first")
    next(b for b in tab.app.button if b.label == "Read the file").click()
    tab.run().settle()
    assert tab.who.recording.parcellation.name == "A424 cortex"


BAD = {
    "empty.csv": b"",
    "letter.docx": b"PK\x03\x04" + b"\0" * 200,
    "letter.nii.gz": b"this was a letter once " * 30,
    "wrong_columns.csv": table(77),
    "five.csv": table(424, 5),
    "<script>alert(1)</script>.csv": b"a,b\n1,x\n",
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_files_give_one_sentence_and_keep_the_recording(open_page: Open, name: str) -> None:
    tab = open_page("scan.py")
    before = tab.who.key
    tab.widget("number_input", "tr-").set_value(2.0)
    tab.widget("file_uploader", "drop-").set_value((name, BAD[name], "application/octet-stream"))
    tab.run().settle()
    words = tab.words()
    assert 'role="alert"' in words and "Traceback" not in words
    assert "<script>" not in words
    assert tab.who.key == before and "simulated-1" in words


def test_a_file_that_failed_is_not_read_again_until_something_changes(open_page: Open) -> None:
    tab = open_page("scan.py")
    tab.widget("file_uploader", "drop-").set_value(("empty.csv", b"", "text/csv"))
    tab.run().settle()
    tab.run()
    assert not tab.who.jobs


def test_two_visitors_with_equal_file_names_do_not_meet(open_page: Open) -> None:
    one, other = open_page("scan.py"), open_page("scan.py")
    for tab, seed in ((one, 1), (other, 2)):
        tab.widget("number_input", "tr-").set_value(2.0)
        tab.widget("file_uploader", "drop-").set_value(("same.csv", table(seed=seed), "text/csv"))
        tab.run().settle()
    assert one.who.recording.provenance.source_name == other.who.recording.provenance.source_name
    assert one.who.key != other.who.key
    one.run()
    assert not np.array_equal(one.who.recording.signals, other.who.recording.signals)


@pytest.mark.slow
def test_networks_fill_in_and_name_every_baseline(open_page: Open) -> None:
    tab = open_page("networks.py")
    assert "…" in tab.words(), "the page must be there before the scores"
    tab.settle()
    words = tab.words()
    assert "…" not in words.split('class="b-strip"')[1].split("</div>")[0]
    for name in ("Random weights", "Functional connectivity", "Coordinates alone", "Group connectivity"):
        assert name in words
    assert "\u202f% of parcels" in words
    assert "0.588" not in words, "a figure of other data and another protocol is no bar for this picture"
    for name in ("Layers and heads", "Scores", "Networks", "Export"):
        tab.app.session_state["net-tabs"] = name
        tab.run()
    tab.app.session_state["net-k"] = 5
    tab.run().settle()
    scripts = tab.scripts("net")
    assert set(scripts) == {"networks", "network-scores"}
    assert "n_networks=5" in scripts["networks"], "with what is set on the page"


@pytest.mark.slow
def test_choosing_parcel_layer_and_number_of_networks(open_page: Open) -> None:
    tab = open_page("networks.py").settle()
    tab.widget("selectbox", "net-parcel").set_value(7)
    tab.run().run()
    assert tab.who.picked == 7
    assert tab.app.session_state["net-shown"] == "row"
    assert "attends most to" in tab.words()
    tab.app.session_state["net-reduction"] = "layer/head"
    tab.run()
    tab.widget("selectbox", "net-head").set_value(1)
    tab.run().settle()
    tab.widget("slider", "net-k").set_value(5)
    tab.run().settle()
    tab.app.session_state["net-tabs"] = "Networks"
    tab.run()
    assert len(tab.app.dataframe[0].value) == 5


def test_a_layer_of_another_model_counts_as_all(open_page: Open) -> None:
    tab = open_page("networks.py").settle()
    for name, value in {"reduction": "layer/head", "layer": 40, "head": 2}.items():
        tab.app.session_state[f"net-{name}"] = value
    tab.run().settle()
    assert "\u202f% of parcels" in tab.words()


def test_public_example_offline_is_one_sentence(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import nilearn.datasets

    def unreachable(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(nilearn.datasets, "fetch_development_fmri", unreachable)
    tab = open_page("scan.py")
    before = tab.who.key
    tab.widget("selectbox", "ready-").set_value("public")
    tab.run().settle()
    assert "The public example cannot be downloaded now" in tab.words() and tab.who.key == before
    tab.run()
    assert not tab.who.jobs, "a failed download must not start again by itself"


def test_paths_outside_the_allowed_folders_are_refused(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINLM_ROOTS", str(tmp_path))
    monkeypatch.setattr("app.scan.drop_zone.started_locally", lambda: True)
    (tmp_path / "mine.csv").write_bytes(table())
    tab = open_page("scan.py")
    tab.widget("selectbox", "ready-").set_value("path")
    tab.run()
    for text, words in (("/etc/passwd", "no readable file or folder"), ("mine.csv", "no readable file")):
        path = next(w for w in tab.app.text_input if w.label.startswith("File or run folder"))
        path.set_value(text)
        next(b for b in tab.app.button if b.label == "Open").click()
        tab.run().settle()
        assert words in tab.words()
    path = next(w for w in tab.app.text_input if w.label.startswith("File or run folder"))
    path.set_value(str(tmp_path / "mine.csv"))
    next(b for b in tab.app.button if b.label == "Open").click()
    tab.run().settle()
    assert "repetition time" in tab.words()


def test_missing_weights_leave_the_known_networks_and_one_sentence(open_page: Open, tmp_path: Path) -> None:
    tab = open_page("networks.py", model=str(tmp_path)).settle()
    words = tab.words()
    assert 'role="alert"' in words
    assert "the known networks are shown" in words
    assert not tab.who.jobs


def test_licence_is_asked_for_before_published_weights(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path))
    tab = open_page("scan.py")
    tab.widget("radio", "model-name").set_value("13m")
    tab.run()
    assert tab.who.model.name == "default", "nothing may be switched before the licence is accepted"
    assert "CC BY-NC-ND" in tab.words()
    tab.widget("button", "model-accept-licence").click()
    tab.run()
    assert tab.who.model.name == "13m" and tab.who.model.licence_accepted
