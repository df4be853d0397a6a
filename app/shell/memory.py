"""How the server's C library keeps memory: little, whatever many threads ask it for.

Pages and background work run in a thread each. glibc gives threads heaps of their own, and once large arrays
have been freed it takes the next ones from those heaps, where what lives long between them holds the whole
fast: with seven visitors at work half of what the server had grown by was free and not given back.
"""

from __future__ import annotations

import contextlib
import ctypes

#: Parameters of glibc's ``mallopt`` (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
#: Heaps for all threads.
HEAPS = 2
#: From this size on an array has pages of its own, which go back at once, in bytes. A matrix of 424 parcels
#: is below: it is made and dropped thousands of times.
OWN_PAGES = 1 << 20
#: So much may lie free at a heap's end before it goes back, in bytes.
SLACK = 1 << 23


def keep_little() -> None:
    """Tell the C library to keep little, where it can be told; other systems go their own way."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_ARENA_MAX, HEAPS), (_MMAP_THRESHOLD, OWN_PAGES), (_TRIM_THRESHOLD, SLACK)):
            mallopt(ctypes.c_int(parameter), ctypes.c_int(value))


def give_back_memory() -> None:
    """Hand what the C library keeps for later back to the system, where it can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
