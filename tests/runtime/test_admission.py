"""How much a worker takes on, by how long batches wait."""

from contextlib import ExitStack

import pytest

from runtime.admission import Admission
from runtime.metrics import WORDS, Metrics
from runtime.problems import Problem


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only a test moves on."""
    now = [100.0]
    monkeypatch.setattr("runtime.admission.perf_counter", lambda: now[0])
    return now


@pytest.fixture
def admission() -> Admission:
    return Admission(1000, 10**9, 0.5, Metrics(memoryview(bytearray(8 * WORDS)).cast("q")))


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
        assert refused(admission) == "a batch has been waiting for its turn for 0.6 s"
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
