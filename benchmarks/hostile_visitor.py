"""One hostile visitor among eight: ``python benchmarks/hostile_visitor.py``.

The hostile one drops every file of ``tests/hostile`` on the dashboard, in a browser, one after the other; the
others turn pages meanwhile, without a browser, so that what is timed is the server's part. Exit code 1 when a
file has no answer, a page an error, or the server's log a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.async_api import TimeoutError

from benchmarks.load_visitors import LightVisitor, server_of, spread
from benchmarks.memory_of_tree import peak_of_tree
from tests.browser_tools import ROOT, App, chromium_path, start_streamlit
from tests.hostile.test_hostile_files import ATTACKS

#: Longest wait for an answer, in s: what comes later is none.
PATIENCE_S = 60.0
#: Where the page says what became of a file: refused by the reader, or by the drop zone itself.
ANSWER = ".st-key-scan-work [role=alert], [data-testid=stFileChip][aria-invalid=true], [data-testid=stAlert]"


@dataclass(frozen=True)
class Attack:
    """What one hostile file came to.

    Parameters
    ----------
    title, said : str
        The attack, and the page's answer to it; empty where there was none.
    size_mb : float
    seconds : float
        From the drop to the answer, upload included.
    peak_mb : float
        Memory of the server and its children above their level before.
    """

    title: str
    said: str
    size_mb: float
    seconds: float
    peak_mb: float


def made(folder: Path) -> list[tuple[str, Path]]:
    """Write the hostile files that are one file and can be uploaded; each in a folder of its own."""
    files = []
    for k, (title, (make, _)) in enumerate(ATTACKS.items()):
        (folder / str(k)).mkdir()
        path = make(folder / str(k))
        if path.is_file() and not title.startswith("sidecar"):  # a browser sends no sidecar
            files.append((title, path))
    return files


class HostileVisitor:
    """Drops one hostile file after the other.

    Parameters
    ----------
    url : str
    server : psutil.Process
    """

    def __init__(self, url: str, server: psutil.Process) -> None:
        self.url, self.server = url, server
        self.attacks: list[Attack] = []

    async def stay(self, browser: Any) -> None:
        """Drop the whole set."""
        with tempfile.TemporaryDirectory() as folder:
            files = await asyncio.to_thread(made, Path(folder))
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            tab = await context.new_page()
            tab.set_default_timeout(1000 * PATIENCE_S)
            await tab.goto(self.url)
            await tab.locator("input[type=file]").first.wait_for(state="attached")
            for title, path in files:
                self.attacks.append(await self._drop(tab, title, path))
            await context.close()

    async def _drop(self, tab: Any, title: str, path: Path) -> Attack:
        keep = tab.get_by_role("button", name="Keep the recording in hand")
        for _ in range(5):  # a click in the moment in which the page is drawn anew reaches nobody
            if await keep.count():
                await keep.first.click()
                with contextlib.suppress(TimeoutError):
                    await keep.first.wait_for(state="detached", timeout=10_000)
        with peak_of_tree(self.server, every_s=0.1) as peak:
            start = time.monotonic()
            await tab.locator("input[type=file]").first.set_input_files(path)
            try:
                answer = tab.locator(ANSWER).first
                await answer.wait_for()
                said = " ".join((await answer.inner_text()).split())
            except Exception as error:
                said = "" if "Timeout" in type(error).__name__ else f"{type(error).__name__}"
            seconds = time.monotonic() - start
        return Attack(title, said, path.stat().st_size / 1e6, seconds, peak.above_mb)

    def figures(self) -> dict[str, Any]:
        """Return the largest figures, whose they are, and what had no answer."""
        slow, large = (max(self.attacks, key=lambda a, k=k: getattr(a, k)) for k in ("seconds", "peak_mb"))
        return {
            "files": len(self.attacks),
            "without answer": [a.title for a in self.attacks if not a.said],
            "longest": asdict(slow),
            "largest": asdict(large),
        }


async def among(app: App, others: int) -> dict[str, Any]:
    """Let the others turn pages while the hostile one drops the set; return the figures."""
    from playwright.async_api import async_playwright

    server = server_of(app)
    hostile, rest = HostileVisitor(app.url, server), [LightVisitor(app.url) for _ in range(others)]
    async with async_playwright() as playwright:
        chromium = chromium_path() or playwright.chromium.executable_path
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        turning = [asyncio.create_task(v.stay(float("inf"))) for v in rest]
        await asyncio.sleep(20)  # everybody is in, and the server has loaded what it needs once
        for visitor in rest:
            visitor.tally.pages.clear()
        await hostile.stay(browser)
        for task in turning:
            task.cancel()
        await browser.close()
    log = app.log.read_text(errors="replace")
    return {
        "others": others,
        "cores": psutil.cpu_count(),
        "page_s": spread([s for v in rest for s in v.tally.pages]),
        "errors": [e for v in rest for e in v.tally.errors],
        "server_errors": [line for line in log.splitlines() if "Traceback" in line],
        **hostile.figures(),
        "attacks": [asdict(a) for a in hostile.attacks],
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--others", type=int, default=7, help="visitors who turn pages meanwhile (7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, every attack in it")
    args = parser.parse_args()
    with start_streamlit(ROOT / "app" / "main.py") as app:
        found = asyncio.run(among(app, args.others))
    if args.json:
        print(json.dumps(found))
    else:
        longest, largest = found["longest"], found["largest"]
        print(f"{found['files']} hostile files, without answer: {found['without answer'] or 'none'}")
        print(f"  longest to the answer  {longest['seconds']:.1f} s ({longest['title']})")
        print(f"  memory above before    {largest['peak_mb']:.0f} MB ({largest['title']})")
        turns = "  ".join(f"{k} {v}" for k, v in found["page_s"].items())
        print(f"{found['others']} others turned pages: {turns} (s); errors {len(found['errors'])}")
        print(f"tracebacks in the server's log: {len(found['server_errors'])}")
    return 1 if found["without answer"] or found["errors"] or found["server_errors"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
