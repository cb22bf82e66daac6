"""Two models on the same rows: equal to a slow twin, bounded, and kept in shared memory as it is."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.comparison import CHANGE_WORDS, Change, ModelComparison, add_up, compare_models, read_change
from runtime.model import Model
from tests.runtime.conftest import export_forest, load_as_served, random_rows


@pytest.fixture(scope="module")
def models(forest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    other = tmp_path_factory.mktemp("other") / "model.onnx"
    export_forest(other, "2.0.0", seed=9)
    return load_as_served(forest_path), load_as_served(other)


class Answers:
    """An engine whose answers are given."""

    def __init__(self, answers: list[list[float]]) -> None:
        self._answers = np.array(answers, np.float32)

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return them."""
        return self._answers


@pytest.mark.parametrize("count", [1, 7, 2049])
def test_a_change_equals_a_twin(models: tuple[Model, Model], count: int) -> None:
    old, new = models
    rows = random_rows(count, 22, seed=count)
    flips, largest = 0, []
    for row in rows:
        before, after = (model.predictor.predict(row[None])[0].astype(float).tolist() for model in models)
        flips += before.index(max(before)) != after.index(max(after))
        largest.append(max(abs(a - b) for a, b in zip(before, after, strict=True)))
    change = compare_models(old.predictor.engine, new.predictor.engine, rows)
    assert (change.rows, change.flips) == (count, flips)
    assert change.max_probability_change == pytest.approx(max(largest), abs=1e-6)
    assert change.mean_probability_change == pytest.approx(sum(largest) / count, abs=1e-6)
    assert change.max_probability_change > 0


def test_a_model_changes_nothing_beside_itself_and_nothing_without_rows(models: tuple[Model, Model]) -> None:
    engine = models[0].predictor.engine
    same = compare_models(engine, engine, random_rows(50, 22, seed=3))
    assert same == Change(rows=50, flips=0, max_probability_change=0, mean_probability_change=0)
    assert compare_models(engine, models[1].predictor.engine, random_rows(0, 22, seed=3)) == add_up(())


def test_a_row_that_one_model_alone_answers_is_a_flip() -> None:
    nan = float("nan")
    old, new = Answers([[0.2, 0.8], [nan, nan], [nan, 0.1]]), Answers([[nan, 0.8], [nan, nan], [0.4, 0.6]])
    change = compare_models(old, new, np.ones((3, 2), np.float32))  # type: ignore[arg-type]
    assert change == Change(rows=3, flips=2, max_probability_change=1.0, mean_probability_change=2 / 3)


def test_parts_add_up_to_the_whole(models: tuple[Model, Model]) -> None:
    old, new = (model.predictor.engine for model in models)
    rows = random_rows(100, 22, seed=5)
    parts = [compare_models(old, new, rows[start:end]) for start, end in ((0, 9), (9, 9), (9, 100))]
    whole = compare_models(old, new, rows)
    together = add_up(parts)
    assert (together.rows, together.flips) == (whole.rows, whole.flips)
    assert together.max_probability_change == whole.max_probability_change
    assert together.mean_probability_change == pytest.approx(whole.mean_probability_change)


def test_words_of_shared_memory_hold_it_exactly() -> None:
    words = memoryview(bytearray(8 * (CHANGE_WORDS + 2))).cast("Q")
    change = Change(rows=2**40, flips=3, max_probability_change=0.1, mean_probability_change=1 / 3)
    change.write(words[1 : 1 + CHANGE_WORDS])
    assert read_change(words[1 : 1 + CHANGE_WORDS]) == change
    assert words[0] == words[-1] == 0


def test_bounds_hold_for_golden_and_recent_rows_together() -> None:
    golden = Change(rows=10, flips=1, max_probability_change=0.2, mean_probability_change=0.1)
    recent = Change(rows=20, flips=2, max_probability_change=0.3, mean_probability_change=0.1)
    comparison = ModelComparison(golden=golden, recent=recent)
    assert comparison.excess(None, None) is None
    assert comparison.excess(3, 0.3) is None
    assert comparison.excess(2, None) == "max_flips: expected at most 2, got 3 of 30 rows"
    assert comparison.excess(None, 0.25) == "max_probability_change: expected at most 0.25, got 0.3"
