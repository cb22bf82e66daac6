"""What a server answers, as types."""

from collections.abc import Iterable
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


class BarPredictions(list[BarPrediction]):
    """The predictions for every bar from the 50th on, oldest first."""

    def __init__(self, predictions: Iterable[BarPrediction] = (), index: Any = None) -> None:
        super().__init__(predictions)
        self._index = index

    def to_frame(self) -> Any:
        """Return a DataFrame of pandas: label, probability and a column a label.

        Its index is that of the bars where they were a DataFrame, else their dates, else their places.

        Raises
        ------
        ModuleNotFoundError
            Where pandas is not installed, which a client does not need otherwise.
        """
        pd = _pandas()
        columns = {
            "label": [one.label for one in self],
            "probability": [one.probability for one in self],
            **{label: [one.probabilities[label] for one in self] for label in (self[0].probabilities if self else ())},
        }
        places = [one.bar.index for one in self]
        if self._index is not None:
            return pd.DataFrame(columns, index=self._index[places])
        dates = [one.bar.date for one in self]
        return pd.DataFrame(columns, index=places if None in dates else pd.DatetimeIndex(dates))


class SymbolPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction for the bar that a symbol has just taken; members as those of `BarPrediction`.

    Before the 50th bar there is none: ``prediction``, ``label``, ``probability`` and ``probabilities`` are None, and
    ``missing_bars`` says how many bars are wanting. The bar has been taken all the same.
    """

    missing_bars: int
    bar: BarMark | None
    prediction: int | None = None
    label: str | None = msgspec.field(name="prediction_label", default=None)
    probability: float | None = None
    probabilities: dict[str, float] | None = None


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    """What a server holds of a symbol.

    Attributes
    ----------
    ticker : str
        Its name.
    bars : int
        How many were taken.
    missing_bars : int
        How many are wanting for a first prediction.
    last_date : str or None
        That of the newest bar.
    seed_weight : dict of str to float
        How much of each recursive average is still its seed.
    """

    ticker: str
    bars: int
    missing_bars: int
    last_date: str | None
    seed_weight: dict[str, float]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What another model changes on some rows: how many labels, and the probabilities by how much."""

    rows: int
    flips: int
    max_probability_change: float | None
    mean_probability_change: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What another model changes on golden rows, and on a sample of recent ones."""

    golden: Change | None = None
    recent: Change | None = None


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload did, in all workers.

    Attributes
    ----------
    model_version, previous_version : str
        The model that is served now, and the one before.
    sha256 : str
        Of the file that is served now.
    workers : int
        How many serve it.
    seconds : float
        How long the reload took.
    comparison : Comparison
        What it changed.
    """

    model_version: str
    previous_version: str
    sha256: str
    workers: int
    seconds: float
    comparison: Comparison


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
        """Return a DataFrame of pandas: label, probability and a column a label, with the index of what was sent.

        Raises
        ------
        ModuleNotFoundError
            Where pandas is not installed, which a client does not need otherwise.
        """
        pd = _pandas()
        columns = {"label": self.labels, "probability": self.probability, **self.probabilities}
        return pd.DataFrame(columns, index=self._index)


def _floats(values: list[float | None]) -> NDArray[np.float32]:
    return np.array(values, np.float32)  # None becomes NaN


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise ModuleNotFoundError("to_frame: pandas is not installed: pip install pandas", name="pandas") from None
    return pandas
