"""onnxruntime beside another engine that serves: whether it stays, and what it checks."""

import logging

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import Comparison, compare
from runtime.engine import Engine

logger = logging.getLogger("tickline")

SESSION_BYTES = 5
"""Memory of a session for each byte of the model file: 4.1 for forests, the hungriest of the three model types."""

_SHARE = 10  # of the memory limit may be taken by the sessions of all workers together: one in so many parts
_CHECKED_ROWS = 64  # a smaller chunk may be a caller's few rows, which a second answer would delay


def keeps_reference(wish: str, size: int, workers: int, limit: int | None) -> bool:
    """Tell whether onnxruntime's session stays after the comparison at load.

    Parameters
    ----------
    wish : str
        The setting `KEEP_REFERENCE`: YES, NO or AUTO, which asks for room within the memory limit.
    size : int
        Bytes of the model file.
    workers : int
        Worker processes.
    limit : int or None
        Bytes that the container may use; None where nothing bounds it.
    """
    if wish != "AUTO":
        return wish == "YES"
    return limit is None or workers * SESSION_BYTES * size <= limit // _SHARE


class Reference:
    """onnxruntime, asked again for one row of every chunk of a batch that another engine has answered.

    Parameters
    ----------
    engine : Engine
        onnxruntime, loaded with the same model.
    tolerance : float
        Difference of a probability above which the log warns, once.
    """

    def __init__(self, engine: Engine, tolerance: float) -> None:
        self._engine = engine
        self._tolerance = tolerance
        self.checked = Comparison(0, 0.0, 0)
        """What was found so far; a row that onnxruntime itself gives no finite answer is not counted."""

    def check(self, rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
        """Compare one row, another one each time.

        Parameters
        ----------
        rows : (n, features) float32 array
            A chunk of a batch.
        probabilities : (n, classes) float32 array
            The other engine's answers.
        """
        if len(rows) < _CHECKED_ROWS:
            return
        before = self.checked
        index = before.rows % len(rows)
        theirs = self._engine.predict(rows[index : index + 1])
        if not np.isfinite(theirs).all():
            return
        found = compare(probabilities[index : index + 1], theirs)
        largest = max(before.max_probability_difference, found.max_probability_difference)
        if largest > self._tolerance >= before.max_probability_difference:
            logger.warning("a probability is %.3g from onnxruntime's; allowed are %.3g", largest, self._tolerance)
        self.checked = Comparison(before.rows + 1, largest, before.label_flips + found.label_flips)
