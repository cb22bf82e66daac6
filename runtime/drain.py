"""The first part of a stop: unready, and still at work."""

import asyncio
import logging
import signal
from collections.abc import Callable
from types import FrameType

logger = logging.getLogger("tickline")


class Drain:
    """Holds back a signal to stop, so that whoever sends requests here can see that they should go elsewhere.

    A balancer learns only by its next probe that this server is unready, and sends requests until then. They are
    answered as ever, and their connections are told to end. The second signal is not held back.

    Parameters
    ----------
    seconds : float
        How long.
    begin : callable
        Called by the loop when the signal has come.
    loop : asyncio.AbstractEventLoop
        The loop that runs meanwhile, in the main thread.
    """

    def __init__(self, seconds: float, begin: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._seconds = seconds
        self._begin = begin
        self._loop = loop
        self._draining = False
        self._stop = {number: signal.signal(number, self._hold_back) for number in (signal.SIGTERM, signal.SIGINT)}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a supervisor holds it back until here

    def _hold_back(self, number: int, frame: FrameType | None) -> None:
        stop = self._stop[signal.Signals(number)]
        if not callable(stop):
            raise SystemExit(1)
        if self._draining or not self._seconds:
            self._loop.call_soon_threadsafe(self._begin)
            stop(number, frame)
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._drain, number)  # between two turns, and not amid a request

    def _drain(self, number: int) -> None:
        self._begin()
        logger.info("draining: unready, and answering for %g s more", self._seconds)
        self._loop.call_later(self._seconds, self._end, number)

    def _end(self, number: int) -> None:
        stop = self._stop[signal.Signals(number)]
        if callable(stop):
            stop(number, None)
