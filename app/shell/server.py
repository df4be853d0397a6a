"""The server around the pages: its rules in front, its end behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.middleware import Middleware

from app.shell import ending, serving
from app.shell.guard import Guard
from brainlm_core.base.errors import BrainLMError


def middleware() -> list[Middleware]:
    """Return what every request passes first; ends the process in one sentence where it must not start."""
    os.umask(0o077)  # whatever the server makes is for its owner alone
    try:
        return [Middleware(Guard, rules=serving.checked_rules())]
    except BrainLMError as error:
        serving.or_exit(error)


@asynccontextmanager
async def while_it_runs(_app: Any) -> AsyncIterator[None]:
    """Take signals while the server runs; let go of everything when it ends."""
    ending.take_signals()
    serving.announce()
    try:
        yield
    finally:
        ending.let_go()
