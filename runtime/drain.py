"""A stop in order: unready and still at work, then without new connections, then over."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

logger = logging.getLogger("tickline")


class Drain:
    """Holds back a signal to stop, so that whoever sends requests here can see that they should go elsewhere.

    A balancer learns only by its next probe that this server is unready, and sends requests until then. They are
    answered as ever, and their connections are told to end. The second signal is not held back. Where signals cannot
    be handled, in another thread than the main one, there is nothing to hold back.

    Parameters
    ----------
    seconds : float
        How long.
    begin : callable
        Called by the loop when the signal has come.
    end : callable
        Awaited after that time; then the signal is let through.
    loop : asyncio.AbstractEventLoop
        The loop that runs meanwhile.
    """

    def __init__(
        self,
        seconds: float,
        begin: Callable[[], None],
        end: Callable[[], Awaitable[None]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._seconds = seconds
        self._begin = begin
        self._end = end
        self._loop = loop
        self._draining = False
        self._ending: asyncio.Task[None] | None = None
        if threading.current_thread() is not threading.main_thread():
            self._stop = {}
            return
        self._stop = {number: signal.signal(number, self._hold_back) for number in (signal.SIGTERM, signal.SIGINT)}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a supervisor holds it back until here

    def close(self) -> None:
        """Give the signals back to those who handled them before, where nobody has taken them since."""
        for number, stop in self._stop.items():
            if signal.getsignal(number) == self._hold_back:
                signal.signal(number, stop)
        if self._ending:
            self._ending.cancel()

    def _hold_back(self, number: int, frame: FrameType | None) -> None:
        stop = self._stop[signal.Signals(number)]
        if not callable(stop):
            raise SystemExit(1)
        if self._draining:
            self._loop.call_soon_threadsafe(self._begin)
            stop(number, frame)
            return
        self._draining = True
        self._loop.call_soon_threadsafe(self._drain, number)  # between two turns, and not amid a request

    def _drain(self, number: int) -> None:
        self._begin()
        self._ending = self._loop.create_task(self._let_through(number))

    async def _let_through(self, number: int) -> None:
        if self._seconds:
            logger.info("draining: unready, and answering for %g s more", self._seconds)
            await asyncio.sleep(self._seconds)
        await self._end()
        stop = self._stop[signal.Signals(number)]
        if callable(stop):
            stop(number, None)
