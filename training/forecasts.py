"""Forecasts beside each other: what each one loses by row, and whether the difference is more than chance."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.defaults import CONFIDENCE
from training.resampling import Interval, mean_interval

_CERTAIN = 1e-6  # a probability nearer to 0 or 1 is taken for this one: a forest may say 0 and be wrong


def _log_loss(y: NDArray[np.int64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    truth = np.where(y == 1, up, 1 - up)
    lost: NDArray[np.float64] = -np.log(np.clip(truth, _CERTAIN, 1 - _CERTAIN))
    return lost


def _brier(y: NDArray[np.int64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.square(up - y)


def _error(y: NDArray[np.int64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong: NDArray[np.bool_] = (up > 0.5) != (y == 1)
    return wrong.astype(np.float64)


LOSSES: dict[str, Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "error": _error,
}
"""Loss of each row by name, lower is better: of targets, (n,) int64, and probabilities of UP, (n,) float64.

``log_loss`` in nats; ``brier``, the squared difference; ``error``, 1 where the label is wrong: 1 - accuracy.
"""


def gain(
    y: NDArray[np.int64],
    dates: NDArray[np.datetime64],
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    *,
    loss: str = "log_loss",
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return by how much less one forecast loses than another on the same rows, with an interval.

    Parameters
    ----------
    y : (n,) int64
        What happened: 1 (UP) or 0 (DOWN).
    dates : (n,) datetime64
        When.
    ours, theirs : (n,) float64
        Two forecasts of the probability of UP.
    loss : str
        One of `LOSSES`.
    confidence : float
        Of the interval, see `training.resampling`.
    """
    return mean_interval(LOSSES[loss](y, theirs) - LOSSES[loss](y, ours), dates, confidence=confidence)
