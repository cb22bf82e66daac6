"""Ctrl-C and SIGTERM: how they end a command that begins, that works, and that has done its work."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 128 + signal.SIGINT
"""The exit status of who was interrupted."""


def end_at_once_if_interrupted() -> None:
    """Let Ctrl-C end this process without a word, where it would raise an exception.

    A command that still imports, or has ended, has nothing to put in order; and amid an import an exception is a
    traceback, or is lost.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # `nohup` and `&` ignore it
        signal.signal(signal.SIGINT, _end_at_once)


def _end_at_once(*_: object) -> None:
    os._exit(INTERRUPTED)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what runs within by an exception, so that no half-written file stays behind.

    It is a KeyboardInterrupt or a SystemExit, even where a library makes another of it amid its import. A program that
    calls a command and handles these signals itself goes on to.
    """
    import threading

    came = []

    def end(number: int, _: object) -> None:
        came.append(number)
        raise _ending(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, unhandled in (
            (signal.SIGINT, (signal.default_int_handler, _end_at_once)),
            (signal.SIGTERM, (signal.SIG_DFL,)),
        ):
            if signal.getsignal(number) in unhandled:
                before[number] = signal.signal(number, end)
    try:
        yield
    except Exception:
        if came:
            raise _ending(came[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
