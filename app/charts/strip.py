"""The baseline strip, as pages draw it."""

from __future__ import annotations

from brainlm_core.look.strip import METHODS, Reference, Row, baseline_strip

__all__ = ["METHODS", "Reference", "Row", "baseline_strip"]
