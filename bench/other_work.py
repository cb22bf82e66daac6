"""What other processes take of the machine while something is measured."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

QUIET = 0.05
"""Share of the machine that a shell and an editor take, and no more."""

WHOLE = 1.7
"""How many times the work of one core two do at least that share nothing; two threads of one core do hardly more."""

_ROOTS, _CALLS = 1 << 15, 300


class OtherWork:
    """The share of the machine that others use from now on.

    Parameters
    ----------
    measured : callable
        Gives the seconds of processor time until now of what is measured, beside this process and its ended children.
    """

    def __init__(self, measured: Callable[[], float] = lambda: 0.0) -> None:
        self._measured = measured
        self._since = self._now()

    def _now(self) -> tuple[float, float, float]:
        """Return the time, and the processor seconds of the whole machine and of what is measured."""
        with Path("/proc/stat").open() as lines:
            user, nice, system, _, _, *interrupts_and_steal = (int(tick) for tick in lines.readline().split()[1:9])
        ticks = user + nice + system + sum(interrupts_and_steal)
        own = sum(os.times()[:4])
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own + self._measured()

    def share(self) -> float:
        """Return the share, from 0 to 1."""
        passed, machine, own = (now - then for now, then in zip(self._now(), self._since, strict=True))
        return max(0.0, (machine - own) / passed / (os.cpu_count() or 1))


def wait_for_quiet(patience: int = 20) -> None:
    """Wait for a second in which other processes hardly use the machine, some seconds at most."""
    for _ in range(patience):
        others = OtherWork()
        time.sleep(1.0)
        if others.share() <= QUIET:
            return


def wait_for_whole_cores(patience: int = 60) -> None:
    """Wait until the two cores of this process are two, some seconds at most.

    Those of a virtual machine may be two threads of one core for a while, which no figure of the system shows.
    """
    for _ in range(patience):
        if gain_of_two_cores() >= WHOLE:
            return
        time.sleep(1.0)


def gain_of_two_cores() -> float:
    """Return how many times the square roots of one thread two find, whose numbers stay in the caches of a core."""
    numbers = np.full(_ROOTS, 2.0)

    def work(calls: int) -> None:
        roots = np.empty(_ROOTS)
        for _ in range(calls):
            np.sqrt(numbers, out=roots)

    with ThreadPoolExecutor(1) as pool:
        begin = time.perf_counter()
        work(2 * _CALLS)
        middle = time.perf_counter()
        other = pool.submit(work, _CALLS)
        work(_CALLS)
        other.result()
        return (middle - begin) / (time.perf_counter() - middle)
