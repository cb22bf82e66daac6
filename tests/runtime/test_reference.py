"""onnxruntime beside another engine: when it stays, and what it checks."""

import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.reference import Reference, keeps_reference
from tests.runtime.test_replay import PlainEngine, half, off

MIB = 2**20
ROWS = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]


@pytest.mark.parametrize(
    ("wish", "limit", "kept"),
    [
        ("YES", MIB, True),
        ("NO", None, False),
        ("AUTO", None, True),
        ("AUTO", 100 * MIB, True),  # two sessions of five times the file are a tenth of it
        ("AUTO", 100 * MIB - 10, False),
    ],
)
def test_it_stays_where_there_is_room(wish: str, limit: int | None, kept: bool) -> None:
    assert keeps_reference(wish, MIB, workers=2, limit=limit) is kept


def answers(by: float) -> NDArray[np.float32]:
    return PlainEngine(off(by)).predict(ROWS)


def test_every_chunk_has_another_row_checked(caplog: pytest.LogCaptureFixture) -> None:
    reference = Reference(PlainEngine(half), tolerance=1e-5)
    caplog.set_level(logging.WARNING, "tickline")
    given = answers(0.0)
    given[2, 1] += np.float32(4e-6)
    for _ in range(3):
        reference.check(ROWS, given)
    assert reference.checked.rows == 3
    assert reference.checked.max_probability_difference == pytest.approx(4e-6, rel=0.02)
    assert not caplog.records


def test_what_is_beyond_the_tolerance_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    reference = Reference(PlainEngine(half), tolerance=1e-5)
    caplog.set_level(logging.WARNING, "tickline")
    for by in (0.0, 1e-3, 1e-2, 0.9):
        reference.check(ROWS, answers(by))
    assert [record.getMessage() for record in caplog.records] == [
        "a probability is 0.001 from onnxruntime's; allowed are 1e-05"
    ]
    assert reference.checked.label_flips == 1


def test_few_rows_and_rows_without_a_finite_answer_are_not_checked() -> None:
    reference = Reference(PlainEngine(half), tolerance=1e-5)
    reference.check(ROWS[:63], answers(0.1)[:63])
    endless = Reference(PlainEngine(lambda values: values * np.float32("inf")), tolerance=1e-5)
    endless.check(ROWS, answers(0.1))
    assert reference.checked.rows == endless.checked.rows == 0
