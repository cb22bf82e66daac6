"""Looking at the sockets for some time after a prediction, instead of sleeping until the next request.

To sleep and be woken costs tens of microseconds, more in a virtual machine, and what runs next finds cold caches. A
worker that has a processor to itself can spare both; it then burns that processor while predictions come.
"""

import asyncio
import sys
from time import perf_counter_ns

from runtime.admission import Admission

SWITCH_SECONDS = 5e-5
"""How soon a loop that never sleeps lets another thread of the worker have the interpreter."""


class BusyPoll:
    """Keeps the event loop turning for some time after each prediction. To be used by the loop's thread alone.

    While a request of several rows is under way it sleeps as usual: its thread needs the interpreter.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        What is kept turning.
    microseconds : int
        For how long after the last prediction.
    admission : Admission
        Knows what is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, microseconds: int, admission: Admission) -> None:
        self._loop = loop
        self._span = microseconds * 1000
        self._admission = admission
        self._until = 0
        self._turning = False
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))

    def stay(self, now: int) -> None:
        """Go on turning: a prediction has been answered now, by `perf_counter_ns`."""
        self._until = now + self._span
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if perf_counter_ns() < self._until and not self._admission.busy:
            self._loop.call_soon(self._turn)
        else:
            self._turning = False
