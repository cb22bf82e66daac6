"""The handling of signals while a server stops, and after."""

import asyncio
import signal
import threading
from pathlib import Path
from types import FrameType

from bench.in_process import TurnLoop, start_application
from runtime.drain import Drain

NUMBERS = (signal.SIGTERM, signal.SIGINT)


async def nothing() -> None:
    """End at once."""


def test_signals_are_given_back_to_whoever_handled_them_before() -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        raise AssertionError("no signal is sent")

    async def live() -> None:
        drain = Drain(0, lambda: None, nothing, asyncio.get_running_loop())
        assert handle not in [signal.getsignal(number) for number in NUMBERS]
        drain.close()

    before = [signal.signal(number, handle) for number in NUMBERS]
    try:
        asyncio.run(live())
        assert [signal.getsignal(number) for number in NUMBERS] == [handle, handle]
    finally:
        for number, handler in zip(NUMBERS, before, strict=True):
            signal.signal(number, handler)


def test_an_application_that_is_cancelled_gives_the_signals_back(forest_path: Path, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    start_application(forest_path, tmp_path / "server", TurnLoop())
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_signals_that_another_has_taken_since_stay_with_that_one() -> None:
    async def live() -> None:
        drain = Drain(0, lambda: None, nothing, asyncio.get_running_loop())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        drain.close()

    before = {number: signal.getsignal(number) for number in NUMBERS}
    try:
        asyncio.run(live())
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == before[signal.SIGINT]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_in_another_thread_no_signal_is_touched() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    after: list[object] = []

    async def live() -> None:
        drain = Drain(0, lambda: None, nothing, asyncio.get_running_loop())
        after.extend(signal.getsignal(number) for number in NUMBERS)
        drain.close()

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    thread.join()
    assert before == after


def test_a_signal_goes_through_after_the_drain_and_its_end_have_passed() -> None:
    seen: list[str] = []

    async def end() -> None:
        seen.append("end")

    async def live() -> None:
        over = asyncio.Event()

        def handle(number: int, frame: FrameType | None) -> None:
            seen.append("signal")
            over.set()

        signal.signal(signal.SIGTERM, handle)
        drain = Drain(0, lambda: seen.append("begin"), end, asyncio.get_running_loop())
        signal.raise_signal(signal.SIGTERM)
        await over.wait()
        drain.close()

    before = signal.getsignal(signal.SIGTERM)
    try:
        asyncio.run(live())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["begin", "end", "signal"]
