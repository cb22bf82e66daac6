"""What an engine must show on golden rows, tried with engines that are wrong in one way each."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.artifact import ArtifactError
from runtime.engine import CHUNK_ROWS, Engine
from runtime.replay import AGREEMENT, Golden, agree, in_batches, replay, row_by_row, settle

Rows = NDArray[np.float32]


class PlainEngine:
    """Two classes by a formula over one feature; `single` and `batch` may be given to differ."""

    name, version, features, classes = "plain", "0", 1, 2
    memory_bytes: int | None = None

    def __init__(self, single: Callable[[Rows], Rows], batch: Callable[[Rows], Rows] | None = None) -> None:
        self.metadata: dict[str, str] = {}
        self.largest = 0
        self._single, self._batch = single, batch or single
        self.bind(1)

    def bind(self, padding: int) -> None:
        self.padding = padding
        self.row = np.zeros((padding, 1), np.float32)

    def predict_one(self) -> Rows:
        first: Rows = self.predict(self.row)[0]
        return first

    def predict(self, rows: Rows) -> Rows:
        self.largest = max(self.largest, len(rows))
        second = (self._single if max(len(rows), self.padding) == 1 else self._batch)(rows[:, 0])
        return np.stack([1 - second, second], axis=1)


def half(values: Rows) -> Rows:
    return (np.float32(0.5) + values / 8).astype(np.float32)


def off(by: float) -> Callable[[Rows], Rows]:
    return lambda values: (half(values) + np.float32(by)).astype(np.float32)


ROWS = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
GOLDEN = Golden(ROWS, in_batches(PlainEngine(half), ROWS).astype(np.float64), 1e-5)


def test_batches_come_in_chunks() -> None:
    engine = PlainEngine(half)
    rows = np.linspace(-1, 1, 2 * CHUNK_ROWS + 1, dtype=np.float32)[:, None]
    assert in_batches(engine, rows).shape == (len(rows), 2)
    assert engine.largest == CHUNK_ROWS
    assert row_by_row(engine, rows[:5]).tobytes() == in_batches(engine, rows[:5]).tobytes()


@pytest.mark.parametrize(
    ("engine", "steady", "padding"),
    [
        (PlainEngine(half), True, 1),
        (PlainEngine(half, off(1e-7)), True, 2),  # one row is run by another kernel: two at once are enough
        (PlainEngine(lambda values: half(values) + np.float32(1e-7) * np.float32(len(values) > 20)), False, 1),
    ],
)
def test_an_engine_is_bound_to_what_gives_the_same_bits(engine: PlainEngine, steady: bool, padding: int) -> None:
    assert settle(engine, ROWS) is steady
    assert engine.padding == padding


@pytest.mark.parametrize(
    ("engine", "way"),
    [(PlainEngine(half, off(2e-5)), "in a batch"), (PlainEngine(off(2e-5), half), "row by row")],
)
def test_a_replay_beyond_the_tolerance_says_in_which_way(engine: Engine, way: str) -> None:
    with pytest.raises(ArtifactError, match=f"certificate: predicted {way}, a golden probability is off by 2e-05"):
        replay(engine, GOLDEN)


def test_a_replay_says_how_far_it_was() -> None:
    found = replay(PlainEngine(off(4e-6)), GOLDEN)
    assert found.rows == 400
    assert found.max_probability_difference == pytest.approx(4e-6, rel=0.02)


def test_a_nan_is_beyond_every_bound() -> None:
    engine = PlainEngine(lambda values: values * np.float32("nan"))
    with pytest.raises(ArtifactError, match="off by inf"):
        replay(engine, GOLDEN)
    with pytest.raises(ArtifactError, match="is inf from it"):
        agree(engine, PlainEngine(half), GOLDEN)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (0.0, 0.0, True),
        (0.9e-6, 0.0, True),
        (1.2e-6, 0.0, False),
        (0.0, 6e-6, True),  # it is the reference that is off
        (12.5e-6, 6e-6, True),  # 6.5e-6 from the reference, which is 6e-6 off itself
        (13.5e-6, 6e-6, False),
    ],
)
def test_the_bound_is_beyond_the_reference_s_own_error(ours: float, theirs: float, agreed: bool) -> None:
    assert AGREEMENT == 1e-6
    engine, reference = PlainEngine(off(ours)), PlainEngine(off(theirs))
    if agreed:
        assert agree(engine, reference, GOLDEN).label_flips == 0
    else:
        with pytest.raises(ArtifactError, match=r"predicted in a batch, .* of 400 golden rows are not plain's"):
            agree(engine, reference, GOLDEN)


def test_one_other_label_is_a_refusal() -> None:
    # Both are within the bound of each other, on either side of one half.
    golden = Golden(np.zeros((1, 1), np.float32), np.array([[0.5, 0.5]]), 1e-5)
    with pytest.raises(ArtifactError, match="1 labels of 1 golden rows"):
        agree(PlainEngine(off(2e-7)), PlainEngine(off(-2e-7)), golden)
