"""Take the pictures of README and documentation from the running dashboard: ``make screenshots``.

Each page is opened by a fresh visitor on the bundled simulated data, in light and in dark, and
waited for until nothing is computed any more.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from brainlm_core.features.perturb.scenario import Action, Scenario, Target  # noqa: E402
from tests.browser_tools import brain, open_browser, start_streamlit  # noqa: E402

#: Nothing is computed or loaded: no progress line, no skeleton, no run of the script.
IDLE = """() => !document.querySelector("[role=progressbar], [data-testid=stSkeleton]")
    && document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning" """
#: It must stay so for this long, in ms: a page starts its next piece of work in a run of its own.
CALM_MS = 4000
PATIENCE_MS = 450_000
#: What the Perturb page shows.
SCENARIO = Scenario(
    (Action(Target(network="Default"), "add", amplitude_sd=2.0, onset_s=86.4, duration_s=28.8),)
)


@dataclass(frozen=True)
class Shot:
    """One picture, taken in light and in dark.

    Parameters
    ----------
    name : str
        ``docs/img/NAME-light.webp`` and ``NAME-dark.webp``.
    url : str
        Page, with its query.
    prepare : callable (page) or None
        What a visitor does before the picture is taken.
    size : tuple of int
        Width and height of the window, in px.
    """

    name: str
    url: str
    prepare: Callable[[Any], None] | None = None
    size: tuple[int, int] = (1440, 1000)


def _later(page: Any) -> None:
    """Move the clock to a moment at which much happens."""
    brain(page, "view.clock.seek(120)")


def _refused(page: Any) -> None:
    """Drop a file that is no scan."""
    file = {"name": "notes.nii.gz", "mimeType": "application/gzip", "buffer": b"this is not a scan"}
    page.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(file)
    page.get_by_text("The picture below is still the recording you had before.").wait_for()


def _row(page: Any) -> None:
    """Show the attention of one parcel beside its connectivity."""
    page.get_by_text("Attention of a parcel", exact=True).click()
    page.get_by_text("Attention says what the model reads").wait_for()


def _patients(page: Any) -> None:
    """Select a group by its name in the legend, and compare it with the rest."""
    page.get_by_role("button", name="patient").click()
    page.get_by_role("tab", name="Selected against the rest").click()
    page.get_by_text("selected people against").wait_for()


SHOTS = (
    Shot("scan", "", _later),
    Shot("scan-refused", "", _refused),
    Shot("networks", "networks"),
    Shot("networks-row", "networks", _row),
    Shot("forecast", "forecast"),
    Shot("perturb", f"perturb?s={SCENARIO.to_url()}"),
    Shot("embeddings", "embeddings", _patients),
    Shot("model", "model"),
)


def _settle(page: Any) -> None:
    """Wait until the page has been idle for :data:`CALM_MS`."""
    page.evaluate("window.calmSince = undefined")
    page.wait_for_function(
        f"""() => {{ const idle = ({IDLE})(), now = performance.now();
            if (!idle) window.calmSince = undefined;
            else window.calmSince ??= now;
            return idle && now - window.calmSince > {CALM_MS}; }}""",
        timeout=PATIENCE_MS,
    )


def take(browser: Any, address: str, shot: Shot, theme: str, folder: Path) -> Path:
    """Take one picture; WebP keeps hues as a palette does not, at a third of PNG's size."""
    context = browser.new_context(
        viewport={"width": shot.size[0], "height": shot.size[1]}, color_scheme=theme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/{shot.url}")
    _settle(page)
    if shot.prepare is not None:
        shot.prepare(page)
        _settle(page)
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    context.close()
    path = folder / f"{shot.name}-{theme}.webp"
    picture.save(path, quality=92, method=6)
    return path


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ", ".join(shot.name for shot in SHOTS)
    parser.add_argument("names", nargs="*", help=f"which ones (default: all of {known})")
    parser.add_argument("--themes", nargs="+", choices=("light", "dark"), default=("light", "dark"))
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "img")
    args = parser.parse_args()
    unknown = set(args.names) - {shot.name for shot in SHOTS}
    if unknown:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    args.output.mkdir(parents=True, exist_ok=True)
    with start_streamlit(ROOT / "app" / "main.py") as app, open_browser() as browser:
        for shot in SHOTS:
            if args.names and shot.name not in args.names:
                continue
            for theme in args.themes:
                path = take(browser, app.url, shot, theme, args.output)
                sys.stdout.write(f"{path} ({path.stat().st_size / 1000:.0f} kB)\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
