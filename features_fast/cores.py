"""The processor cores of this process."""

import os


def usable_cores() -> int:
    """Return the cores that this process may use: by its affinity where the system tells it, which Linux alone does."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
