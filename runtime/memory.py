"""What the C library does with memory that was freed: keeps a little for the next batch, gives back the rest."""

import ctypes

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
