"""From a request's JSON to series of bars, with errors that name the bar and its field."""

import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import lt
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from features_fast import PRICE_MAX, PRICE_MIN, VOLUME_MAX, BarError
from runtime.decoding import DECODE_ERRORS, explain
from runtime.problems import Problem

FIELDS = ("open", "high", "low", "close", "volume")

Place = Callable[[int, str], str]
"""Returns the path in the request of a field of a bar, by the bar's index and the field's name."""

_LONGEST_DATE = 40
_BEYOND_MICROSECONDS = re.compile(r"[.,]\d{6}(\d+)")
_NAMED = {name: f".{name}" for name in (*FIELDS, "date")}
_LISTED = {
    len(names): {name: f"[{index}]" for index, name in enumerate(names)} for names in (FIELDS, ("date", *FIELDS))
}
_ROWS = ("an object", *(f"a list of {width} values" for width in _LISTED))


# What JSON Schema can say beyond the types; the decoders leave it to those who check values and name the bar.
_PRICE = {"minimum": PRICE_MIN, "maximum": PRICE_MAX}
_VOLUME = {"minimum": 0, "maximum": VOLUME_MAX}
_DATE = {"anyOf": [{"format": "date"}, {"format": "date-time"}]}
_VALUES = [{"type": "number", **_PRICE}] * 4 + [{"type": "number", **_VOLUME}]
_LISTS = {
    "oneOf": [
        {"prefixItems": values, "minItems": len(values), "maxItems": len(values)}
        for values in (_VALUES, [{"type": ["string", "null"], **_DATE}, *_VALUES])
    ]
}

Price = Annotated[float, msgspec.Meta(extra_json_schema=_PRICE)]
Volume = Annotated[float, msgspec.Meta(extra_json_schema=_VOLUME)]
DateText = Annotated[
    str,
    msgspec.Meta(
        description="An ISO 8601 date, or date and time, later than that of the bar before.", extra_json_schema=_DATE
    ),
]


class Bar(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One bar."""

    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    date: DateText | None = None


class BarColumns(msgspec.Struct, forbid_unknown_fields=True):
    """Bars as columns of one length, oldest first."""

    open: list[Price]
    high: list[Price]
    low: list[Price]
    close: list[Price]
    volume: list[Volume]
    date: list[DateText | None] | None = None


BarList = Annotated[list[float | str | None], msgspec.Meta(extra_json_schema=_LISTS)]
Row = Bar | BarList
Bars = list[Row] | BarColumns


class BarsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The bars of one ticker, or those of several tickers."""

    bars: Bars | msgspec.UnsetType = msgspec.UNSET
    tickers: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class HistoryBody(msgspec.Struct, forbid_unknown_fields=True):
    """The bars of a symbol, oldest first."""

    bars: Bars


class BarBody(msgspec.Struct, forbid_unknown_fields=True):
    """The next bar of a symbol."""

    bar: Row


_BODY, _HISTORY, _BARS, _BAR = map(msgspec.json.Decoder[Any], (BarsBody, HistoryBody, Bars, BarBody))


class Date(NamedTuple):
    """The date of a bar: as it was sent, and as a time that can be compared."""

    text: str
    time: datetime

    def follows(self, earlier: "Date", field: str) -> bool:
        """Tell whether this date is the later one; raises Problem where one of the two alone has a UTC offset."""
        try:
            return self.time > earlier.time or (self.time == earlier.time and self._beyond() > earlier._beyond())
        except TypeError:
            raise Problem(
                422, f"expected a UTC offset in all dates or in none, got {earlier.text} and {self.text}", field=field
            ) from None

    def _beyond(self) -> str:
        """Return the digits of the second behind the microseconds, at which a `datetime` ends."""
        found = _BEYOND_MICROSECONDS.search(self.text)
        return found[1].rstrip("0") if found else ""


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one ticker, oldest first.

    Attributes
    ----------
    fields : tuple of ndarray of float64, shape (bars,)
        Open, high, low, close and volume: finite numbers, not yet checked to be those of a market.
    dates : sequence of str or None
        One a bar, rising where they are given; empty where there are none.
    last_date : Date or None
        The last one that is given.
    root : str
        Path of the bars in the request.
    place : Place
        Paths of the fields of a bar.
    """

    fields: tuple[NDArray[np.float64], ...]
    dates: Sequence[str | None]
    last_date: Date | None
    root: str
    place: Place

    def __len__(self) -> int:
        return len(self.fields[0])

    def date(self, index: int) -> str | None:
        """Return the date of a bar as it was sent."""
        return self.dates[index] if self.dates else None

    def explain(self, error: BarError, first: int = 0) -> Problem:
        """Turn the error of a bar that no market can produce into a problem.

        Parameters
        ----------
        error : BarError
            From features_fast, which counts bars from the beginning of its series.
        first : int
            What it counts the first bar here as.
        """
        assert error.index is not None, error
        assert error.field is not None, error
        return Problem(422, error.fault, field=self.place(error.index - first, error.field))


def decode_body(body: bytes) -> Series | dict[str, msgspec.Raw]:
    """Decode `{"bars": bars}` into a series, or `{"tickers": {ticker: bars}}` into encoded bars by ticker.

    Bars are a list of objects, a list of lists `[open, high, low, close, volume]` with or without the date in front, or
    an object of columns.

    Raises
    ------
    Problem
        400 where the body is no JSON, 422 where it is not as above or dates do not rise.
    """
    decoded = _decode(_BODY, body, "")
    bars, tickers = decoded.bars, decoded.tickers
    if tickers is msgspec.UNSET:
        if bars is msgspec.UNSET:
            raise Problem(422, "this field, or `tickers` in its place, is required and missing", field="bars")
        return _series(bars, "bars")
    if bars is not msgspec.UNSET:
        raise Problem(422, "expected `bars` or `tickers`, got both", field="tickers")
    if not tickers:
        raise Problem(422, "expected at least 1 ticker, got 0", field="tickers")
    encoded: dict[str, msgspec.Raw] = tickers
    return encoded


def decode_bars(encoded: msgspec.Raw, root: str) -> Series:
    """Decode the bars that stand at a path of the request; raises Problem, 422."""
    return _series(_decode(_BARS, encoded, root), root)


def decode_history(body: bytes) -> Series:
    """Decode `{"bars": bars}`, any number of them; raises Problem as `decode_body`."""
    return _series(_decode(_HISTORY, body, "").bars, "bars")


def decode_bar(body: bytes) -> Series:
    """Decode `{"bar": bar}`, an object or a list, into a series of one; raises Problem as `decode_body`."""
    return _series([_decode(_BAR, body, "").bar], "bar", single=True)


def _decode(decoder: msgspec.json.Decoder[Any], encoded: bytes | msgspec.Raw, root: str) -> Any:
    try:
        return decoder.decode(encoded)
    except DECODE_ERRORS as error:
        raise explain(bytes(encoded), error, root) from None


def _series(bars: Any, root: str, single: bool = False) -> Series:
    """Turn decoded bars of any form into columns."""
    columns: Sequence[Any]
    dates: Sequence[str | None]
    if isinstance(bars, BarColumns):
        columns, dates, place = _split_columns(bars, root)
    else:
        columns, dates, place = _split_rows(bars, root, single)
    try:
        fields = tuple(np.frombuffer(array("d", column), np.float64) for column in columns)
    except TypeError:
        raise _not_a_number(columns, place) from None
    return Series(fields, dates, last_date(dates, place), root, place)


def _split_columns(bars: BarColumns, root: str) -> tuple[Sequence[Any], Sequence[str | None], Place]:
    *columns, dates = msgspec.structs.astuple(bars)
    expected = len(bars.open)
    for name, column in zip((*FIELDS, "date"), (*columns, dates), strict=True):
        if column is not None and len(column) != expected:
            detail = f"expected {expected} values like `open`, got {len(column)}"
            raise Problem(422, detail, field=f"{root}.{name}", expected=expected, received=len(column))
    return columns, dates or (), lambda index, field: f"{root}.{field}[{index}]"


def _split_rows(bars: list[Any], root: str, single: bool) -> tuple[Sequence[Any], Sequence[str | None], Place]:
    suffixes = _check_rows(bars, root, single)

    def place(index: int, field: str) -> str:
        return (root if single else f"{root}[{index}]") + suffixes[field]

    if not bars:
        return [()] * len(FIELDS), (), place
    if suffixes is _NAMED:
        *columns, dates = zip(*map(msgspec.structs.astuple, bars), strict=True)
        return columns, dates, place
    columns = list(zip(*bars, strict=True))
    dates = columns.pop(0) if "date" in suffixes else ()
    wrong = next((index for index, date in enumerate(dates) if isinstance(date, float)), None)
    if wrong is not None:
        raise Problem(422, "expected string or null, got number", field=place(wrong, "date"))
    return columns, dates, place


def _check_rows(bars: list[Any], root: str, single: bool) -> dict[str, str]:
    """Return where each field stands in a row; all rows have one form."""
    if set(map(type, bars)) <= {Bar}:
        return _NAMED
    if Bar not in map(type, bars) and len(widths := set(map(len, bars))) == 1 and (width := widths.pop()) in _LISTED:
        return _LISTED[width]
    forms = ["an object" if type(bar) is Bar else f"a list of {len(bar)} values" for bar in bars]
    expected = forms[0] if forms[0] in _ROWS else " or ".join(_ROWS)
    wrong = next(index for index, form in enumerate(forms) if form != expected)
    field = root if single else f"{root}[{wrong}]"
    raise Problem(422, f"expected {expected}, got {forms[wrong]}", field=field)


def _not_a_number(columns: Sequence[Any], place: Place) -> Problem:
    """Return the problem of the first value in columns that is no number."""
    index, name, value = next(
        (index, name, value)
        for index, values in enumerate(zip(*columns, strict=True))
        for name, value in zip(FIELDS, values, strict=True)
        if not isinstance(value, float)
    )
    return Problem(422, f"expected number, got {'null' if value is None else 'string'}", field=place(index, name))


def last_date(dates: Sequence[str | None], place: Place) -> Date | None:
    """Return the last of the given dates; raises Problem where one does not follow the one before."""
    given = [text for text in dates if text is not None]
    if not given:
        return None
    try:  # a quarter of the time of the loop below, which finds what is wrong
        times = [*map(datetime.fromisoformat, given)]
        if all(map(lt, times, times[1:])) and len(max(given, key=len)) <= _LONGEST_DATE:
            return Date(given[-1], times[-1])
    except (ValueError, TypeError):
        pass
    last: Date | None = None
    for index, text in enumerate(dates):
        if text is None:
            continue
        field = place(index, "date")
        date = _parse_date(text, field)
        if last and not date.follows(last, field):
            raise Problem(422, f"expected a date after {last.text}, got {text}", field=field)
        last = date
    return last


def _parse_date(text: str, field: str) -> Date:
    try:
        if len(text) > _LONGEST_DATE:
            raise ValueError
        return Date(text, datetime.fromisoformat(text))
    except ValueError:
        raise Problem(422, f"expected an ISO 8601 date, or date and time, got {text!r}", field=field) from None
