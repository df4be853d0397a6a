"""A visitor without a mouse: presses keys, and checks at every stop that they can see where they are."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageChops

#: The focused element through all shadow roots, as a plain object.
_FOCUS = """() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    window.focusedNow = at;
    if (!at || at === document.body) return null;
    const label = at.closest("label"), root = at.getRootNode();
    const words = (id) => root.getElementById(id)?.textContent;
    const texts = (ids) => (ids ?? "").split(" ").filter(Boolean).map(words);
    const said = [at.getAttribute("aria-label"), texts(at.getAttribute("aria-labelledby")).join(" "),
        ...[...(at.labels ?? [])].map((l) => l.textContent), at.textContent, at.title, at.placeholder];
    let box = at.getBoundingClientRect();
    if (label && box.width < 20) box = label.getBoundingClientRect(); // a box that only its label draws
    return { tag: at.tagName.toLowerCase(), role: at.getAttribute("role") ?? at.type ?? "",
        name: (said.map((text) => text?.trim()).find(Boolean) ?? "").slice(0, 120),
        x: box.x, y: box.y, width: box.width, height: box.height };
}"""


@dataclass(frozen=True)
class Stop:
    """Where the focus is.

    Parameters
    ----------
    tag, role, name : str
        Element, its role or input type, and what a screen reader calls it.
    box : tuple of float
        x, y, width and height in the window, in px.
    """

    tag: str
    role: str
    name: str
    box: tuple[float, float, float, float]


class Keyboard:
    """Keys on a page.

    Parameters
    ----------
    page : playwright Page
        Its viewport must not change meanwhile.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        #: Every stop so far at which nothing showed the focus, in words.
        self.invisible: list[str] = []
        self._seen: set[tuple[str, str]] = set()

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def stop(self) -> Stop | None:
        """Return where the focus is, or None when it is nowhere."""
        found = self.page.evaluate(_FOCUS)
        if found is None:
            return None
        box = tuple(float(found[side]) for side in ("x", "y", "width", "height"))
        return Stop(found["tag"], found["role"], found["name"], box)

    def to(self, name: str, *, role: str = "", key: str = "Tab", limit: int = 90) -> Stop:
        """Press ``key`` until the focus is on an element whose name matches.

        Raises
        ------
        AssertionError
            If it does not get there; the message lists the way it took.
        """
        way = []
        for _ in range(limit):
            self.press(key)
            stop = self.stop()
            if stop is None:
                way.append("(nowhere)")
                continue
            way.append(f"{stop.role or stop.tag} {stop.name!r}")
            self._look(stop)
            if re.search(name, stop.name) and role in (stop.role, stop.tag, ""):
                return stop
        raise AssertionError(f"no way by {key} to {role} {name!r}: " + " → ".join(way))

    def _look(self, stop: Stop) -> None:
        """Note a stop that looks the same with and without the focus."""
        if (stop.role, stop.name) in self._seen:
            return
        self._seen.add((stop.role, stop.name))
        for _ in range(4):
            if self._shows_focus(stop):
                return
            self.page.wait_for_timeout(300)
            now = self.stop()
            if now is None or (now.role, now.name, now.box) != (stop.role, stop.name, stop.box):
                self._seen.discard((stop.role, stop.name))  # the page was drawn anew under the focus
                return
        self.invisible.append(f"{stop.role or stop.tag} {stop.name!r}")

    def _shows_focus(self, stop: Stop) -> bool:
        with_focus = self._photograph(stop)
        self.page.evaluate("() => window.focusedNow.blur()")
        without = self._photograph(stop)
        self.page.evaluate("() => window.focusedNow.focus()")
        if with_focus is None or without is None:
            return False
        changed = np.asarray(ImageChops.difference(with_focus, without)).max(axis=2) > 40
        return int(changed.sum()) >= 30

    def _photograph(self, stop: Stop) -> Image.Image | None:
        """Return the window around a stop, or None when it lies outside."""
        x, y, width, height = stop.box
        view = self.page.viewport_size
        left, top = max(0.0, x - 8), max(0.0, y - 8)
        right, bottom = min(view["width"], x + width + 8), min(view["height"], y + height + 8)
        if right - left < 4 or bottom - top < 4:
            return None
        clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        shot = self.page.screenshot(clip=clip, caret="hide", animations="disabled")
        return Image.open(io.BytesIO(shot)).convert("RGB")
