"""The head inside a published fine-tuned file: three layers called ``mlp_pred_head``, beside an encoder.

Such a file says neither what the head was trained to tell nor in which unit. The answer is therefore given
as the head's own number, with that said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from brainlm_core.base.errors import CheckpointError
from brainlm_core.model import HEAD_PREFIX
from brainlm_core.model.checkpoints import read_config
from brainlm_core.model.state_files import find_state_files, read_state, some

_LAYERS = ("lin1", "lin2", "lin3")
#: What the answer is called; the file does not say what it was trained on.
TARGET = "output of the file's own head (its target and unit are not in the file)"


@dataclass(frozen=True)
class PublishedHead:
    """A head as read.

    Parameters
    ----------
    layers : Module
        (B, D) → (B, 1): the published three layers.
    width : int
        Of the embedding that it takes, D.
    is_probability : bool
        Whether a sigmoid follows.
    """

    layers: nn.Sequential
    width: int
    is_probability: bool


def has_head(folder: Path) -> bool:
    """Whether the weights in ``folder`` carry a head."""
    try:
        state = read_state(find_state_files(folder))
    except CheckpointError:
        return False
    return any(name.startswith(HEAD_PREFIX) for name in state)


def read_head(folder: Path) -> PublishedHead:
    """Read the head of a fine-tuned file.

    Raises
    ------
    CheckpointError
        If it is missing, incomplete, or has another shape than the published one.
    """
    config = read_config(folder)
    state = read_state(find_state_files(folder))
    wanted = [f"{HEAD_PREFIX}{layer}.{part}" for layer in _LAYERS for part in ("weight", "bias")]
    missing = [name for name in wanted if name not in state]
    if missing:
        raise CheckpointError(f"the head of {folder.name} lacks {some(missing)}", "get the file again")
    sizes = [tuple(state[name].shape) for name in wanted]
    width, inner = sizes[0][-1], sizes[0][0]
    if sizes != [(inner, width), (inner,), (inner, inner), (inner,), (1, inner), (1,)]:
        raise CheckpointError(
            f"the head of {folder.name} is not the published one, its layers are {sizes[::2]}",
            "use a file with one output",
        )
    layers = nn.Sequential(
        nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, 1)
    )
    layers.load_state_dict(_renamed(state))
    if config.get("use_mean_pooling"):
        raise CheckpointError(
            f"the head of {folder.name} reads the mean over all tokens, which is not read out here",
            "use a head on the summary token (use_mean_pooling: false)",
        )
    probability = bool(config.get("sigmoid_outputs")) or config.get("loss_fn") == "binary_cross_entropy"
    return PublishedHead(layers.eval(), width, probability)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{2 * i}.{part}": state[f"{HEAD_PREFIX}{layer}.{part}"].float()
        for i, layer in enumerate(_LAYERS)
        for part in ("weight", "bias")
    }
