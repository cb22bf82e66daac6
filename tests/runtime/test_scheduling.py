"""Short slices: asked for by the event loop's thread alone, where Linux has them."""

import os
import platform
import re
import threading
from pathlib import Path

from bench.in_process import TurnLoop, start_application
from runtime.scheduling import SLICE_NANOSECONDS, ask_for_short_slices, slice_of, take_usual_slices
from tests.serving import running_server, wait_until


def in_a_thread(work: object) -> list[object]:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return found


def linux() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", platform.release())[:2]))


def test_the_answer_is_what_the_kernel_does() -> None:
    assert in_a_thread(ask_for_short_slices) == [linux() >= (6, 12)]


def test_nothing_else_of_a_thread_changes() -> None:
    def work() -> tuple[int, int]:
        os.nice(3)
        ask_for_short_slices()
        take_usual_slices()
        return os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)

    assert in_a_thread(work) == [(os.getpriority(os.PRIO_PROCESS, 0) + 3, os.SCHED_OTHER)]


def test_another_policy_is_left_alone() -> None:
    def work() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return ask_for_short_slices(), os.sched_getscheduler(0)

    assert in_a_thread(work) == [(False, os.SCHED_BATCH)]


def test_an_application_in_this_process_leaves_it_as_it_was(forest_path: Path, tmp_path: Path) -> None:
    before = slice_of()
    start_application(forest_path, tmp_path, TurnLoop())
    assert slice_of() == before != SLICE_NANOSECONDS


def test_the_event_loop_alone_has_short_slices(forest_path: Path) -> None:
    def short(process: int) -> list[int]:
        threads = [int(task.name) for task in Path(f"/proc/{process}/task").iterdir()]
        return [thread for thread in threads if slice_of(thread) == SLICE_NANOSECONDS]

    with running_server(forest_path, WORKERS="1") as server:
        rows = b'{"features":[' + b",".join([b"[" + b",".join([b"1"] * 22) + b"]"] * 9_000) + b"]}"
        assert server.request("POST", "/predict/batch", rows).status == 200
        process = server.process.pid
        expected = [process] if linux() >= (6, 12) else []
        # A thread has short slices until it begins to run.
        wait_until(lambda: short(process) == expected, "no other thread has short slices")
