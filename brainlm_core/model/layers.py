"""Small pieces that several families share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def activation(name: str, x: Tensor) -> Tensor:
    """Apply the activation that a Hugging Face configuration names."""
    if name == "gelu":
        return F.gelu(x)
    if name in ("gelu_new", "gelu_pytorch_tanh"):
        return F.gelu(x, approximate="tanh")
    return F.relu(x) if name == "relu" else F.silu(x)


def add_to(x: Tensor, other: Tensor) -> Tensor:
    """Return x + other; where no gradient is kept, in the memory of x, which the caller gives up."""
    if torch.is_grad_enabled() or torch.result_type(x, other) != x.dtype:
        return x + other
    return x.add_(other)
