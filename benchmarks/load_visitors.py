"""Many visitors at once, each in a browser session of their own, with scans of equal names.

``python benchmarks/load_visitors.py --visitors 20 --minutes 5`` starts a server and a Chromium here. Each
visitor drops a scan of their own and goes round Networks, Forecast and Perturb, looking at each for some
seconds; one more turns pages without a browser, and the server's answers are timed. Counted are errors (in
the page, in the browser, in the server's log, failed requests) and mix-ups: a page that shows another scan
than the visitor's, and a recording that comes back from the server with other numbers than it went in. The
server's memory is read all the time, also after everybody has left. Exit code 1 after any error or mix-up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shlex
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from brainlm_core.base.recording import Recording
from brainlm_core.scans.demo import demo_recordings
from tests.browser_tools import ROOT, App, chromium_path, start_streamlit

#: Page and what is there when it has been drawn for this visitor.
PAGES = {
    "Networks": ".st-key-net-brain",
    "Forecast": ".st-key-fc-steps",
    "Perturb": ".st-key-pt-tabs",
    "Scan": ".st-key-scan-brain",
}
NAME = "same.npz"
#: Without WebGL the pages draw flat brains, which spares the cores that the server needs.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-3d-apis")
#: Frames of animations are the browsers' work, and they are on the server's cores here.
STILL = """addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important; }";
    document.head.append(style);
});"""
#: How long a visitor looks at a page, in s.
LOOKS_S = (6.0, 14.0)
#: Longest wait for a page, in s.
PATIENCE_S = 240.0
#: From one arrival to the next, in s.
ARRIVALS_S = 3.0
#: Expected: a browser that is closed in the middle of a request, and one without WebGL saying so.
QUIET = ("net::ERR_ABORTED", "WebSocket", "webgl-missing")


@dataclass
class Tally:
    """What happened to one visitor."""

    name: str
    errors: list[str] = field(default_factory=list)
    mixups: list[str] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)


@dataclass
class Memory:
    """The server's memory over time."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def at(self, second: float) -> float:
        """Return the reading nearest to a moment, in MB."""
        k = int(np.argmin(np.abs(np.asarray(self.seconds) - second)))
        return self.megabytes[k]


def scan_of(k: int, folder: Path) -> tuple[Path, Recording]:
    """Write a measured-looking recording of the k-th visitor: own length, own numbers, the common name."""
    demo = demo_recordings()[k % 3]
    rng = np.random.default_rng(k)
    signals = demo.signals[:, : 200 + 2 * k] + rng.normal(scale=0.1, size=(demo.n_parcels, 200 + 2 * k))
    own = replace(
        demo,
        signals=np.ascontiguousarray(signals, dtype=np.float32),
        quality=None,
        provenance=replace(demo.provenance, simulated=False, source_name=NAME, steps=()),
    )
    (folder / str(k)).mkdir()
    own.save(folder / str(k) / NAME)
    return folder / str(k) / NAME, own


class Visitor:
    """One browser session with a scan of its own."""

    def __init__(self, k: int, url: str, file: Path, own: Recording) -> None:
        self.url, self.file, self.own = url, file, own
        self.random, self.arrives_s = random.Random(k), ARRIVALS_S * k
        self.tally = Tally(f"visitor {k + 1}")
        #: Connections to the server that were made, and lost.
        self.sockets = [0, 0]

    async def enter(self, browser: Any) -> None:
        """Open the dashboard and drop the scan."""
        self.context = await browser.new_context(
            viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        )
        await self.context.add_init_script(STILL)
        self.tab = await self.context.new_page()
        self.tab.set_default_timeout(1000 * PATIENCE_S)
        self.tab.on("pageerror", lambda error: self.tally.errors.append(f"script: {error}"))
        self.tab.on("console", self._console)
        self.tab.on("requestfailed", self._failed)
        self.tab.on("response", self._answered)
        self.tab.on("websocket", self._socket)
        start = time.monotonic()
        await self.tab.goto(self.url)
        await self.tab.locator("input[type=file]").first.set_input_files(self.file)
        await self.tab.locator(self._chip()).first.wait_for()
        self.tally.uploads.append(time.monotonic() - start)

    async def turn_to(self, page: str) -> None:
        """Go to a page and check that it shows this visitor's scan and no error."""
        start = time.monotonic()
        await self.tab.get_by_role("link", name=page, exact=True).first.click()
        await self.tab.locator(PAGES[page]).first.wait_for(state="attached")
        await self.tab.locator(self._chip()).first.wait_for()
        self.tally.pages.append(time.monotonic() - start)
        await self.check(page)

    async def check(self, page: str) -> None:
        """Count whose scan is shown, and errors."""
        chips = await self.tab.eval_on_selector_all(".b-chip", "all => all.map((c) => c.title)")
        lengths = [title for title in chips if " volumes" in title]
        for title in lengths:
            if f" {self.own.n_timepoints} volumes" not in f" {title}" or NAME not in title:
                self.tally.mixups.append(f"{page}: {title}")
        for selector in ("[data-testid=stException]", ".b-bad"):
            for text in await self.tab.locator(selector).all_inner_texts():
                self.tally.errors.append(f"{page}: {text[:200]}")

    async def come_back(self) -> None:
        """Download the recording and compare it with what was dropped."""
        await self.turn_to("Scan")
        await self.tab.get_by_role("tab", name="Export").click()
        async with self.tab.expect_download() as coming:
            await self.tab.get_by_role("button", name="Recording (.npz)").click()
        path = await (await coming.value).path()
        if not np.array_equal(Recording.load(path).signals, self.own.signals):
            self.tally.mixups.append("the recording came back with other numbers")

    async def stay(self, browser: Any, until: float) -> None:
        """Be a visitor until a moment, then leave."""
        try:
            await asyncio.sleep(self.arrives_s)
            await self.enter(browser)
            while time.monotonic() < until:
                for page in ("Networks", "Forecast", "Perturb"):
                    await self.turn_to(page)
                    await asyncio.sleep(self.random.uniform(*LOOKS_S))
                    await self.check(page)
                    if time.monotonic() >= until:
                        break
            await self.come_back()
        except Exception as error:
            self.tally.errors.append(f"{type(error).__name__}: {str(error)[:300]} {await self._seen()}")

    async def _seen(self) -> str:
        """Return what the visitor has on screen, and how often the connection was made and lost."""
        text = ""
        with contextlib.suppress(Exception):
            text = " ".join((await self.tab.locator("body").inner_text(timeout=5000)).split())
        return f"[on screen: {text[:400]!r}; connections {self.sockets[0]}, lost {self.sockets[1]}]"

    def _socket(self, socket: Any) -> None:
        self.sockets[0] += 1
        socket.on("close", lambda _: self.sockets.__setitem__(1, self.sockets[1] + 1))

    async def leave(self) -> None:
        """Close the browser session."""
        with contextlib.suppress(Exception):
            await self.context.close()

    def _chip(self) -> str:
        return f'.b-chip[title*="{NAME}"][title*="{self.own.n_timepoints} volumes"]'

    def _console(self, message: Any) -> None:
        if message.type == "error" and not any(q in message.text for q in QUIET):
            self.tally.errors.append(f"console: {message.text[:200]}")

    def _failed(self, request: Any) -> None:
        if not any(q in str(request.failure) for q in QUIET):
            self.tally.errors.append(f"request: {request.url[:120]} {request.failure}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.tally.errors.append(f"answer {response.status}: {response.url[:120]}")


class LightVisitor:
    """Turns pages without a browser: what the server needs for a page while it works for the others.

    The browsers of all visitors share this machine's cores with the server, which they do not elsewhere, so
    the times that they see are mostly their own.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.tally = Tally("light visitor")

    async def stay(self, until: float) -> None:
        """Turn pages until a moment."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
        from websockets.asyncio.client import connect

        address = f"{self.url.replace('http', 'ws', 1)}/_stcore/stream"
        settings: Any = {"subprotocols": ["streamlit"], "origin": self.url, "max_size": None}
        settings["ping_interval"] = None  # slow is a figure here, not an error
        try:
            async with connect(address, **settings) as socket:
                while time.monotonic() < until:
                    for page in ("", "perturb", "networks"):
                        ask = BackMsg()
                        ask.rerun_script.page_name = page
                        start = time.monotonic()
                        await socket.send(ask.SerializeToString())
                        while True:
                            answer = ForwardMsg()
                            answer.ParseFromString(await asyncio.wait_for(socket.recv(), PATIENCE_S))
                            done = answer.WhichOneof("type") == "script_finished"
                            if done and answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                                break
                        self.tally.pages.append(time.monotonic() - start)
                        await asyncio.sleep(2.0)
        except Exception as error:
            self.tally.errors.append(f"{type(error).__name__}: {str(error)[:300]}")


def behind(program: str, folder: Path) -> str:
    """Return a program that runs another one behind everything else: browsers must not starve the server."""
    script = folder / "browser.sh"
    # Chromium raises the priority of its own processes where it may, so nice does not hold them back; idle
    # scheduling does. Where Linux groups processes by session, the group must stand back as well.
    stand_back = "{ echo 15 > /proc/self/autogroup; } 2>/dev/null || true"
    idle = "$(command -v chrt >/dev/null && echo chrt --idle 0)"
    script.write_text(
        f'#!/bin/sh\n{stand_back}\nexec {idle} nice -n 15 {shlex.quote(program)} "$@"\n', encoding="utf-8"
    )
    script.chmod(0o755)
    return str(script)


def server_of(app: App) -> psutil.Process:
    """Return the process of a server that this one started."""
    port = app.url.rpartition(":")[2]
    for child in psutil.Process().children(recursive=True):
        if f"--server.port={port}" in child.cmdline():
            return child
    raise SystemExit("the server's process is not there")


def chromium_of() -> list[psutil.Process]:
    """Return the processes of the browser that this one started."""
    return [p for p in psutil.Process().children(recursive=True) if "chrom" in p.name()]


def cpu_s(*processes: psutil.Process) -> float:
    """Return the processor time of processes that are still there, in s."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:2])
    return total


async def knock(url: str, seconds: list[float]) -> None:
    """Ask the server for a sign of life once a second until cancelled, and time the answers."""

    def once() -> float:
        start = time.monotonic()
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=PATIENCE_S) as answer:
            answer.read()
        return time.monotonic() - start

    while True:
        seconds.append(await asyncio.to_thread(once))
        await asyncio.sleep(1.0)


async def watch(server: psutil.Process, memory: Memory, start: float, every_s: float = 5.0) -> None:
    """Read the server's memory until cancelled."""
    while True:
        memory.seconds.append(time.monotonic() - start)
        memory.megabytes.append(server.memory_info().rss / 1e6)
        await asyncio.sleep(every_s)


async def load(app: App, folder: Path, visitors: int, minutes: float, away_s: float) -> dict[str, Any]:
    """Let visitors come, stay and leave; return the figures."""
    from playwright.async_api import async_playwright

    server, memory, start = server_of(app), Memory(), time.monotonic()
    everybody = [Visitor(k, app.url, *scan_of(k, folder)) for k in range(visitors)]
    light = LightVisitor(app.url)
    async with async_playwright() as playwright:
        chromium = chromium_path() or playwright.chromium.executable_path
        browser = await playwright.chromium.launch(executable_path=behind(chromium, folder), args=list(FLAGS))
        first = Visitor(visitors, app.url, *scan_of(visitors, folder))
        await first.enter(browser)  # loads what the server needs once: not any visitor's memory
        await first.turn_to("Networks")
        await first.turn_to("Perturb")
        await asyncio.sleep(20)
        await first.leave()
        watching = asyncio.create_task(watch(server, memory, start))
        begun, used = time.monotonic(), (cpu_s(server), cpu_s(*chromium_of()))
        until = begun + ARRIVALS_S * visitors + 60 * minutes
        signs: list[float] = []
        knocking = asyncio.create_task(knock(app.url, signs))
        await asyncio.gather(*(v.stay(browser, until) for v in everybody), light.stay(until))
        ended = time.monotonic()
        knocking.cancel()
        cores = [
            (cpu_s(*p) - u) / (ended - begun) for p, u in zip(([server], chromium_of()), used, strict=True)
        ]
        for visitor in everybody:
            await visitor.leave()
        await asyncio.sleep(away_s)
        watching.cancel()
        await browser.close()
    tallies = [v.tally for v in (first, *everybody, light)]
    peak = max(memory.megabytes)
    log = app.log.read_text(errors="replace")
    before = memory.megabytes[0]
    return {
        "visitors": visitors,
        "minutes": minutes,
        "cores": psutil.cpu_count(),
        "page_turns": sum(len(t.pages) for t in tallies),
        "errors": [f"{t.name}: {e}" for t in tallies for e in t.errors],
        "server_errors": [line for line in log.splitlines() if "Traceback" in line or "Error" in line],
        "mixups": [f"{t.name}: {e}" for t in tallies for e in t.mixups],
        "upload_s": spread([s for t in tallies for s in t.uploads]),
        "page_s": spread([s for v in everybody for s in v.tally.pages]),
        "light_page_s": spread(light.tally.pages),
        "sign_of_life_s": spread(signs),
        "cores_used": {"server": round(cores[0], 2), "browsers": round(cores[1], 2)},
        "memory_mb": {
            "before": round(before),
            "first quarter": round(memory.at(begun - start + (ended - begun) / 4)),
            "half time": round(memory.at(begun - start + (ended - begun) / 2)),
            "end": round(memory.at(ended - start)),
            "peak": round(peak),
            "after all left": round(memory.megabytes[-1]),
        },
        "memory_per_visitor_mb": round((peak - before) / (visitors + 1), 1),
        "memory_curve": [[round(s), round(m)] for s, m in zip(memory.seconds, memory.megabytes, strict=True)],
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum in s."""
    if not seconds:
        return {"n": 0}
    return {
        "n": len(seconds),
        "median": round(statistics.median(seconds), 2),
        "p95": round(float(np.percentile(seconds, 95)), 2),
        "max": round(max(seconds), 2),
    }


def table(figures: dict[str, Any]) -> Iterator[str]:
    """Return the figures as lines to read."""
    yield f"{figures['visitors']} visitors, {figures['minutes']:g} min, {figures['cores']} cores"
    yield f"  page turns      {figures['page_turns']}"
    for name in ("errors", "server_errors", "mixups"):
        yield f"  {name.replace('_', ' '):15} {len(figures[name])}"
        yield from (f"    {text}" for text in figures[name][:20])
    for name, words in (
        ("upload_s", "scan in hand"),
        ("page_s", "page turned"),
        ("light_page_s", "server's part"),
        ("sign_of_life_s", "sign of life"),
    ):
        yield f"  {words:15} " + "  ".join(f"{k} {v}" for k, v in figures[name].items()) + " (s)"
    yield "  cores used      " + "  ".join(f"{k} {v}" for k, v in figures["cores_used"].items())
    yield "  memory (MB)     " + "  ".join(f"{k} {v}" for k, v in figures["memory_mb"].items())
    yield f"  per visitor     {figures['memory_per_visitor_mb']} MB at the peak"


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--away", type=float, default=90, help="seconds to wait after everybody has left")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_streamlit(ROOT / "app" / "main.py") as app:
        figures = asyncio.run(load(app, Path(folder), args.visitors, args.minutes, args.away))
    print(json.dumps(figures) if args.json else "\n".join(table(figures)))
    return 1 if figures["errors"] or figures["mixups"] or figures["server_errors"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
