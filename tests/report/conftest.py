"""One report of one recording with a hostile name, made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.recording import Recording, Step
from brainlm_core.features.forecast.plan import ForecastOptions
from brainlm_core.features.perturb.analysis import PerturbOptions
from brainlm_core.report import Contents, ReportOptions, gather, page_html
from brainlm_core.scans.demo import demo_recordings

NAME = "Mustermann_Erika_19640812.nii.gz"


@pytest.fixture(scope="session")
def hostile_recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Path]:
    """A recording whose name, steps and notices hold a person and markup, and the file it is saved in."""
    demo = demo_recordings()[0]
    provenance = replace(
        demo.provenance,
        source_name=NAME,
        simulated=False,
        steps=(
            Step("choose run", {"bold": NAME, "mask": "Mustermann_mask.nii.gz"}),
            Step("read confounds", {"file": "Mustermann_confounds.tsv", "for": "head motion"}),
            Step("match parcels", {"by": "<img src=x onerror=alert(1)>"}),
        ),
        atlas="</script><script>alert(2)</script>",
    )
    recording = replace(
        demo,
        signals=np.ascontiguousarray(demo.signals[:, :260]),
        quality=None,
        provenance=provenance,
        notices=(f"{NAME} has no <b>TR</b>.",),
    )
    path = tmp_path_factory.mktemp("recording") / "recording.npz"
    recording.save(path)
    return Recording.load(path), path


@pytest.fixture(scope="session")
def contents(hostile_recording: tuple[Recording, Path]) -> Contents:
    """Everything computed once, with a small null and a short race."""
    options = ReportOptions(
        forecast=ForecastOptions(steps=10, n_starts=6),
        null=PerturbOptions(20),
        label="<script>alert(3)</script>",
    )
    return gather(hostile_recording[0], "default", options)


@pytest.fixture(scope="session")
def page(contents: Contents) -> str:
    """The report."""
    return page_html(contents).decode()
