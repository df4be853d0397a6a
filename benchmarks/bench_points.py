"""40,000 recordings on the Embeddings page: messages, frames while zooming and moving, lasso to answer.

``python benchmarks/bench_points.py`` prints one JSON object and ends with 1 where a promise is broken.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser_tools import ROOT, open_browser, start_streamlit

#: What is promised: time of a frame in ms, largest message in bytes.
FRAME_MS, MESSAGE_BYTES = 100.0, 20e6
FIND = """[...document.querySelectorAll("[data-testid^=stBidiComponent]")]
    .map((h) => (h.shadowRoot ?? h).querySelector(".pv")?.pointsView).find(Boolean)"""
#: From the event of wheel or pointer to the drawn pixels, 40 times.
FRAMES = f"""async (what) => {{
  const view = {FIND}, map = view.maps[0], times = [], pixel = new Uint8Array(4);
  const box = map.host.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
  const pointer = (kind, dx) => map.host.dispatchEvent(
    new PointerEvent(kind, {{ clientX: x + dx, clientY: y, pointerId: 1, button: 0, bubbles: true }}));
  map.host.setPointerCapture = () => {{}};  // there is no real pointer
  if (what === "move") {{ view.root.querySelector("[data-tool=move]").click(); pointer("pointerdown", 0); }}
  for (let i = 0; i < 40; i++) {{
    const start = performance.now();
    if (what === "move") pointer("pointermove", 5 * i);
    else if (what === "hover") pointer("pointermove", 5 * i);
    else map.host.dispatchEvent(
      new WheelEvent("wheel", {{ clientX: x, clientY: y, deltaY: i % 2 ? 150 : -180, cancelable: true }}));
    map.gl.readPixels(0, 0, 1, 1, map.gl.RGBA, map.gl.UNSIGNED_BYTE, pixel);  // waits until it is drawn
    times.push(performance.now() - start);
    await new Promise((done) => requestAnimationFrame(done));
  }}
  if (what === "move") {{ pointer("pointerup", 200); view.root.querySelector("[data-tool=lasso]").click(); }}
  view.reset();
  return times;
}}"""


def frames(page: Any, what: str) -> dict[str, float]:
    """Return the median and the 95th percentile of a frame in ms."""
    times = page.evaluate(FRAMES, what)
    return {"median": round(statistics.median(times), 1), "p95": round(sorted(times)[37], 1)}


def main() -> int:
    """Measure and print; return 1 where a promise is broken."""
    with start_streamlit(ROOT / "benchmarks" / "points_app.py") as app, open_browser() as browser:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(600_000)
        sizes: list[int] = [0]

        def listen(socket: Any) -> None:
            socket.on("framereceived", lambda data: sizes.append(len(data)))
            socket.on("framesent", lambda data: sizes.append(len(data)))

        page.on("websocket", listen)
        start = time.perf_counter()
        page.goto(f"{app.url}/embeddings")
        page.wait_for_function(f"() => ({FIND})?.root.dataset.drawn")
        first = time.perf_counter() - start
        page.get_by_text("Your scan.").wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        measured = {what: frames(page, what) for what in ("zoom", "move", "hover")}
        box = page.locator(".map").bounding_box()
        x, y, w, h = (box[k] for k in ("x", "y", "width", "height"))
        page.mouse.move(x + 0.05 * w, y + 0.2 * h)
        page.mouse.down()
        for fx, fy in ((0.95, 0.2), (0.95, 0.95), (0.05, 0.95)):
            page.mouse.move(x + fx * w, y + fy * h, steps=4)
        start = time.perf_counter()
        page.mouse.up()
        page.get_by_text("recordings of", exact=False).filter(has_text="people.").first.wait_for()
        chosen = page.evaluate(f"() => ({FIND}).data.selected.reduce((a, b) => a + b, 0)")
        page.get_by_text(f"{chosen} recordings of").wait_for()
        lasso = time.perf_counter() - start
        start = time.perf_counter()
        page.get_by_label("Colour by").click()
        page.get_by_role("option", name="Site").click()
        page.wait_for_function(f"() => ({FIND}).data.colour.name === 'Site'")
        colour = time.perf_counter() - start
        points = page.evaluate(f"() => ({FIND}).data.ids.length")
    told = {
        "points": points,
        "largest_message_mb": round(max(sizes) / 1e6, 2),
        "first_picture_s": round(first, 1),
        "frame_ms": measured,
        "lasso": {"selected": chosen, "to_answer_s": round(lasso, 2)},
        "other_colour_s": round(colour, 2),
    }
    print(json.dumps(told))
    kept = max(sizes) <= MESSAGE_BYTES and all(m["median"] <= FRAME_MS for m in measured.values())
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
