"""A report: whole, self-contained, small, nobody's name, no foreign markup, every figure made again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.licences import LICENCES
from brainlm_core.cli import main
from brainlm_core.inference import weights
from brainlm_core.report import Contents, NotMade, figures_of, page_html
from brainlm_core.report import script as scripts
from brainlm_core.report.charts import Line, line_chart
from brainlm_core.report.contents import default_scenario
from brainlm_core.report.figures import FIGURES, make
from brainlm_core.report.reproduce import signals_digest
from brainlm_core.scans.demo import demo_recordings
from brainlm_core.viz.transport import unpack


class Tags(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def block(page: str, name: str) -> bytes:
    found = re.search(rf'id="data-{name}">([A-Za-z0-9+/=]+)<', page)
    assert found, f"no block {name}"
    return gzip.decompress(base64.b64decode(found[1]))


def test_report_is_one_small_file_that_needs_nothing_else(page: str) -> None:
    assert len(page.encode()) <= 5e6
    for tag, attributes in Tags(page).found:
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, value)
    assert not re.search(r"@import|url\((?!data:)", page)
    code = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert code
    digest = base64.b64encode(hashlib.sha256(code[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page, "only the page's own script may run"
    assert "default-src 'none'" in page


def test_report_holds_every_section_and_its_baselines(page: str, contents: Contents) -> None:
    said = html.unescape(page)
    for figure in figures_of(contents):
        assert html.escape(figure.title) in page and f"Not shown: {figure.not_shown}" in said
    here = {name for name, kind in FIGURES.items() if hasattr(contents, kind.section)}
    assert {f.name for f in figures_of(contents)} == here - {"dvars", "quality", "slices"}, "a table"
    for words in ("Random weights", "Functional connectivity", "Coordinates alone", "Ridge VAR", "Own AR"):
        assert words in said, words
    assert said.count("Not for diagnosis.") >= 2
    for row in LICENCES:
        assert row.part in said and row.terms in said


def test_origin_names_every_digest_and_setting(page: str, contents: Contents) -> None:
    said = html.unescape(page)
    recording = contents.recording
    assert recording.provenance.sha256 in said
    assert signals_digest(recording) in said
    assert weights.digest("default") in said
    weights_file = weights.default_folder() / "model.safetensors"
    assert weights.digest("default") == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    for options in (contents.options.networks, contents.options.forecast):
        for key, value in options.to_dict().items():
            assert f'"{key}": {json.dumps(value)}' in said
    assert '"seed": 0' in said and "torch" in said


def test_nobody_is_named_and_no_markup_comes_through(page: str) -> None:
    plain = page + "".join(block(page, n).decode("latin-1") for n in ("parcellation", "networks", "signal"))
    for word in ("Mustermann", "Erika", "19640812"):
        assert word not in plain, word
    tags = Tags(page).found
    assert [a.get("type") for t, a in tags if t == "script"].count("module") == 1
    assert all(a.get("type") in ("module", "application/octet-stream") for t, a in tags if t == "script")
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert all(str(a.get("src", "")).startswith("data:image/png") for t, a in tags if t == "img")
    assert "&lt;script&gt;alert(3)&lt;/script&gt;" in page, "the label is shown as the text it is"
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_brains_in_the_page_hold_the_figures_numbers(page: str, contents: Contents) -> None:
    for figure in figures_of(contents):
        if not figure.panels:
            continue
        header, arrays = unpack(block(page, figure.name))
        for i, panel in enumerate(figure.panels):
            np.testing.assert_array_equal(arrays[f"panel{i}"], panel.values.ravel())
            np.testing.assert_array_equal(figure.data[f"panel{i}"], panel.values)
            assert header["panels"][i]["title"] == panel.title


def test_a_section_that_the_recording_cannot_fill_says_why(contents: Contents) -> None:
    from dataclasses import replace

    reason = NotMade("Too short <b>here</b>; record longer.")
    text = page_html(replace(contents, forecast=reason, perturbation=reason)).decode()
    assert text.count("Not computed. Too short &lt;b&gt;here&lt;/b&gt;; record longer.") == 2
    assert 'data-figure="forecast"' not in text and 'data-figure="networks"' in text


def test_refusals_become_sentences_and_defects_do_not() -> None:
    from brainlm_core.report.contents import _section

    def refuse() -> None:
        raise AnalysisError("nothing varies", "record longer")

    def break_down() -> None:
        raise ZeroDivisionError

    assert _section(None, refuse) == NotMade("Nothing varies; record longer.")
    assert _section(3, refuse) == 3, "what is known is not computed again"
    with pytest.raises(ZeroDivisionError):
        _section(None, break_down)


def test_modules_are_put_together_whole() -> None:
    code = scripts.page_script()
    for name in ("report.js", "view.js", "renderer.js", "transport.js"):
        assert f"// {name}\n" in code
    assert code.index("// transport.js") < code.index("// view.js") < code.index("// report.js")
    assert not re.search(r"^\s*(import|export)\b(?!\.meta)", code, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    [
        'import view from "./view.js";',
        "export default class A {}",
        'export * from "./a.js";',
        "a = '</script>'",
    ],
)
def test_forms_that_would_be_lost_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="reports cannot carry"):
        scripts._wrapped("a.js", text)


def test_default_scenario_fits_every_parcellation() -> None:
    parcels = demo_recordings()[0].parcellation
    assert default_scenario(parcels).actions[0].targets.network == "Visual"
    from brainlm_core.base.atlas import from_coordinates

    plain = from_coordinates("mine", parcels.names[-40:], parcels.xyz[-40:])
    default_scenario(plain).actions[0].targets.rows(plain)


def test_unknown_figure_is_refused(contents: Contents) -> None:
    with pytest.raises(ConfigError, match="no figure 'nope'"):
        make("nope", contents.recording)
    with pytest.raises(ConfigError, match="holds no dvars"):
        make("dvars", contents.recording)


def test_line_chart_leaves_gaps_and_keeps_to_its_axis() -> None:
    y = np.array([0.0, np.nan, 1.0, 5.0])
    drawn = line_chart(
        [0, 1, 2, 3],
        [Line("<a>", y, ("#000000", "#ffffff"), dots=True)],
        x_title="Time (s)",
        y_title="<y>",
        said='say "it"',
        y_limits=(0.0, 1.0),
    )
    assert drawn.count("<polyline") == 2 and drawn.count("<circle") == 3
    assert "<a>" not in drawn and "<y>" not in drawn and 'say "it"' not in drawn
    heights = [float(cy) for cy in re.findall(r'cy="([\d.]+)"', drawn)]
    assert heights[1] == heights[2] == min(heights), "what lies beyond the axis is drawn at its end"


def test_command_refuses_an_impossible_place_before_it_computes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["report", "demo", "-o", str(tmp_path)]) == 2
    assert main(["report", "demo", "-o", str(tmp_path / "no" / "r.html")]) == 2
    assert capsys.readouterr().err.count("cannot be written; name a file in a folder that exists") == 2
