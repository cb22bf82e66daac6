"""What a server answers, as types."""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction.

    Attributes
    ----------
    prediction : int
        The most probable class.
    label : str
        Its label.
    probability : float
        Its probability.
    probabilities : dict of str to float
        The probability of every label.
    model_version : str
        Which model answered.
    timestamp : datetime
        When, in UTC.
    """

    prediction: int
    label: str = msgspec.field(name="prediction_label")
    probability: float
    probabilities: dict[str, float]
    model_version: str
    timestamp: datetime


class BarMark(msgspec.Struct, frozen=True):
    """The bar that a prediction is for: its place in what was sent, and its date where it has one."""

    index: int
    date: str | None = None


class BarPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction for one bar; members as those of `Prediction`, and `bar`."""

    prediction: int
    label: str = msgspec.field(name="prediction_label")
    probability: float
    probabilities: dict[str, float]
    bar: BarMark


class RowError(msgspec.Struct, frozen=True):
    """What is wrong with a row."""

    field: str
    detail: str


class BadRow(msgspec.Struct, frozen=True):
    """A row of a batch that could not be predicted."""

    index: int
    error: RowError


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The served model; `/model/info` says more."""

    name: str
    version: str
    sha256: str
    feature_names: tuple[str, ...]
    labels: tuple[str, ...]


class BatchColumns(msgspec.Struct, kw_only=True):
    """A reply in columns, as it comes."""

    prediction: list[int | None]
    prediction_label: list[str | None]
    probability: list[float | None]
    probabilities: dict[str, list[float | None]]
    bad_rows: list[BadRow]
    model_version: str
    timestamp: datetime


class Batch:
    """The predictions of a batch, row by row.

    Attributes
    ----------
    prediction : (n,) int64 array
        The most probable class of each row; -1 for a bad row.
    labels : list of str or None
        Its label; None for a bad row.
    probability : (n,) float32 array
        Its probability; NaN for a bad row.
    probabilities : dict of str to (n,) float32 array
        The probability of every label.
    bad_rows : list of BadRow
        Those that could not be predicted, and why.
    model_version : str
        Which model answered.
    timestamp : datetime
        When, in UTC.
    """

    def __init__(self, columns: BatchColumns, index: Any = None) -> None:
        self.prediction: NDArray[np.int64] = np.array(
            [-1 if one is None else one for one in columns.prediction], np.int64
        )
        self.labels = columns.prediction_label
        self.probability = _floats(columns.probability)
        self.probabilities = {label: _floats(values) for label, values in columns.probabilities.items()}
        self.bad_rows = columns.bad_rows
        self.model_version, self.timestamp = columns.model_version, columns.timestamp
        self._index = index

    def __len__(self) -> int:
        return len(self.labels)

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas: label, probability and a column a label, with the index of what was sent."""
        import pandas as pd

        columns = {"label": self.labels, "probability": self.probability, **self.probabilities}
        return pd.DataFrame(columns, index=self._index)


def _floats(values: list[float | None]) -> NDArray[np.float32]:
    return np.array(values, np.float32)  # None becomes NaN
