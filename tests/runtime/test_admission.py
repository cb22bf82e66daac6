"""How much a worker takes on, by how long batches wait."""

from contextlib import ExitStack
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.admission import Admission
from runtime.metrics import WORDS, Metrics
from runtime.problems import Problem


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only a test moves on."""
    now = [100.0]
    monkeypatch.setattr("runtime.admission.perf_counter", lambda: now[0])
    return now


def made(longest: float) -> Admission:
    """Return an admission that is bound by how many seconds batches wait alone."""
    return Admission(1000, 10**9, longest, Metrics(memoryview(bytearray(8 * WORDS)).cast("q")))


@pytest.fixture
def admission() -> Admission:
    return made(1.0)


def refused(admission: Admission) -> str:
    """Return with which words a batch is refused; empty where it is let in."""
    with ExitStack() as stack:
        try:
            stack.enter_context(admission.bulk(1))
        except Problem as problem:
            found = problem
        else:
            return ""
    assert (found.status, found.headers) == (503, {"Retry-After": "1"})
    return str(found)


def test_no_batch_is_let_in_while_one_has_waited_too_long(clock: list[float], admission: Admission) -> None:
    with ExitStack() as stack:
        stack.enter_context(admission.bulk(10))
        clock[0] += 100.0  # its body is slow in coming, which no other has to wait for
        assert refused(admission) == ""
        stack.enter_context(admission.turn())
        for _ in range(4):
            clock[0] += 0.1
            stack.enter_context(admission.turn())
            assert refused(admission) == ""
        clock[0] += 0.2
        assert refused(admission) == "batches wait for 0.6 s for their turn"
        with admission.single():  # a prediction is let in all the same
            pass
    assert refused(admission) == ""


def test_the_oldest_of_those_who_wait_decides(clock: list[float], admission: Admission) -> None:
    first, second = admission.turn(), admission.turn()
    first.__enter__()
    clock[0] += 0.4
    second.__enter__()
    clock[0] += 0.2
    assert "0.6 s" in refused(admission)
    first.__exit__(None, None, None)
    assert refused(admission) == ""
    clock[0] += 0.5
    assert "0.7 s" in refused(admission)
    second.__exit__(None, None, None)
    assert refused(admission) == ""


def test_turns_that_would_take_too_long_are_not_queued(clock: list[float], admission: Admission) -> None:
    for _ in range(100):
        with admission.turn():
            clock[0] += 0.1
        clock[0] += 5.0  # in which none is asked for
    with ExitStack() as stack:
        for waiting in range(6):
            assert refused(admission) == "", waiting
            stack.enter_context(admission.bulk(1))
            if waiting < 2:  # the bodies of the others still arrive
                stack.enter_context(admission.turn())
        assert refused(admission) == "batches wait for 0.6 s for their turn"


@settings(max_examples=100, derandomize=True, deadline=None)
@given(seconds=st.lists(st.floats(0.001, 0.2), min_size=1, max_size=60), late=st.integers(1, 40))
def test_no_one_waits_much_longer_than_the_bound(seconds: list[float], late: int) -> None:
    """Turns take as long as the last of them did: half of the bound and that turn are the longest wait."""
    now = [100.0]
    with patch("runtime.admission.perf_counter", lambda: now[0]):
        admission = made(1.0)
        for each in (*seconds, *(seconds[-1:] * 100)):
            with admission.turn():
                now[0] += each
        waiting: list[tuple[float, ExitStack]] = []
        for _ in range(late):
            if not refused(admission):
                batch = ExitStack()
                batch.enter_context(admission.bulk(1))
                batch.enter_context(admission.turn())
                waiting.append((now[0], batch))
        for asked, batch in waiting:
            now[0] += seconds[-1]
            batch.close()
            assert now[0] - asked <= 0.5 + 2.1 * seconds[-1]


def test_a_batch_whose_turn_comes_too_late_is_refused(clock: list[float], admission: Admission) -> None:
    """Its other turns are not, because work has gone into it by then; nor is one that waits for no other batch."""
    done: list[str] = []

    def take_turn(name: str, waited: float) -> None:
        with admission.turn() as guard:
            clock[0] += waited
            guard(lambda: done.append(name))()

    with admission.bulk(10):
        take_turn("alone", 5.0)
    admission = made(0.5)
    with admission.bulk(10), admission.turn(), admission.bulk(10):
        take_turn("first", 0.4)
        take_turn("second", 5.0)
    admission = made(0.5)
    late = pytest.raises(Problem, match=r"^batches wait for 0\.6 s for their turn$")
    with admission.bulk(10), admission.turn(), admission.bulk(10), late as caught:
        take_turn("late", 0.6)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    assert done == ["alone", "first", "second"]
    assert refused(admission) == ""
