"""What the event loop asks of Linux: to run soon after it is woken, whatever else keeps the processors busy.

A thread that waits most of the time and then works for some microseconds gains from short slices: since 6.12 the kernel
lets one that asks for shorter ones than the running thread has go first (EEVDF, `PREEMPT_SHORT`). Its share stays.
"""

import ctypes
import os
import platform
import struct
import sys

SLICE_NANOSECONDS = 100_000
"""The shortest that the kernel grants."""

_SET, _GET = 0, 1  # places in these pairs
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}
"""Numbers of `sched_setattr` and `sched_getattr`, which the C library does not offer everywhere."""

_ATTRIBUTES = struct.Struct("=IIQiIQQQII")
"""`struct sched_attr`: size, policy, flags, nice, priority, runtime, deadline, period, two utilization clamps."""
_RUNTIME = 5  # the place of the slice in it


def ask_for_short_slices() -> bool:
    """Let the calling thread run soon after it is woken; return whether the kernel knows how, and lets it."""
    return _ask(SLICE_NANOSECONDS)


def take_usual_slices() -> None:
    """Let the calling thread, which has inherited short slices, have those of everyone else."""
    _ask(0)


def slice_of(thread: int = 0) -> int:
    """Return the slice of a thread in nanoseconds, by default of the calling one; 0 where the kernel does not say."""
    found = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if not _call(_GET, thread, found, _ATTRIBUTES.size):
        return 0
    return int(_ATTRIBUTES.unpack(found.raw)[_RUNTIME])


def _ask(nanoseconds: int) -> bool:
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:  # who chose another policy knows better
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)  # of this thread
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, nanoseconds, 0, 0, 0, 0)
    return _call(_SET, 0, wanted) and slice_of() == nanoseconds


def _call(which: int, thread: int, *arguments: object) -> bool:
    """Make a call of the system; return whether it could be made."""
    numbers = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
    return numbers is not None and ctypes.CDLL(None).syscall(numbers[which], thread, *arguments, 0) == 0
