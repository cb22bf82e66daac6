"""What a model's predictions are worth on rows in time: each metric with its interval, from resamples of blocks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.dataset import Part
from training.resampling import Interval, bootstrap_interval, mean_interval

RESAMPLES = 1000
"""Enough for two digits of a bound, in half a second a part."""

Statistic = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Intervals of the metrics of one part, and of the gain in accuracy over each baseline.

    Attributes
    ----------
    metrics : dict of str to Interval
        ``accuracy``, ``precision``, ``recall``, ``f1`` and ``roc_auc``, as `training.metrics` defines them.
    gains : dict of str to Interval
        By how much the model is more accurate than a baseline on the same rows.
    """

    metrics: dict[str, Interval]
    gains: dict[str, Interval]


def gather_evidence(
    part: Part, predicted: NDArray[np.int64], probability: NDArray[np.float64], baselines: dict[str, NDArray[np.int64]]
) -> Evidence:
    """Return the intervals of predictions.

    Parameters
    ----------
    part : Part
        The rows, with what happened and when.
    predicted : (n,) int64
        The predicted classes.
    probability : (n,) float64
        The predicted probability of UP.
    baselines : dict of str to (n,) int64
        What each baseline says.
    """
    right = (predicted == part.y).astype(np.float64)
    metrics = {"accuracy": mean_interval(right, part.dates, resamples=RESAMPLES)}
    for name, statistic in _statistics(part.y, predicted, probability).items():
        metrics[name] = bootstrap_interval(statistic, part.dates, resamples=RESAMPLES)
    gains = {
        name: mean_interval(right - (guess == part.y), part.dates, resamples=RESAMPLES)
        for name, guess in baselines.items()
    }
    return Evidence(metrics, gains)


def _statistics(
    y: NDArray[np.int64], predicted: NDArray[np.int64], probability: NDArray[np.float64]
) -> dict[str, Statistic]:
    """Return what `training.metrics.classification_metrics` computes, fast enough for thousands of resamples."""
    hits, calls, ups = y * predicted, predicted, y
    places = np.argsort(probability, kind="stable")
    order = np.empty(len(y), np.int64)
    _, order[places] = np.unique(probability[places], return_inverse=True)  # equal probabilities have one rank
    ranks = int(order.max(initial=0)) + 1

    def ratio(above: float, below: float) -> float:
        return float(above / below) if below else float("nan")

    def area(rows: NDArray[np.int64]) -> float:
        up = np.bincount(order[rows], weights=y[rows], minlength=ranks)
        down = np.bincount(order[rows], minlength=ranks) - up
        pairs = up.sum() * down.sum()
        return float((up * (down.cumsum() - 0.5 * down)).sum() / pairs) if pairs else float("nan")

    return {
        "precision": lambda rows: ratio(hits[rows].sum(), calls[rows].sum()),
        "recall": lambda rows: ratio(hits[rows].sum(), ups[rows].sum()),
        "f1": lambda rows: ratio(2 * hits[rows].sum(), calls[rows].sum() + ups[rows].sum()),
        "roc_auc": area,
    }
