"""What each method of a client sends, and how it reads the reply: for both clients, without a connection."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.client.errors import ClientError, NoAnswerError
from runtime.client.http import Reply
from runtime.client.results import BarPrediction, Batch, BatchColumns, ModelInfo, Prediction

Result = TypeVar("Result")

JSON, NPY, RAW = "application/json", "application/x-npy", "application/octet-stream"
_BAR_FIELDS = ("open", "high", "low", "close", "volume")


class _EveryBar(msgspec.Struct):
    predictions: list[BarPrediction]


_PREDICTION = msgspec.json.Decoder(Prediction)
_BAR, _EVERY_BAR = msgspec.json.Decoder(BarPrediction), msgspec.json.Decoder(_EveryBar)
_COLUMNS, _MODEL = msgspec.json.Decoder(BatchColumns), msgspec.json.Decoder(ModelInfo)


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """A request, and what becomes of a reply that is a success.

    Attributes
    ----------
    repeatable : bool
        Whether to send it twice changes nothing: then it is tried again where that is safe.
    """

    method: str
    target: str
    read: Callable[[Reply], Result]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


def _decoded(decoder: msgspec.json.Decoder[Result]) -> Callable[[Reply], Result]:
    def read(reply: Reply) -> Result:
        try:
            return decoder.decode(reply.body)
        except msgspec.DecodeError as error:
            raise NoAnswerError(f"the reply is not that of a Tickline server: {error}") from None

    return read


def predict(row: Any) -> Call[Prediction]:
    """One row: numbers in the model's order, or a mapping (or a Series of pandas) of all feature names."""
    index = getattr(row, "index", None)
    values: Any
    if isinstance(row, Mapping):
        values = {name: float(value) for name, value in row.items()}
    elif index is not None and not callable(index):  # a Series
        values = {str(name): float(value) for name, value in zip(index, row, strict=True)}
    else:
        values = row.tolist() if isinstance(row, np.ndarray) else list(row)
    body = msgspec.json.encode({"features": values})
    return Call("POST", "/predict", _decoded(_PREDICTION), body, {"Content-Type": JSON})


def predict_demo() -> Call[Prediction]:
    """The example in the model file."""
    return Call("GET", "/predict/demo", _decoded(_PREDICTION))


def predict_batch(rows: Any, strict: bool) -> Call[Batch]:
    """Many rows: a DataFrame by the names of its columns, or a matrix in the model's order."""
    index = None
    if hasattr(rows, "columns"):
        index = rows.index
        columns = {str(name): rows[name].to_numpy(np.float64).tolist() for name in rows.columns}
        body, kind = msgspec.json.encode({"columns": columns}), JSON
    else:
        body, kind = _npy(_matrix(rows)), NPY
    read = _decoded(_COLUMNS)
    target = "/predict/batch?layout=columns" + ("&on_error=fail" if strict else "")
    return Call("POST", target, lambda reply: Batch(read(reply), index), body, {"Content-Type": kind, "Accept": JSON})


def predict_probabilities(rows: Any, raw: bool) -> Call[NDArray[np.float32]]:
    """Many rows as a matrix in the model's order, probabilities as a matrix: binary both ways."""
    matrix = _matrix(rows)
    body, kind = (matrix.astype("<f4", copy=False).tobytes(), RAW) if raw else (_npy(matrix), NPY)
    return Call("POST", "/predict/batch", _read_npy, body, {"Content-Type": kind, "Accept": NPY})


def predict_bars(bars: Any) -> Call[BarPrediction]:
    """The newest of the bars of one ticker, oldest first."""
    return Call("POST", "/predict/bars", _decoded(_BAR), _bars(bars), {"Content-Type": JSON})


def predict_every_bar(bars: Any) -> Call[list[BarPrediction]]:
    """Every bar from the 50th on."""
    read = _decoded(_EVERY_BAR)
    return Call(
        "POST",
        "/predict/bars?all=true",
        lambda reply: read(reply).predictions,
        _bars(bars),
        {"Content-Type": JSON},
    )


def model_info() -> Call[ModelInfo]:
    """The served model."""
    return Call("GET", "/model/info", _decoded(_MODEL))


def reload() -> Call[None]:
    """Read the model file again, in all workers or in none. Never sent twice."""
    return Call("POST", "/reload", lambda reply: None, repeatable=False)


def metrics() -> Call[str]:
    """All metrics in the text of Prometheus."""
    return Call("GET", "/metrics", lambda reply: reply.body.decode())


def _matrix(rows: Any) -> NDArray[np.float32]:
    matrix = np.ascontiguousarray(rows, np.float32)
    if matrix.ndim != 2:
        raise ClientError(f"rows: expected shape (rows, features), got {matrix.shape}")
    return matrix


def _npy(matrix: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, matrix, allow_pickle=False)
    return file.getvalue()


def _read_npy(reply: Reply) -> NDArray[np.float32]:
    try:
        matrix: NDArray[np.float32] = np.load(io.BytesIO(reply.body), allow_pickle=False)
    except ValueError as error:
        raise NoAnswerError(f"the reply is not that of a Tickline server: {error}") from None
    return matrix


def _bars(bars: Any) -> bytes:
    """Return bars as columns: of a DataFrame or a mapping by name in any case, of a matrix by place."""
    columns: dict[str, list[Any]] = {}
    if isinstance(bars, Mapping) or hasattr(bars, "columns"):
        for name in bars if isinstance(bars, Mapping) else bars.columns:
            lower = str(name).lower()
            if lower in _BAR_FIELDS:
                columns[lower] = _numbers(bars[name])
            elif lower == "date":
                columns[lower] = [day if isinstance(day, str) else day.isoformat() for day in bars[name]]
        missing = [name for name in _BAR_FIELDS if name not in columns]
        if missing:
            raise ClientError(f"bars: expected columns {', '.join(_BAR_FIELDS)}, got none of {', '.join(missing)}")
    else:
        matrix = np.asarray(bars, np.float64)
        if matrix.ndim != 2 or matrix.shape[1] != len(_BAR_FIELDS):
            raise ClientError(f"bars: expected shape (bars, {len(_BAR_FIELDS)}), got {matrix.shape}")
        columns = dict(zip(_BAR_FIELDS, matrix.T.tolist(), strict=True))
    return msgspec.json.encode({"bars": columns})


def _numbers(values: Sequence[float]) -> list[float]:
    numbers: list[float] = np.asarray(values, np.float64).tolist()
    return numbers
