"""The brain: cortical surface and deep parcels in WebGL, one number per parcel and frame."""

from __future__ import annotations

from app.components.brain_view.component import VIEWS, brain_view, picked_parcel
from app.components.brain_view.event import BrainEvent
from app.components.brain_view.fallback import fallback_figure
from brainlm_core.viz.panels import BrainPanel, Category

__all__ = [
    "VIEWS",
    "BrainEvent",
    "BrainPanel",
    "Category",
    "brain_view",
    "fallback_figure",
    "picked_parcel",
]
