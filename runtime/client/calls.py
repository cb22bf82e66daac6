"""What each method of a client sends, and how it reads the reply: for both clients, without a connection."""

import io
import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.client.errors import ClientError, NoAnswerError
from runtime.client.http import Reply
from runtime.client.results import (
    BarPrediction,
    BarPredictions,
    Batch,
    BatchColumns,
    ModelInfo,
    Prediction,
    Reload,
    Symbol,
    SymbolPrediction,
)

Result = TypeVar("Result")

JSON, NPY, RAW = "application/json", "application/x-npy", "application/octet-stream"
_LONG_FRAME = 100  # rows from which on a DataFrame is sent and answered in binary
_BAR_FIELDS = ("open", "high", "low", "close", "volume")


class _EveryBar(msgspec.Struct):
    predictions: list[BarPrediction]


_PREDICTION = msgspec.json.Decoder(Prediction)
_BAR, _EVERY_BAR = msgspec.json.Decoder(BarPrediction), msgspec.json.Decoder(_EveryBar)
_SYMBOL, _SYMBOL_BAR = msgspec.json.Decoder(Symbol), msgspec.json.Decoder(SymbolPrediction)
_RELOAD = msgspec.json.Decoder(Reload)
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
    if hasattr(row, "columns"):
        raise ClientError("row: expected one row, got a DataFrame; predict_batch takes those, predict one of its rows")
    if isinstance(row, Mapping):
        values = _floats_by_name(row.items())
    elif index is not None and not callable(index):  # a Series
        values = _floats_by_name(zip(index, row, strict=True))
    elif isinstance(row, Iterable):
        values = row.tolist() if isinstance(row, np.ndarray) else list(row)
    else:
        raise ClientError(f"row: expected numbers, a mapping or a Series, got {row!r}")
    body = msgspec.json.encode({"features": values}, enc_hook=float)  # of NumPy's scalars in a list
    if b"null" in body:
        for place, value in values.items() if isinstance(values, dict) else enumerate(values):
            _check_finite(f"features.{place}" if isinstance(values, dict) else f"features[{place}]", value)
    return Call("POST", "/predict", _decoded(_PREDICTION), body, {"Content-Type": JSON})


def predict_demo() -> Call[Prediction]:
    """The example in the model file."""
    return Call("GET", "/predict/demo", _decoded(_PREDICTION))


Plan = Generator[Call[Any], Any, Result]
"""Calls one after the other: is sent the result of each, and returns that of all."""


def predict_batch(rows: Any, strict: bool) -> Call[Batch] | Plan[Batch]:
    """Many rows; the model's order of features is asked for where a DataFrame is long enough to be worth it."""
    long = hasattr(rows, "columns") and len(rows) >= _LONG_FRAME
    return _predict_frame(rows, strict) if long else _batch(rows, strict)


def _predict_frame(frame: Any, strict: bool) -> Plan[Batch]:
    """A DataFrame in the order of the model that predicts it, or by name where a reload came between."""
    before = yield model_info()
    batch: Batch = yield _batch(frame, strict, before.feature_names)
    after = yield model_info()
    if after.sha256 != before.sha256:
        batch = yield _batch(frame, strict)
    return batch


def _batch(rows: Any, strict: bool, names: Sequence[str] | None = None) -> Call[Batch]:
    """Many rows: a DataFrame by the names of its columns, or a matrix in the model's order.

    A DataFrame travels as numbers in the order of ``names``, those of the model's features; without them, or where its
    columns are others, as JSON by name, which takes many times as long, and of which the server says what is wrong.
    """
    index = None
    if hasattr(rows, "columns"):
        index = rows.index
        if names is not None and len(rows.columns) == len(names) and set(rows.columns) == set(names):
            body, kind = _npy(_matrix(rows[list(names)])), NPY
        else:
            named = _once(((name, name) for name in rows.columns), "columns")
            columns = {name: _floats(f"columns.{name}", rows[label]).tolist() for name, label in named.items()}
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


def predict_every_bar(bars: Any) -> Call[BarPredictions]:
    """Every bar from the 50th on."""
    read = _decoded(_EVERY_BAR)
    index = bars.index if hasattr(bars, "columns") else None
    return Call(
        "POST",
        "/predict/bars?all=true",
        lambda reply: BarPredictions(read(reply).predictions, index),
        _bars(bars),
        {"Content-Type": JSON},
    )


def model_info() -> Call[ModelInfo]:
    """The served model."""
    return Call("GET", "/model/info", _decoded(_MODEL))


def reload(version: str | None, max_flips: int | None, max_probability_change: float | None) -> Call[Reload]:
    """Read the model file again, or serve a version that is kept, in all workers or in none. Never sent twice."""
    return _reload(version=version, max_flips=max_flips, max_probability_change=max_probability_change)


def rollback(max_flips: int | None, max_probability_change: float | None) -> Call[Reload]:
    """Serve what was served before. Never sent twice: the second time would go back one further."""
    return _reload(rollback=True, max_flips=max_flips, max_probability_change=max_probability_change)


def _reload(**wishes: Any) -> Call[Reload]:
    given = {name: wish for name, wish in wishes.items() if wish is not None}
    return Call(
        "POST", "/reload", _decoded(_RELOAD), msgspec.json.encode(given), {"Content-Type": JSON}, repeatable=False
    )


def seed_symbol(ticker: str, bars: Any) -> Call[SymbolPrediction]:
    """Begin a symbol with its history, in place of what was held of it."""
    body = msgspec.json.encode({"bars": _bar_columns(bars)})
    return Call("PUT", f"{_symbol(ticker)}/bars", _decoded(_SYMBOL_BAR), body, {"Content-Type": JSON})


def add_bar(ticker: str, bar: Any) -> Call[SymbolPrediction]:
    """Take one more bar and predict it. Never sent twice: without dates the bar would count twice."""
    if not hasattr(bar, "items") and len(bar) != len(_BAR_FIELDS):
        raise ClientError(f"bar: expected {len(_BAR_FIELDS)} numbers, {', '.join(_BAR_FIELDS)}, got {len(bar)}")
    fields = _once(bar.items() if hasattr(bar, "items") else zip(_BAR_FIELDS, bar, strict=True), "bar")
    name = getattr(bar, "name", None)  # of a row of a DataFrame: its index
    if hasattr(name, "isoformat") and not any(str(each).lower() == "date" for each in fields):
        fields["date"] = name
    columns = _bar_columns({field: [value] for field, value in fields.items()})
    body = msgspec.json.encode({"bar": {field: values[0] for field, values in columns.items()}})
    return Call(
        "POST", f"{_symbol(ticker)}/bars", _decoded(_SYMBOL_BAR), body, {"Content-Type": JSON}, repeatable=False
    )


def describe_symbol(ticker: str) -> Call[Symbol]:
    """Say what is held of a symbol."""
    return Call("GET", _symbol(ticker), _decoded(_SYMBOL))


def forget_symbol(ticker: str) -> Call[None]:
    """Forget a symbol. Never sent twice: the second time there is none."""
    return Call("DELETE", _symbol(ticker), lambda reply: None, repeatable=False)


def _symbol(ticker: str) -> str:
    if not ticker or "/" in ticker:  # the server would take it for another route
        raise ClientError(f"ticker: expected a name without a slash, got {ticker!r}")
    return f"/symbols/{quote(ticker, safe='')}"


def metrics() -> Call[str]:
    """All metrics in the text of Prometheus."""
    return Call("GET", "/metrics", lambda reply: reply.body.decode())


def _matrix(rows: Any) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # the server names a number beyond float32's range
            matrix = np.ascontiguousarray(rows, np.float32)
    except (TypeError, ValueError) as error:
        raise ClientError(f"rows: expected numbers of shape (rows, features): {error}") from None
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
    return msgspec.json.encode({"bars": _bar_columns(bars)})


def _bar_columns(bars: Any) -> dict[str, list[Any]]:
    """Return bars as columns: of a DataFrame or a mapping by name in any case, of a matrix by place."""
    columns: dict[str, list[Any]] = {}
    if isinstance(bars, Mapping) or hasattr(bars, "columns"):
        for name in bars if isinstance(bars, Mapping) else bars.columns:
            lower = str(name).lower()
            if lower in columns:
                raise _given_twice(f"bars.{lower}")
            if lower in _BAR_FIELDS:
                columns[lower] = _numbers(lower, bars[name])
            elif lower == "date":
                columns[lower] = _dates(bars[name])
            elif lower in ("ticker", "symbol") and len(tickers := sorted(set(map(str, bars[name])))) > 1:
                raise ClientError(f"bars: expected those of one ticker, got {', '.join(tickers[:3])}")
        index: Any = getattr(bars, "index", None)
        if "date" not in columns and hasattr(index, "tz_localize"):  # a DataFrame whose index is dates
            columns["date"] = _dates(index)
        missing = [name for name in _BAR_FIELDS if name not in columns]
        if missing:
            raise ClientError(f"bars: expected columns {', '.join(_BAR_FIELDS)}, got none of {', '.join(missing)}")
    else:
        matrix = _floats("bars", bars)
        if matrix.ndim != 2 or matrix.shape[1] != len(_BAR_FIELDS):
            raise ClientError(f"bars: expected shape (bars, {len(_BAR_FIELDS)}), got {matrix.shape}")
        columns = {name: _numbers(name, values) for name, values in zip(_BAR_FIELDS, matrix.T, strict=True)}
    return columns


def _once(named: Iterable[tuple[Any, Any]], what: str) -> dict[str, Any]:
    """Return values by name, of a mapping, a Series or a DataFrame's columns; one of two would win unseen."""
    values: dict[str, Any] = {}
    for name, value in named:
        if str(name) in values:
            raise _given_twice(f"{what}.{name}")
        values[str(name)] = value
    return values


def _floats_by_name(named: Iterable[tuple[Any, Any]]) -> dict[str, float]:
    values = _once(named, "features")
    for name, value in values.items():
        try:
            values[name] = float(value)
        except (TypeError, ValueError):
            raise ClientError(f"features.{name}: expected a finite number, got {value!r}") from None
    return values


def _given_twice(place: str) -> ClientError:
    return ClientError(f"{place}: given twice")


def _check_finite(place: str, value: Any) -> None:
    """Refuse here what JSON has no number for, and what the server would call null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ClientError(f"{place}: expected a finite number, got {value!r}")


def _dates(days: Iterable[Any]) -> list[str]:
    return [day if isinstance(day, str) else day.isoformat() for day in days]


def _floats(place: str, values: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ClientError(f"{place}: expected numbers: {error}") from None


def _numbers(name: str, values: Any) -> list[float]:
    array = _floats(f"bars.{name}", values)
    finite = np.isfinite(array)
    numbers: list[float] = array.tolist()
    if not finite.all():
        index = int(finite.argmin())
        _check_finite(f"bars.{name}[{index}]", numbers[index])
    return numbers
