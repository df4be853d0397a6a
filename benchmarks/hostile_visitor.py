"""One visitor who drops every hostile file on the dashboard, in a browser, and what each cost the server."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.memory_of_tree import peak_of_tree
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

    async def stay(self, browser: Any, until: Callable[[], bool] = lambda: False) -> None:
        """Drop the whole set, or as much of it as there is time for."""
        with tempfile.TemporaryDirectory() as folder:
            files = await asyncio.to_thread(made, Path(folder))
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            tab = await context.new_page()
            tab.set_default_timeout(1000 * PATIENCE_S)
            await tab.goto(self.url)
            await tab.locator("input[type=file]").first.wait_for(state="attached")
            for title, path in files:
                if until():
                    break
                self.attacks.append(await self._drop(tab, title, path))
            await context.close()

    async def _drop(self, tab: Any, title: str, path: Path) -> Attack:
        keep = tab.get_by_role("button", name="Keep the recording in hand")
        if await keep.count():
            await keep.first.click()
            await keep.first.wait_for(state="detached")
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
