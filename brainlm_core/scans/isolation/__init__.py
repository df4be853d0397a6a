"""Scans that others made are read in a process of their own, with a limit of memory and of time.

What happens there, whatever the file, cannot reach this process: a child forked for one file reads it, may
open nothing but what it was handed, and leaves a plain ``.npz``. It ends at once when nobody waits any more.
"""

from __future__ import annotations

from brainlm_core.scans.isolation.read import do_isolated, read_isolated, warm_up

__all__ = ["do_isolated", "read_isolated", "warm_up"]
