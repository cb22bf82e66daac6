"""Memory that was freed: the C library keeps a little for the next batch and gives back the rest; cycles are found."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

KEPT_BYTES = 8 * 2**20
"""Freed memory that may stay with the process."""

REUSED_BYTES = 4 * 2**20
"""Largest piece of memory that is reused at all; a larger one is given back as soon as it is freed."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names of what mallopt sets


def keep_freed_memory() -> None:
    """Let pieces up to `REUSED_BYTES` be reused, and keep `KEPT_BYTES` for it.

    glibc by itself gives the memory of a batch's body and rows back when they are freed. To get it again costs a fault
    a page: a fifth of all that 10,000 raw rows take in a server with a small model.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt:
        mallopt(_MMAP_THRESHOLD, REUSED_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def give_back_memory() -> None:
    """Return what was freed to the system; glibc keeps it otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim:
        trim(0)


@contextmanager
def never_collected() -> Iterator[None]:
    """Let Python's collector of cycles never look at what is made within: it stays as long as the process.

    To look at it again and again while it grows takes a seventh of a start, and finds next to nothing. Later each
    collection, while which nothing is answered, has a tenth of the objects to look at.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def collect_cycles() -> None:
    """Free what a model leaves behind: its types refer to one another, and the collector by itself would wait long."""
    gc.collect()
