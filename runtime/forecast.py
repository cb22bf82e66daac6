"""From series of bars to replies: features by features_fast, probabilities by the served model.

A reply for one bar has the same bits whatever was asked for beside it.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from features_fast import WARM_UP, BarError, compute, compute_last
from runtime.bars import Series, decode_bars
from runtime.model import Model
from runtime.predictor import Predictor
from runtime.problems import Problem
from runtime.stages import untimed

TICKER_PATTERN = r"^[A-Za-z0-9^][A-Za-z0-9._^=:-]{0,31}$"
TICKER = "1 to 32 letters, digits and any of . _ ^ = : -, beginning with a letter, a digit or ^"

_NO_PREDICTION = '{"prediction":null,"prediction_label":null,"probability":null,"probabilities":null'
_TICKER = re.compile(TICKER_PATTERN)

Row = NDArray[np.float32] | NDArray[np.float64]
T = TypeVar("T")


def check_ticker(ticker: str, field: str) -> None:
    """Refuse a name that is no ticker; raises Problem."""
    if not _TICKER.fullmatch(ticker):
        raise Problem(422, f"expected {TICKER}, got {ticker!r}", field=field)


def missing_bars(bars: int) -> int:
    """Return how many bars a series of this length lacks before its first prediction."""
    return max(WARM_UP + 1 - bars, 0)


def check_length(series: Series) -> None:
    """Refuse a series that is too short for a prediction; raises Problem."""
    received, missing = len(series), missing_bars(len(series))
    if missing:
        expected = WARM_UP + 1
        raise Problem(
            422,
            f"expected at least {expected} bars, got {received}; {missing} missing",
            field=series.root,
            expected=expected,
            received=received,
            missing_bars=missing,
        )


def predict_newest(model: Model, row: Row, lap: Callable[[str], None] = untimed) -> tuple[int, str]:
    """Return class and opened reply of one row by the model's one buffer: on the event loop alone."""
    model.predictor.row[:] = row
    probabilities = model.predictor.predict_row()
    lap("infer")
    answer = model.replies.prediction(probabilities)
    model.predictor.observe(model.predictor.row[None], probabilities[None])
    return answer


def bar_member(index: int, date: str | None) -> str:
    """Return the member of a reply that says which bar it is for, with a comma in front."""
    named = "" if date is None else f',"date":{msgspec.json.encode(date).decode()}'
    return f',"bar":{{"index":{index}{named}}}'


def answer_newest(model: Model, series: Series, lap: Callable[[str], None] = untimed) -> tuple[int, bytes]:
    """Return class and reply for the newest bar of a short series, and tell each stage's end; on the event loop.

    Raises
    ------
    Problem
        422 where bars are missing or no market can produce one of them.
    """
    check_length(series)
    try:
        row = compute_last(*series.fields)
    except BarError as error:
        raise series.explain(error) from None
    lap("features")
    label, text = predict_newest(model, row, lap)
    newest = len(series) - 1
    reply = model.replies.close(text, bar_member(newest, series.date(newest)).encode())
    lap("encode")
    return label, reply


def answer_symbol(model: Model, bars: int, date: str | None, row: Row | None) -> tuple[int | None, bytes]:
    """Return class and reply for the newest of the bars of a symbol; both are null before the first prediction.

    Parameters
    ----------
    model : Model
        The served model; on the event loop.
    bars : int
        Bars of the symbol so far.
    date : str or None
        Date of the newest one.
    row : ndarray of float32, shape (22,), or None
        Its features; None where there are too few bars.
    """
    label, text = (None, _NO_PREDICTION) if row is None else predict_newest(model, row)
    newest = bar_member(bars - 1, date) if bars else ',"bar":null'
    return label, model.replies.close(text, f'{newest},"missing_bars":{missing_bars(bars)}'.encode())


def answer_series(model: Model, series: Series, every_bar: bool, max_bars: int) -> tuple[Counter[int], bytes]:
    """Return the number of predictions of each class, and the reply, for one series; in any thread.

    Parameters
    ----------
    model : Model
        The served model.
    series : Series
        The bars.
    every_bar : bool
        Whether a prediction is made for every bar from the first possible one on, or for the newest alone.
    max_bars : int
        Most bars that are taken.

    Raises
    ------
    Problem
        As `answer_newest`; also 413 where there are too many bars.
    """
    _check_total("bars", len(series), max_bars, series.root)
    counts, text, more = _predict(model, series, every_bar)
    return counts, model.replies.close(text, more.encode())


def answer_tickers(
    model: Model, tickers: Mapping[str, msgspec.Raw | Series], every_bar: bool, max_bars: int
) -> tuple[Counter[int], bytes]:
    """Return the number of predictions of each class, and the reply, for several tickers; in any thread.

    A ticker that fails has a problem in its place, and the others are answered. Parameters are as for `answer_series`.

    Raises
    ------
    Problem
        422 where a name is no ticker or all tickers fail, 413 where there are too many bars.
    """
    _check_total("tickers", len(tickers), max_bars, "tickers")
    for ticker in tickers:
        check_ticker(ticker, "tickers")
    decoded = {
        ticker: bars if isinstance(bars, Series) else _attempt(decode_bars, bars, f"tickers.{ticker}")
        for ticker, bars in tickers.items()
    }
    total = sum(len(series) for series in decoded.values() if isinstance(series, Series))
    _check_total("bars", total, max_bars, "tickers")
    counts: Counter[int] = Counter()
    members: list[str] = []
    problems: dict[str, Any] = {}
    for ticker, series in decoded.items():
        found = _attempt(_predict, model, series, every_bar) if isinstance(series, Series) else series
        if isinstance(found, Problem):
            problems[ticker] = found.members
            members.append(f'"{ticker}":{{"error":{msgspec.json.encode(found.members).decode()}}}')
        else:
            found_counts, text, more = found
            counts += found_counts
            members.append(f'"{ticker}":{text}{more}}}')
    answered = len(decoded) - len(problems)
    if not answered:
        raise Problem(422, "no ticker can be predicted; `errors` says why", field="tickers", errors=problems)
    text = f'{{"tickers":{{{",".join(members)}}},"count":{answered},"failed":{len(problems)}'
    return counts, model.replies.close(text)


def _predict(model: Model, series: Series, every_bar: bool) -> tuple[Counter[int], str, str]:
    """Return the number of predictions of each class, the opened reply and its last members."""
    check_length(series)
    newest = len(series) - 1
    try:
        rows = compute(*series.fields)[WARM_UP:] if every_bar else compute_last(*series.fields)[None]
    except BarError as error:
        raise series.explain(error) from None
    counts: Counter[int] = Counter()
    texts = []
    features = rows.astype(np.float32, copy=False)
    found = _probabilities(model.predictor, features)
    for index, probabilities in enumerate(found, newest + 1 - len(rows)):
        label, text = model.replies.prediction(probabilities)
        counts[label] += 1
        texts.append((text, bar_member(index, series.date(index))))
    model.predictor.tell(features, found)
    if not every_bar:
        return counts, *texts[0]
    predictions = ",".join(f"{text}{bar}}}" for text, bar in texts)
    return counts, f'{{"predictions":[{predictions}],"count":{len(texts)}', ""


def _probabilities(predictor: Predictor, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of rows, each with the bits that it has alone."""
    company = len(rows) if predictor.steady else 1
    return np.concatenate([predictor.predict(rows[i : i + company]) for i in range(0, len(rows), company)])


def _check_total(what: str, received: int, allowed: int, field: str) -> None:
    if received > allowed:
        raise Problem(413, f"expected at most {allowed} {what}, got {received}", field=field, expected=allowed)


def _attempt(function: Callable[..., T], *arguments: Any) -> T | Problem:
    """Return the problem in place of raising it."""
    try:
        return function(*arguments)
    except Problem as problem:
        return problem
