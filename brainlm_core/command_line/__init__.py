"""One module a command: ``add_arguments(parser)`` and ``run(args) -> CommandResult``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Command to its module, in the order in which ``brainlm --help`` lists them.
COMMANDS: dict[str, str] = {
    "app": "brainlm_core.commands.app",
    "info": "brainlm_core.commands.info",
    "verify": "brainlm_core.features.verify.command",
    "parcellate": "brainlm_core.commands.parcellate",
    "networks": "brainlm_core.features.networks.command",
    "forecast": "brainlm_core.features.forecast.command",
    "perturb": "brainlm_core.features.perturb.command",
    "reconstruct": "brainlm_core.features.reconstruct.command",
    "report": "brainlm_core.commands.report",
    "bids": "brainlm_core.commands.bids",
    "cohort": "brainlm_core.commands.cohort",
    "embed": "brainlm_core.features.embedding.command",
    "decode": "brainlm_core.features.decode.command",
    "evaluate": "brainlm_core.features.evaluate.command",
    "pretrain": "brainlm_core.commands.pretrain",
    "finetune": "brainlm_core.commands.finetune",
    "predict": "brainlm_core.commands.predict",
    "bench": "brainlm_core.commands.bench",
}


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
