"""The baseline strip, as pages draw it."""

from __future__ import annotations

from brainlm_core.viz.strip import Reference, Row, baseline_strip

__all__ = ["Reference", "Row", "baseline_strip"]
