"""A worker whose event loop has stopped, or whose supervisor is gone, ends itself."""

import asyncio
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import parent_process

logger = logging.getLogger("tickline")

_LOOKS = 4  # in the time that a loop may hang


def stop_with_supervisor(loop: asyncio.AbstractEventLoop, before: Callable[[], None]) -> None:
    """Stop this process, as SIGTERM does, when the supervisor is gone: nobody else would, and its port is taken.

    Before that something is called.
    """
    supervisor = parent_process()
    if supervisor is None:
        return
    gone = supervisor.sentinel

    def stop() -> None:
        loop.remove_reader(gone)
        logger.critical("the supervisor is gone; this worker stops")
        before()
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(gone, stop)


class Heartbeat:
    """A thread that expects the event loop to turn, and ends the process where it does not, for another to come.

    It looks four times in the given time and wants to have seen nothing each time: a process that was stopped as a
    whole (a frozen container, a moved virtual machine) misses one look and no more.

    Parameters
    ----------
    seconds : float
        How long the loop may hang.
    loop : asyncio.AbstractEventLoop
        The loop.
    """

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._seconds = seconds
        self._loop = loop
        self._turned = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Expect nothing more."""
        self._stopped.set()

    def _look(self) -> None:
        missed = 0
        self._loop.call_soon_threadsafe(self._turned.set)
        while not self._stopped.wait(self._seconds / _LOOKS):
            if self._turned.is_set():
                missed = 0
                self._turned.clear()
                self._loop.call_soon_threadsafe(self._turned.set)
                continue
            missed += 1
            if missed == _LOOKS:
                logger.critical("the event loop has hung for %g s; this worker ends", self._seconds)
                faulthandler.dump_traceback()
                os._exit(1)
