"""Intervals of metrics beside scikit-learn's own figures, resample by resample."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.dataset import Part
from training.evidence import _statistics, gather_evidence
from training.metrics import classification_metrics
from training.resampling import resample_rows


def made_up(count: int, seed: int) -> tuple[Part, NDArray[np.int64], NDArray[np.float64]]:
    """Return a part, predictions and probabilities that have something to do with it; probabilities with ties."""
    rng = np.random.default_rng(seed)
    y = (rng.random(count) > 0.4).astype(np.int64)
    probability = np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0.0, 1.0).round(1).astype(np.float64)
    dates = np.arange(count + 1).astype("datetime64[D]").astype("datetime64[us]")
    part = Part(np.zeros((count, 22), np.float32), y, dates[:-1], dates[1:])
    return part, (probability > 0.5).astype(np.int64), probability


def test_statistics_are_those_of_scikit_learn_on_every_resample() -> None:
    part, predicted, probability = made_up(60, seed=1)
    statistics = _statistics(part.y, predicted, probability)
    assert set(statistics) == {"precision", "recall", "f1", "roc_auc"}
    for rows in resample_rows(part.dates, resamples=50):
        expected = classification_metrics(part.y[rows], predicted[rows], probability[rows])
        for name, statistic in statistics.items():
            wanted = expected[name]
            assert statistic(rows) == pytest.approx(np.nan if wanted is None else wanted, nan_ok=True)


def test_what_is_not_defined_is_nan() -> None:
    part, _, probability = made_up(20, seed=1)
    nothing = np.zeros(20, np.int64)
    rows = np.flatnonzero(part.y == 0)
    for statistic in _statistics(part.y, nothing, probability).values():
        assert np.isnan(statistic(rows))


def test_intervals_hold_their_estimates_and_gains_are_paired() -> None:
    part, predicted, probability = made_up(300, seed=2)
    found = gather_evidence(part, predicted, probability, {"same": predicted, "never": np.zeros(300, np.int64)})
    expected = classification_metrics(part.y, predicted, probability)
    for name, interval in found.metrics.items():
        assert interval.estimate == pytest.approx(expected[name])
        assert interval.low < interval.estimate < interval.high
    assert (found.gains["same"].low, found.gains["same"].high) == (0.0, 0.0)
    assert found.gains["never"].estimate == pytest.approx(np.mean(predicted == part.y) - np.mean(part.y == 0))
