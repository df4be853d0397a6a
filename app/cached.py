"""The only place that keeps things between runs for all visitors: nothing here may depend on a visitor's scan."""

from __future__ import annotations


def licence_accepted() -> bool:
    """Whether the licence of the published weights was accepted on this machine."""
    from brainlm_core.weights import licence_accepted

    return licence_accepted()
