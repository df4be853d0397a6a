"""The dashboard without a browser: Streamlit's own test runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.shell.session import Visitor

Open = Callable[..., "Tab"]


class Tab:
    """One visitor's tab on one page.

    Parameters
    ----------
    script : Path
        The entry script.
    page : str
        File in ``pages/``.
    """

    def __init__(self, script: Path, page: str) -> None:
        self.app = AppTest.from_file(str(script), default_timeout=120)
        self.app.run()
        if page != "scan.py":
            self.app.switch_page(f"../pages/{page}")
            self.app.run()

    @property
    def who(self) -> Visitor:
        """The visitor's state."""
        return self.app.session_state["visitor"]

    def settle(self, seconds: float = 120) -> Tab:
        """Run until no job is left."""
        deadline = time.monotonic() + seconds
        while self.who.jobs:
            assert time.monotonic() < deadline, [job.stage for job in self.who.jobs.values()]
            for job in list(self.who.jobs.values()):
                job.wait(seconds)
            self.run()
        return self

    def run(self) -> Tab:
        """Run the script once more; it must not break."""
        self.app.run()
        self.check()
        return self

    def check(self) -> None:
        """Fail when the page shows an exception, or a task ended in a fault of the program."""
        assert not self.app.exception, [e.value for e in self.app.exception]
        if "visitor" in self.app.session_state:
            defects = [run.job.defect for run in self.who.tasks.values() if run.job.defect is not None]
            assert not defects, defects

    def words(self) -> str:
        """Everything that the page says in HTML, Markdown and captions."""
        html = [element.proto.body for element in self.app.get("html")]
        return "\n".join(html + [m.value for m in self.app.markdown] + [c.value for c in self.app.caption])

    def scripts(self, page: str) -> dict[str, str]:
        """Open the Export tab; return the script of every figure that it offers to reproduce."""
        self.app.session_state[f"{page}-tabs"] = "Export"
        self.run()
        found = {}
        choices = [w for w in self.app.selectbox if w.key == f"{page}-reproduce"]
        for choice in choices[0].options if choices else [""]:
            if choice:
                self.widget("selectbox", f"{page}-reproduce").select(choice)
                self.run()
            (code,) = self.app.code
            compile(code.value, "script", "exec")
            found[code.value.split("figures.make('")[1].split("'")[0]] = code.value
        return found

    def widget(self, kind: str, key: str) -> Any:
        """Return the widget of a kind whose key starts with ``key``."""
        found = [w for w in self.app.get(kind) if (w.key or "").startswith(key)]
        assert found, f"no {kind} with key {key} among {[w.key for w in self.app.get(kind)]}"
        return found[0]


@pytest.fixture
def open_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return a function that opens a page for a new visitor."""
    tabs: list[Tab] = []

    def opened(page: str = "scan.py", *, model: str = "default") -> Tab:
        monkeypatch.setenv("BRAINLM_MODEL", model)
        tab = Tab(root / "app" / "main.py", page)
        tabs.append(tab)
        tab.check()
        return tab

    yield opened
    for tab in tabs:  # a thread inside torch at the end of the process would abort it
        for job in list(tab.who.jobs.values()):
            job.cancel()
            job.wait(120)
