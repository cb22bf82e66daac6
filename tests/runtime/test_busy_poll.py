"""A loop that goes on turning after a prediction: for how long, what ends it, and that nothing else changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import busy_poll
from runtime.admission import Admission
from runtime.busy_poll import BusyPoll
from runtime.metrics import WORDS, Metrics
from tests.runtime.conftest import random_rows
from tests.serving import Connection, running_server, wait_until

MICROSECOND = 1000  # in nanoseconds


class Loop:
    """Does what it is asked when it is told, a turn of a microsecond each."""

    def __init__(self) -> None:
        self.now = 0
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, work: Callable[[], None]) -> None:
        """Take work for the next turn."""
        self.soon.append(work)

    def turns(self, most: int = 10_000) -> int:
        """Turn until there is nothing to do; return how many turns there were."""
        for count in range(most):
            if not self.soon:
                return count
            work, self.soon = self.soon, []
            self.now += MICROSECOND
            for each in work:
                each()
        return most


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(busy_poll, "perf_counter_ns", lambda: made.now)
    monkeypatch.setattr("sys.setswitchinterval", lambda seconds: None)  # it is the whole process's
    return made


@pytest.fixture
def admission() -> Admission:
    return Admission(1000, 10**9, 1.0, Metrics(memoryview(bytearray(8 * WORDS)).cast("q")))


def poll(loop: Loop, admission: Admission) -> BusyPoll:
    return BusyPoll(loop, 50, admission)  # type: ignore[arg-type]


def test_it_turns_for_its_time_and_then_sleeps(loop: Loop, admission: Admission) -> None:
    staying = poll(loop, admission)
    for _ in range(3):
        staying.stay(loop.now)
        assert loop.turns() == 50


def test_the_newest_prediction_counts_and_turns_are_not_doubled(loop: Loop, admission: Admission) -> None:
    staying = poll(loop, admission)
    staying.stay(loop.now)
    loop.turns(20)
    staying.stay(loop.now)
    staying.stay(loop.now)
    assert len(loop.soon) == 1
    assert loop.turns() == 50


def test_it_sleeps_while_a_batch_is_under_way(loop: Loop, admission: Admission) -> None:
    staying = poll(loop, admission)
    staying.stay(loop.now)
    with admission.bulk(10):
        assert loop.turns() == 1
        staying.stay(loop.now)
        assert loop.turns() == 1
    staying.stay(loop.now)
    assert loop.turns() == 50


def states(process: int) -> set[str]:
    """Return what a process was doing at some moments: R runs or could, S sleeps."""
    return {Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] for _ in range(500)}


def predictions(connection: Connection, rows: list[list[float]]) -> Any:
    return connection.post("/predict/batch", {"features": rows}).json()["predictions"]


def test_a_worker_stays_awake_after_a_prediction_and_answers_all_else_as_ever(forest_path: Path) -> None:
    rows = random_rows(3000, 22, seed=5).tolist()
    with running_server(forest_path, WORKERS="1") as plain, plain.connection() as connection:
        expected = [predictions(connection, some) for some in (rows[:1], rows)]
        wait_until(lambda: states(plain.process.pid) == {"S"}, "sleep")
    settings = {"WORKERS": "1", "BUSY_POLL_US": str(10**6)}
    with running_server(forest_path, **settings) as server, server.connection() as connection:

        def stays_awake() -> bool:
            assert connection.post("/predict", {"features": rows[0]}).status == 200
            return states(server.process.pid) == {"R"}

        wait_until(lambda: states(server.process.pid) == {"S"}, "sleep before any prediction")
        for _ in range(2):
            wait_until(stays_awake, "no sleep after a prediction")
            assert [predictions(connection, some) for some in (rows[:1], rows)] == expected
        wait_until(lambda: states(server.process.pid) == {"S"}, "sleep in the end")
        assert server.request("GET", "/health/ready").status == 200
