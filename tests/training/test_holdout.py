from pathlib import Path

import numpy as np
import pytest

from training.dataset import Dataset
from training.errors import DataError
from training.holdout import Holdout, decode, from_datasets
from training.metrics import baseline_probabilities


@pytest.fixture
def holdout(dataset: Dataset, tmp_path: Path) -> Holdout:
    """Return the test rows as a training run leaves them."""
    dataset.save(tmp_path / "datasets.npz")
    return from_datasets(tmp_path / "datasets.npz")


def test_it_holds_the_test_rows_and_the_baselines_of_the_training_rows(holdout: Holdout, dataset: Dataset) -> None:
    assert holdout.X.tobytes() == dataset.test.X.tobytes()
    assert holdout.dates.tolist() == dataset.test.dates.tolist()
    expected = baseline_probabilities(dataset.train.X, dataset.train.y, dataset.test.X)
    assert holdout.baselines.keys() == expected.keys()
    for name, probability in expected.items():
        np.testing.assert_array_equal(holdout.baselines[name], probability)


def test_it_travels_unchanged(holdout: Holdout) -> None:
    arrived = decode(holdout.encode(), "there")
    for ours, theirs in zip(vars(holdout).values(), vars(arrived).values(), strict=True):
        np.testing.assert_equal(theirs, ours)


def test_later_rows_are_those_after_a_date(holdout: Holdout) -> None:
    date = holdout.dates[30]
    later = holdout.after(date)
    assert later.dates.tolist() == holdout.dates[31:].tolist()
    assert later.X.tobytes() == holdout.X[31:].tobytes()
    assert later.y.tolist() == holdout.y[31:].tolist()
    assert {name: len(values) for name, values in later.baselines.items()} == dict.fromkeys(
        later.baselines, len(later.y)
    )
    assert len(holdout.after(holdout.dates[-1]).y) == 0


def test_damage_is_named(holdout: Holdout, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there: expected an \.npz file of rows"):
        decode(holdout.encode()[:200], "there")
    np.savez(tmp_path / "x.npz", X=holdout.X, y=holdout.y)
    with pytest.raises(DataError, match="there: expected X, y, dates, found no dates"):
        decode((tmp_path / "x.npz").read_bytes(), "there")
    short = Holdout(holdout.X[1:], holdout.y, holdout.dates, holdout.baselines)
    with pytest.raises(DataError, match=r"there, X: expected 82 rows of float32, got float32 \(81, 22\)"):
        decode(short.encode(), "there")
    with pytest.raises(DataError, match=r"no/datasets\.npz: cannot be read: No such file"):
        from_datasets(Path("no/datasets.npz"))
