"""One file a command: ``add_arguments(parser)`` and ``run(args) -> CommandResult``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Commands in the order in which ``brainlm --help`` lists them; each is a module of this package.
COMMANDS: tuple[str, ...] = (
    "app",
    "info",
    "verify",
    "parcellate",
    "networks",
    "forecast",
    "perturb",
    "reconstruct",
    "report",
    "bids",
    "cohort",
    "embed",
    "decode",
    "evaluate",
    "pretrain",
    "finetune",
    "predict",
    "bench",
)


@dataclass(frozen=True)
class CommandResult:
    """What a command says: lines for a person, objects for ``--json``.

    Parameters
    ----------
    objects : sequence of dict
        Printed one JSON object a line with ``--json`` (one for nearly every command).
    text : str
        Printed otherwise.
    exit_code : int
        0 unless the command's answer is "no" (for example a failed ``verify``), then 1.
    """

    objects: Sequence[dict[str, Any]]
    text: str
    exit_code: int = 0
