"""The sample of recent rows: bounded, by the clock, and without a trace on the predictor between two of its calls."""

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.batch_arrays import RawBatch
from runtime.batch_replies import JsonRows
from runtime.batches import Batch
from runtime.predictor import Predictor
from runtime.recent_rows import MOST_BYTES, MOST_OF_A_CALL, SAMPLE_SECONDS, RecentRows
from runtime.replies import ReplyWriter
from tests.runtime.conftest import load_as_served, random_rows


@pytest.fixture
def predictor(forest_path: Path) -> Predictor:
    return load_as_served(forest_path).predictor


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def predict(predictor: Predictor, row: NDArray[np.float32]) -> None:
    tell(predictor, row[None])


def tell(predictor: Predictor, rows: NDArray[np.float32]) -> None:
    predictor.tell(rows, predictor.predict(rows))


def test_one_call_is_taken_each_time_that_it_is_armed(predictor: Predictor) -> None:
    clock, rows = Clock(), random_rows(9, 22, seed=1)
    recent = RecentRows(22, 4, clock)
    for row in rows:
        recent.arm(predictor)
        predict(predictor, row)
        predict(predictor, row + 1)  # not armed again
        recent.arm(predictor)  # not yet time
        predict(predictor, row + 2)
        clock.now += SAMPLE_SECONDS
    assert sorted(recent.rows().tolist()) == sorted(rows[-4:].tolist())


def test_nothing_stays_on_the_predictor(predictor: Predictor) -> None:
    told: list[int] = []
    predictor.observe = plain = lambda rows, probabilities: told.append(len(rows))
    recent = RecentRows(22, 4)
    recent.arm(predictor)
    assert predictor.observe is not plain
    predict(predictor, random_rows(1, 22, seed=1)[0])
    assert predictor.observe is plain
    assert told == [1]  # the drift counts a row that is taken as any other
    other = RecentRows(22, 4)
    other.arm(predictor)
    other.disarm()
    assert predictor.observe is plain
    none = RecentRows(22, 0)
    none.arm(predictor)
    assert predictor.observe is plain
    assert none.rows().shape == (0, 22)


def test_a_thread_that_is_late_puts_nothing_back_on_a_model_that_is_served_no_more(predictor: Predictor) -> None:
    told: list[int] = []
    predictor.observe = lambda rows, probabilities: told.append(len(rows))
    recent = RecentRows(22, 4)
    recent.arm(predictor)
    late, rows = predictor.observe, random_rows(1, 22, seed=1)
    recent.disarm()
    predictor.end_observation()
    late(rows, predictor.predict(rows))
    told.clear()
    tell(predictor, rows)
    assert told == []


def test_a_batch_gives_a_few_of_its_rows_and_no_bad_one(predictor: Predictor) -> None:
    rows = random_rows(1000, 22, seed=2)
    recent = RecentRows(22, 256)
    recent.arm(predictor)
    tell(predictor, rows)
    taken = recent.rows()
    assert 1 < len(taken) <= MOST_OF_A_CALL
    assert {row.tobytes() for row in taken} <= {row.tobytes() for row in rows}
    bad = RecentRows(22, 256)
    bad.arm(predictor)
    body, reply = RawBatch(22), JsonRows(ReplyWriter(predictor.card))
    rough = rows[:5].copy()
    rough[1:4, 7] = np.nan
    body.feed(rough.tobytes())
    body.close()
    assert Batch(predictor, body, reply, fail=False, max_rows=5).conclude()
    np.testing.assert_array_equal(bad.rows(), rows[[0, 4]])


def test_memory_is_bounded_however_wide_rows_are() -> None:
    wide = RecentRows(100_000, 65_536)
    predictor = type("Wide", (), {"observe": staticmethod(lambda rows, probabilities: None)})()
    for index in range(20):
        wide._next = 0.0
        wide.arm(predictor)
        predictor.observe(np.full((1, 100_000), index + 1, np.float32), None)
    held = wide.rows()
    assert held.nbytes <= MOST_BYTES
    assert sorted(held[:, 0].tolist()) == [19, 20]


def test_threads_that_predict_while_it_is_armed_lose_no_observer(predictor: Predictor) -> None:
    rows, count, told = random_rows(1, 22, seed=3), 4, []
    predictor.observe = plain = lambda rows, probabilities: told.append(len(rows))
    clock = Clock()
    recent = RecentRows(22, 64, clock)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            tell(predictor, rows)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        clock.now += SAMPLE_SECONDS
        recent.arm(predictor)
    done.set()
    for thread in threads:
        thread.join()
    clock.now += SAMPLE_SECONDS
    recent.arm(predictor)
    tell(predictor, rows)
    assert predictor.observe is plain
    assert told
    assert all(row.tobytes() == rows.tobytes() for row in recent.rows())
