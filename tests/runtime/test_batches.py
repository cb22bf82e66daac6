"""One batch: chunks, limits, bad rows, answers that are not finite."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import batches
from runtime.batch_arrays import RawBatch
from runtime.batch_replies import JsonRows, NpyReply
from runtime.batches import Batch, count_labels
from runtime.codec import CODEC
from runtime.drift import MOST_ROWS
from runtime.engine import CHUNK_ROWS
from runtime.model import Model, load_model
from runtime.problems import Problem
from tests.runtime.conftest import random_rows


@pytest.fixture(scope="module")
def model(forest_path: Path) -> Model:
    return load_model(forest_path, threads=1)


def run(
    model: Any, rows: NDArray[np.float32], fail: bool = False, max_rows: int = 3 * CHUNK_ROWS
) -> tuple[Batch, bytes]:
    """Return a batch that has been answered, and its reply."""
    body, reply = RawBatch(22), JsonRows(model.replies, CODEC) if not fail else NpyReply()
    work = Batch(model.predictor, body, reply, fail, max_rows)
    half = 88 * (len(rows) // 2)
    body.feed(rows.tobytes()[:half])
    while work.advance():
        pass
    body.feed(rows.tobytes()[half:])
    body.close()
    while (pieces := work.conclude()) is None:
        pass
    return work, b"".join(pieces)


@pytest.mark.parametrize("count", [1, 2, CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 3])
def test_chunks_make_no_difference(model: Model, count: int) -> None:
    rows = random_rows(count, 22, seed=9)
    expected = model.predictor.predict(rows)
    work, reply = run(model, rows, fail=True)
    assert np.load(io.BytesIO(reply)).tobytes() == expected.tobytes()
    assert work.labels.tolist() == np.bincount(expected.argmax(axis=1), minlength=2).tolist()


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_rows_are_counted_by_class(classes: int) -> None:
    probabilities = np.random.default_rng(classes).integers(0, 4, (500, classes)).astype(np.float32)  # many tie
    expected = np.bincount(probabilities.argmax(axis=1), minlength=classes)
    assert count_labels(probabilities).tolist() == expected.tolist()
    assert count_labels(probabilities[:0]).tolist() == [0] * classes


def test_a_turn_ends_while_rows_are_left(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "TURN_SECONDS", -1.0)
    body = RawBatch(22)
    work = Batch(model.predictor, body, NpyReply(), True, 3 * CHUNK_ROWS)
    body.feed(random_rows(2 * CHUNK_ROWS, 22, seed=9).tobytes())
    assert [work.advance() for _ in range(3)] == [True, False, False]
    assert work.labels.sum() == 2 * CHUNK_ROWS


def test_bad_rows_are_counted_out(model: Model) -> None:
    rows = random_rows(10, 22, seed=10)
    rows[4, 7] = np.nan
    work, reply = run(model, rows)
    assert work.labels.sum() == 9
    assert b'"count":10,"errors":1' in reply
    with pytest.raises(Problem, match=r"^features\[4\]\[7\]: expected a finite number of float32's range, got nan$"):
        run(model, rows, fail=True)


def test_no_row_and_no_good_row_are_refused(model: Model) -> None:
    with pytest.raises(Problem, match=r"^features: expected at least 1 row, got 0$"):
        run(model, random_rows(0, 22, seed=1))
    with pytest.raises(Problem, match=r"^features\[0\]\[0\]: expected a finite number") as caught:
        run(model, np.full((3, 22), np.inf, np.float32))
    assert caught.value.status == 422


def test_one_row_too_many_refuses_the_whole(model: Model) -> None:
    rows = random_rows(8, 22, seed=11)
    assert run(model, rows, max_rows=8)[0].labels.sum() == 8
    with pytest.raises(Problem, match="expected at most 7 rows, got at least 8") as caught:
        run(model, rows, max_rows=7)
    assert caught.value.status == 413


class Overflowing:
    """A predictor whose answer to a large first feature is not finite."""

    def __init__(self, model: Model) -> None:
        self.engine, self.chunk_rows = model.predictor.engine, model.predictor.chunk_rows
        self._infer = model.predictor.infer
        self.observed: list[NDArray[np.float32]] = []

    def infer(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities = self._infer(rows)
        probabilities[rows[:, 0] > 100] = np.nan
        return probabilities

    def observe(self, rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
        assert np.isfinite(probabilities).all()
        self.observed.append(rows.copy())


class WithOverflow:
    """A model with such a predictor."""

    def __init__(self, model: Model) -> None:
        self.card, self.replies, self.predictor = model.card, model.replies, Overflowing(model)


def test_an_answer_that_is_not_finite_is_a_bad_row(model: Model) -> None:
    rows = random_rows(6, 22, seed=12)
    rows[[1, 5], 0] = 200
    rows[1, 3] = np.inf  # refused before the model is asked
    overflowing = WithOverflow(model)
    work, reply = run(overflowing, rows)
    np.testing.assert_array_equal(np.concatenate(overflowing.predictor.observed), rows[[0, 2, 3, 4]])
    assert work.labels.sum() == 4
    assert b'"errors":2' in reply
    assert b"NaN" not in reply
    assert b'{"field":"features[5]","detail":"features[5]: the model\'s answer to these values is not finite"}' in reply
    overflowing.predictor.observed.clear()
    with pytest.raises(Problem, match=r"^features\[1\]\[3\]"):
        run(overflowing, rows, fail=True)
    with pytest.raises(Problem, match=r"^features\[0\]: the model's answer to these values is not finite$"):
        run(overflowing, rows[5:], fail=True)
    assert not overflowing.predictor.observed


def test_of_a_batch_that_is_refused_later_no_row_is_observed(model: Model) -> None:
    rows = random_rows(2 * CHUNK_ROWS + 3, 22, seed=13)
    rows[:, 0] = np.minimum(rows[:, 0], 0)
    watched = WithOverflow(model)
    run(watched, rows)
    chunk = watched.predictor.chunk_rows
    halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]  # as they come
    parts = [half[start : start + chunk] for half in halves for start in range(0, len(half), chunk)]
    seen = [part[:: -(-len(part) // MOST_ROWS)] for part in parts]
    np.testing.assert_array_equal(np.concatenate(watched.predictor.observed), np.concatenate(seen))
    watched.predictor.observed.clear()
    rows[-1, 0] = 200
    with pytest.raises(Problem, match="not finite"):
        run(watched, rows, fail=True)
    with pytest.raises(Problem, match="expected at most"):
        run(watched, rows, max_rows=len(rows) - 1)
    assert not watched.predictor.observed
