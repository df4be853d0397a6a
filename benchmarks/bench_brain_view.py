"""The brain view in a real browser, beside the same surface as a Plotly animation.

Both pages show both hemispheres of fsaverage5 coloured by 424 parcels over the same frames, in the
same Chromium, one after the other. Run it on a quiet machine::

    python benchmarks/bench_brain_view.py [--frames 60] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser_tools import App, brain, open_browser, start_streamlit  # noqa: E402

_DATA = """
import numpy as np, streamlit as st
from brainlm_core.base.atlas import a424
st.set_page_config(layout="wide")
p = a424()
n = int(st.query_params["frames"])
t = np.arange(n) * 0.72
frames = np.sin(p.position[:, 1][None] / 30 - t[:, None]).astype(np.float32)
"""
OURS = (
    _DATA
    + """
from app.components.brain_view import BrainPanel, brain_view
brain_view([BrainPanel("Wave", frames, limits=(-1, 1))], p, key="brain", times_s=t,
           view=st.query_params.get("view", "overview"))
"""
)
PLOTLY = (
    _DATA
    + """
import plotly.graph_objects as go
from brainlm_core.base.paths import assets_dir
with np.load(assets_dir() / "fsaverage5.npz") as s:
    xyz = np.concatenate([s["pial_left"], s["pial_right"]])
    ijk = np.concatenate([s["faces_left"].astype(int), s["faces_right"].astype(int) + 10242])
def mesh(values):
    v = np.append(values, 0)[p.vertex_labels].astype(np.float32)  # the cut surface is drawn as zero
    return {"intensity": v}
figure = go.Figure(go.Mesh3d(x=xyz[:, 0], y=xyz[:, 1], z=xyz[:, 2], i=ijk[:, 0], j=ijk[:, 1], k=ijk[:, 2],
                             cmin=-1, cmax=1, colorscale="RdBu", **mesh(frames[0])))
figure.frames = [go.Frame(data=[go.Mesh3d(**mesh(f))], name=str(i)) for i, f in enumerate(frames)]
play = {"label": "play", "method": "animate", "args": [None, {"frame": {"duration": 0, "redraw": True},
        "transition": {"duration": 0}, "mode": "immediate"}]}
figure.update_layout(height=480, updatemenus=[{"type": "buttons", "buttons": [play]}])
st.plotly_chart(figure)
"""
)


class Tab:
    """A fresh page that counts what travels and what the main thread does."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900})
        self.page = self.context.new_page()
        self.socket_bytes = 0
        self.http_bytes = 0
        self.messages = 0
        self.page.on("websocket", self._watch)
        self.page.on("response", self._count)
        self.session = self.context.new_cdp_session(self.page)
        self.session.send("Performance.enable")

    def _watch(self, socket: Any) -> None:
        def received(data: Any) -> None:
            self.socket_bytes += len(data)
            self.messages += 1

        def sent(_: Any) -> None:
            self.messages += 1

        socket.on("framereceived", received)
        socket.on("framesent", sent)

    def _count(self, response: Any) -> None:
        if response.url.endswith(".bin") or "bidi-components" in response.url:
            self.http_bytes += int(response.headers.get("content-length", 0))

    def metric(self, name: str) -> float:
        """Return a running total of the browser, e.g. ``ScriptDuration`` in s."""
        values = {m["name"]: m["value"] for m in self.session.send("Performance.getMetrics")["metrics"]}
        return float(values[name])


def _ours(browser: Any, app: App, n: int) -> dict[str, float]:
    warm = Tab(browser)  # the server's first run and the browser's first shader are not the picture's
    warm.page.goto(f"{app.url}/?frames=2")
    brain(warm.page, "true")
    warm.context.close()
    tab = Tab(browser)
    began = time.perf_counter()
    tab.page.goto(f"{app.url}/?frames={n}")
    brain(tab.page, "true")
    first = time.perf_counter() - began
    tab.page.wait_for_timeout(1500)
    received = tab.socket_bytes
    calls = tab.messages
    script, task = tab.metric("ScriptDuration"), tab.metric("TaskDuration")
    seconds, times = brain(
        tab.page,
        f"""(async () => {{
        const gl = view.picture.renderer.gl, began = performance.now();
        view.stats.scriptMs = [];
        for (let f = 1; f <= {n}; f += 1) {{
            view.clock.seek(f % {n});
            await new Promise(requestAnimationFrame);
            gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); }}
        return [(performance.now() - began) / 1000, view.stats.scriptMs]; }})()""",
    )
    script, task = tab.metric("ScriptDuration") - script, tab.metric("TaskDuration") - task
    tab.page.get_by_label("Time", exact=True).focus()
    for _ in range(n - 1):
        tab.page.keyboard.press("ArrowRight")
    tab.page.wait_for_timeout(500)
    scrub = tab.messages - calls
    prepare = brain(tab.page, "view.stats.prepareMs")
    http = tab.http_bytes
    tab.context.close()
    few = Tab(browser)
    few.page.goto(f"{app.url}/?frames=2")
    brain(few.page, "true")
    few.page.wait_for_timeout(800)
    per_frame = (received - few.socket_bytes) / (n - 2)
    few.context.close()
    times = sorted(times)
    return {
        "wire_bytes_once": http,
        "wire_bytes_per_frame": per_frame,
        "first_paint_s": first,
        "prepare_ms": prepare,
        "script_ms_per_frame_median": times[len(times) // 2],
        "script_ms_per_frame_p95": times[int(len(times) * 0.95)],
        "browser_script_ms_per_frame": script / n * 1000,
        "main_thread_ms_per_frame": task / n * 1000,
        "frames_per_s": n / seconds,
        "messages_while_scrubbing": scrub,
    }


def _plotly(browser: Any, app: App, n: int) -> dict[str, float]:
    plot = "document.querySelector('.js-plotly-plot')"
    drawn = f"() => {plot}?._fullLayout?.scene?._scene?.glplot?.objects.length > 0"
    tab = Tab(browser)
    tab.page.goto(f"{app.url}/?frames=2")
    tab.page.wait_for_function(drawn, timeout=120_000)
    tab.context.close()
    tab = Tab(browser)
    began = time.perf_counter()
    tab.page.goto(f"{app.url}/?frames={n}")
    tab.page.wait_for_function(drawn, timeout=180_000)
    first = time.perf_counter() - began
    tab.page.wait_for_timeout(2000)
    received = tab.socket_bytes
    tab.page.evaluate(
        """() => { const plot = document.querySelector(".js-plotly-plot"); window.shown = 0;
        plot.on("plotly_animatingframe", () => { window.shown += 1; });
        plot.on("plotly_animated", () => { window.over = true; }); }"""
    )
    script, task = tab.metric("ScriptDuration"), tab.metric("TaskDuration")
    began = time.perf_counter()
    tab.page.locator(".updatemenu-button").first.click()
    tab.page.wait_for_function("() => window.over", timeout=300_000)
    seconds = time.perf_counter() - began
    shown = max(int(tab.page.evaluate("window.shown")), 1)
    script, task = tab.metric("ScriptDuration") - script, tab.metric("TaskDuration") - task
    tab.context.close()
    few = Tab(browser)
    few.page.goto(f"{app.url}/?frames=2")
    few.page.wait_for_function(drawn, timeout=120_000)
    few.page.wait_for_timeout(800)
    per_frame = (received - few.socket_bytes) / (n - 2)
    few.context.close()
    return {
        "wire_bytes_per_frame": per_frame,
        "first_paint_s": first,
        "browser_script_ms_per_frame": script / shown * 1000,
        "main_thread_ms_per_frame": task / shown * 1000,
        "frames_per_s": shown / seconds,
    }


def run(n_frames: int = 60, *, peer: bool = True) -> dict[str, dict[str, float]]:
    """Measure the brain view, and the Plotly page beside it.

    Parameters
    ----------
    n_frames : int
        Frames of the animation.
    peer : bool
        Measure Plotly too.
    """
    out = {}
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        for name, source, measure in (("brain view", OURS, _ours), ("plotly", PLOTLY, _plotly)):
            if name == "plotly" and not peer:
                continue
            script = Path(folder) / f"{name.replace(' ', '_')}.py"
            script.write_text(source)
            with start_streamlit(script) as app:
                out[name] = measure(browser, app, n_frames)
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=60, help="frames of the animation")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    results = run(arguments.frames)
    if arguments.json:
        print(json.dumps(results))
        return
    print(f"{'':32}{'brain view':>14}{'plotly':>14}")
    for key in results["brain view"]:
        cells = (results[name].get(key) for name in ("brain view", "plotly"))
        print(f"{key:32}" + "".join(f"{'–' if c is None else format(c, ',.2f'):>14}" for c in cells))


if __name__ == "__main__":
    main()
