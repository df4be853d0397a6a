"""The Perturb page under a real mouse, with the default model: what a visitor waits for, as a table.

The sliders' first-order picture is script alone; the exact answer travels to the server and back. Run it
on a quiet machine::

    python benchmarks/bench_perturb_view.py [--drags 60] [--releases 5] [--whole] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser_tools import brain, open_browser, start_streamlit  # noqa: E402

FIND = """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .map((host) => host.shadowRoot?.querySelector(".pv")?.perturbView).find(Boolean)"""
#: Rows of the table: key, what it is, what the page promises on two cores.
ROWS = (
    ("first_paint_s", "brain on screen, s", None),
    ("first_answer_s", "first exact answer, model loaded, s", None),
    ("sliders_s", "every slider moves the brain, s", None),
    ("script_ms_per_drag_median", "script per drag, handler, median, ms", 16.0),
    ("script_ms_per_drag_p95", "script per drag, handler, 95 %, ms", 16.0),
    ("browser_script_ms_per_drag", "script per drag, all of the browser's, ms", 16.0),
    ("messages_while_dragging", "messages to the server while dragging", 0.0),
    ("release_to_exact_s", "release to exact answer on the brain, two mask draws, median, s", None),
    ("companions_s", "null of 200 sets and all companions, s", None),
)


class Tab:
    """One visitor's tab; counts what is sent and knows the component as ``view``."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 1000})
        self.page = self.context.new_page()
        self.page.set_default_timeout(600_000)
        self.sent = 0
        self.page.on("websocket", lambda socket: socket.on("framesent", self._count))
        self.session = self.context.new_cdp_session(self.page)
        self.session.send("Performance.enable")

    def _count(self, _: Any) -> None:
        self.sent += 1

    def script_s(self) -> float:
        """Return the browser's running total of script time in s."""
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return float(next(m["value"] for m in metrics if m["name"] == "ScriptDuration"))

    def js(self, expression: str) -> Any:
        """Evaluate with ``view`` bound to the component."""
        return self.page.evaluate(f"() => {{ const view = ({FIND})(); return {expression}; }}")

    def wait(self, condition: str) -> None:
        """Wait until a condition on ``view`` holds."""
        self.page.wait_for_function(
            f"() => {{ const view = ({FIND})(); return view?.header && ({condition}); }}"
        )

    def grab(self, row: str) -> tuple[float, float, float]:
        """Press the mouse on a slider's thumb; return x, y and the width of its way."""
        slider = self.page.locator(f'input[data-row="{row}"]')
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        share = slider.evaluate("(x) => (x.valueAsNumber - x.min) / (x.max - x.min)")
        x, y, width = (
            box["x"] + 10 + share * (box["width"] - 20),
            box["y"] + box["height"] / 2,
            box["width"] - 20,
        )
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        return x, y, width


def run(drags: int = 60, releases: int = 5, *, whole: bool = False, threads: int = 2) -> dict[str, float]:
    """Measure the page.

    Parameters
    ----------
    drags : int
        Mouse moves on a slider.
    releases : int
        Exact answers waited for.
    whole : bool
        Wait for the null too.
    threads : int
        That the server may use for the model.

    Returns
    -------
    dict
        Keys of :data:`ROWS`.
    """
    limit = {"OMP_NUM_THREADS": str(threads)}
    out: dict[str, float] = {}
    with start_streamlit(ROOT / "app" / "main.py", environment=limit) as app, open_browser() as browser:
        tab = Tab(browser)
        tab.page.goto(f"{app.url}/")  # the server's first run is not the page's
        brain(tab.page, "true")
        began = time.perf_counter()
        tab.page.goto(f"{app.url}/perturb")
        tab.page.wait_for_function(f"() => ({FIND})()?.brain.root.dataset.drawn")
        out["first_paint_s"] = time.perf_counter() - began
        tab.wait("view.root.dataset.picture === 'exact'")
        out["first_answer_s"] = time.perf_counter() - began
        tab.wait("view.header.rows.every((row) => row.blocked || row.nodes.length >= 6)")
        out["sliders_s"] = time.perf_counter() - began
        if whole:
            began = time.perf_counter()
            tab.wait("'z' in view.header.maps")
            out["companions_s"] = time.perf_counter() - began
        else:
            tab.page.get_by_role("button", name="Cancel").click()  # nothing but the hand shall be at work
        tab.page.wait_for_timeout(2000)
        out |= _drag(tab, drags)
        out["release_to_exact_s"] = statistics.median(_release(tab, i) for i in range(releases))
        tab.context.close()
    return out


def _drag(tab: Tab, n: int) -> dict[str, float]:
    x, y, width = tab.grab("n:Default")
    tab.page.mouse.move(x + 2, y)
    tab.js("(view.stats.dragMs = [], view.stats.drags = 0)")
    sent, script = tab.sent, tab.script_s()
    for step in range(1, n + 1):
        tab.page.mouse.move(x + width * 0.45 * step / n, y)
        tab.page.evaluate("() => new Promise(requestAnimationFrame)")
    script = tab.script_s() - script
    count = max(1, int(tab.js("view.stats.drags")))
    times = sorted(tab.js("view.stats.dragMs"))
    sent = tab.sent - sent
    tab.page.mouse.up()
    tab.wait("view.root.dataset.picture === 'exact'")
    return {
        "drags": count,
        "script_ms_per_drag_median": times[len(times) // 2],
        "script_ms_per_drag_p95": times[int(len(times) * 0.95)],
        "browser_script_ms_per_drag": 1000 * script / count,
        "messages_while_dragging": sent,
    }


def _release(tab: Tab, i: int) -> float:
    """Move one slider to a new place, let go, and wait for the exact answer on the brain."""
    row = ("n:Limbic", "n:Somatomotor")[i % 2]
    x, y, width = tab.grab(row)
    tab.page.mouse.move(x + width * (0.11 + 0.03 * i) * (1 if i < 2 else -1), y, steps=3)
    began = time.perf_counter()
    tab.page.mouse.up()
    tab.wait("view.root.dataset.picture === 'exact'")
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--drags", type=int, default=60, help="mouse moves on a slider (60)")
    parser.add_argument("--releases", type=int, default=5, help="exact answers waited for (5)")
    parser.add_argument("--whole", action="store_true", help="wait for the null and all companions too")
    parser.add_argument("--threads", type=int, default=2, help="that the server may use (2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    found = run(arguments.drags, arguments.releases, whole=arguments.whole, threads=arguments.threads)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{'':66}{'measured':>10}{'promised':>10}")
    for key, words, promised in ROWS:
        if key in found:
            limit = "" if promised is None else f"≤ {promised:g}"
            print(f"{words:66}{found[key]:>10.2f}{limit:>10}")


if __name__ == "__main__":
    main()
