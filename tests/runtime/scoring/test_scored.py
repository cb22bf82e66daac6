"""What is kept of a block."""

import numpy as np
import pyarrow as pa
import pytest

from runtime.scoring.reading import Block
from runtime.scoring.scored import keep


@pytest.mark.parametrize("kept", [[1] * 200, [0, 1] * 100, [1] * 90 + [0] * 20 + [1] * 90, [0] * 200])
def test_rows_and_their_answers_stay_together(kept: list[int]) -> None:
    mask = np.array(kept, bool)
    block = Block(np.arange(1, 201), {}, np.arange(200, dtype=np.int32), pa.array([str(n) for n in range(200)]))
    answers = np.arange(400, dtype=np.float32).reshape(2, 200)
    scored = keep(block, mask.copy(), answers, np.arange(200) * 10, 0, [])
    rows = np.flatnonzero(mask)
    assert scored.codes is not None
    assert scored.times is not None
    assert (scored.rows - 1).tolist() == scored.codes.tolist() == (scored.times // 10).tolist() == rows.tolist()
    np.testing.assert_array_equal(scored.probabilities, answers[:, rows])


def test_answers_that_are_not_finite_are_errors() -> None:
    block = Block(np.arange(1, 5), {}, np.empty(0, np.int32), pa.array([], pa.string()))
    answers = np.array([[0.5, np.nan, 0.5, np.nan], [0.5, 0.5, np.inf, 0.5]], np.float32)
    scored = keep(block, np.array([True, True, True, False]), answers, None, 0, [])
    assert scored.rows.tolist() == [1]
    assert scored.rejects == [(row, "expected a finite answer of the model, got none") for row in (2, 3)]
