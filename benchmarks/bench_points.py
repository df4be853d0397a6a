"""40,000 points in the browser: message size, time of a frame while zooming, time from lasso to answer.

``python benchmarks/bench_points.py`` prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser_tools import ROOT, open_browser, start_streamlit

FIND = """[...document.querySelectorAll("[data-testid^=stBidiComponent]")]
    .map((h) => (h.shadowRoot ?? h).querySelector(".pv")?.pointsView).find(Boolean)"""
ZOOM = f"""async () => {{
  const view = {FIND}, map = view.maps[0], times = [];
  const pixel = new Uint8Array(4);
  for (let i = 0; i < 40; i++) {{
    const start = performance.now();
    map.zoom *= i % 2 ? 1.3 : 1 / 1.25;
    map.draw();
    map.gl.readPixels(0, 0, 1, 1, map.gl.RGBA, map.gl.UNSIGNED_BYTE, pixel);  // waits until it is drawn
    times.push(performance.now() - start);
  }}
  map.zoom = 1;
  return times;
}}"""


def main() -> None:
    """Measure and print."""
    with start_streamlit(ROOT / "benchmarks" / "points_app.py") as app, open_browser() as browser:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(120_000)
        start = time.perf_counter()
        page.goto(app.url)
        page.wait_for_function(f"() => ({FIND})?.root.dataset.drawn")
        first = time.perf_counter() - start
        text = page.get_by_text("message").inner_text()
        frames = page.evaluate(ZOOM)
        box = page.locator(".map").bounding_box()
        x, y, w, h = (box[k] for k in ("x", "y", "width", "height"))
        page.mouse.move(x + 0.05 * w, y + 0.2 * h)
        page.mouse.down()
        for fx, fy in ((0.95, 0.2), (0.95, 0.95), (0.05, 0.95)):
            page.mouse.move(x + fx * w, y + fy * h, steps=4)
        start = time.perf_counter()
        page.mouse.up()
        page.wait_for_function("() => /selected [1-9]/.test(document.body.innerText)")
        print(
            json.dumps(
                {
                    "points": page.evaluate(f"() => ({FIND}).data.ids.length"),
                    "message_bytes": int(text.split()[1]),
                    "first_picture_s": round(first, 2),
                    "zoom_frame_ms_median": round(statistics.median(frames), 1),
                    "zoom_frame_ms_p95": round(sorted(frames)[37], 1),
                    "lasso_to_answer_s": round(time.perf_counter() - start, 2),
                }
            )
        )


if __name__ == "__main__":
    main()
