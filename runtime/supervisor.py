"""The parent of several workers: it replaces one that dies or hangs, and stops them all in order."""

import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker

from uvicorn.config import Config
from uvicorn.supervisors import Multiprocess

from runtime.listening import ACCEPTING_SECONDS, HANDSHAKE_SECONDS

logger = logging.getLogger("tickline")

_PATIENCE_SECONDS = 5.0  # beyond the grace that workers have themselves


class Supervisor(Multiprocess):
    """uvicorn's supervisor with an end that cannot hang.

    Parameters
    ----------
    config : Config
        As uvicorn takes it; `timeout_worker_healthcheck` is how long a worker may leave a ping unanswered.
    sockets : list of socket
        What all workers listen on.
    drain_seconds : float
        How long workers go on answering after they have been told to stop.
    reload : callable
        Called at SIGHUP.
    ending : callable
        Called before all workers are told to stop.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        drain_seconds: float,
        reload: Callable[[], None],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config, sockets)
        self._drain_seconds = drain_seconds
        self._reload = reload
        self._ending = ending

    def init_processes(self) -> None:
        """Start the workers."""
        resource_tracker.ensure_running()  # when multiprocessing starts it itself, Ctrl-C is no longer held back
        with _holding_back_interrupts():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or hang."""
        with _holding_back_interrupts():
            super().keep_subprocess_alive()

    def handle_hup(self) -> None:
        """Ask the workers for a reload; uvicorn would start all of them anew."""
        self._reload()

    def terminate_all(self) -> None:
        """Tell all workers to stop, and that the others do too."""
        self._ending()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for all workers; stop listening when they have, and kill one that outlives its time."""
        end = time.monotonic() + self._drain_seconds + HANDSHAKE_SECONDS + ACCEPTING_SECONDS
        for process in self.processes:
            process.process.join(max(0.0, end - time.monotonic()))
        for listener in self.sockets:
            # Every worker has a copy of the socket: closed here alone, it would go on taking connections.
            with contextlib.suppress(OSError):  # no worker has come to listen on it
                listener.shutdown(socket.SHUT_RDWR)
        end += (self.config.timeout_graceful_shutdown or 0) + _PATIENCE_SECONDS
        for process in self.processes:
            process.process.join(max(0.0, end - time.monotonic()))
            if process.exitcode is None:
                logger.error("worker [%s] did not stop in time and is killed", process.pid)
                process.kill()
        super().join_all()


@contextlib.contextmanager
def _holding_back_interrupts() -> Iterator[None]:
    """Let workers that are started within see no Ctrl-C, which reaches them too, until they let it in themselves.

    A worker that still imports would end in a traceback, or not at all.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
