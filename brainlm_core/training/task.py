"""What a training run trains: the part that differs between pretraining and fine-tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Task(ABC):
    """A loss over numbered samples, a validation, and what is delivered at the end.

    Parameters
    ----------
    model : nn.Module
        What the checkpoints hold; its parameters that require gradients are trained.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @property
    @abstractmethod
    def loss(self) -> nn.Module:
        """A module around ``model`` that takes a batch and returns a scalar."""

    @abstractmethod
    def batch(self, first: int, size: int, device: torch.device) -> Any:
        """Return samples ``first`` to ``first + size``, which depend on their numbers alone."""

    @abstractmethod
    def validate(self, device: torch.device) -> dict[str, float]:
        """Score recordings that are never trained on; empty when there are none."""

    @abstractmethod
    def deliver(self, folder: Path) -> None:
        """Write ``model/`` into the run's folder."""


def stacked(tensors: list[Tensor], device: torch.device) -> Tensor:
    """Put equal tensors together on a device."""
    return torch.stack(tensors).to(device)
