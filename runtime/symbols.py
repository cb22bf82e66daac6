"""Symbols whose bars arrive one by one: their state, bounded, without HTTP."""

from collections import OrderedDict
from functools import cached_property
from typing import Any

import msgspec

from features_fast import FEATURE_NAMES, BarError, Stream, seed_weight
from runtime.bars import Date, Series
from runtime.forecast import Row, missing_bars
from runtime.metrics import Metrics
from runtime.problems import Problem

_WEIGHTLESS = 2000
"""Bars after which no seed weighs more than 1e-60; the weights take time in proportion to the bars."""


class Symbol(msgspec.Struct, frozen=True, gc=False):
    """The state of one symbol after its newest bar.

    It is kept as a snapshot, 0.8 kB where a stream has 54, and replaced as a whole: no error leaves half a bar in it.

    Attributes
    ----------
    bars : int
        Bars taken so far.
    last_date : Date or None
        The last date that was given.
    snapshot : bytes
        What a stream resumes from.
    """

    bars: int
    last_date: Date | None
    snapshot: bytes

    def describe(self) -> dict[str, Any]:
        """Return what a client may want to know of it.

        `seed_weight` says how much of each recursive average is still its seed: what a longer history could change.
        """
        weights = {name: seed_weight(name, min(self.bars, _WEIGHTLESS)) for name in FEATURE_NAMES}
        return {
            "bars": self.bars,
            "missing_bars": missing_bars(self.bars),
            "last_date": self.last_date and self.last_date.text,
            "seed_weight": {name: weight for name, weight in weights.items() if weight},
        }


def seed(series: Series) -> tuple[Symbol, Row | None]:
    """Return the state after a history, and the features of its newest bar where there are enough; in any thread.

    Raises
    ------
    Problem
        422 where no market can produce a bar.
    """
    stream = Stream()
    try:
        rows = stream.extend(*series.fields)
    except BarError as error:
        raise series.explain(error) from None
    row = None if missing_bars(len(series)) else rows[-1]
    return Symbol(stream.bars, series.last_date, stream.snapshot()), row


class Symbols:
    """The symbols of one worker; beyond the bound, the one that was updated longest ago makes room.

    One thread at a time.

    Parameters
    ----------
    bound : int
        Most symbols that are held.
    metrics : Metrics
        Counts those that are held and those that made room.
    """

    def __init__(self, bound: int, metrics: Metrics) -> None:
        self._bound = bound
        self._metrics = metrics
        self._symbols: OrderedDict[str, Symbol] = OrderedDict()
        self._stands_at = b""  # the very snapshot that the stream is at

    @cached_property
    def _stream(self) -> Stream:
        """The stream that all symbols take turns in; it needs the kernels, which are there when bars are offered."""
        return Stream()

    def __getitem__(self, ticker: str) -> Symbol:
        """Return a symbol; raises Problem, 404."""
        try:
            return self._symbols[ticker]
        except KeyError:
            raise Problem(
                404,
                f"no bars of {ticker} are held: never seeded, evicted beyond MAX_SYMBOLS, or the server was restarted; "
                f"PUT its history to /symbols/{ticker}/bars",
            ) from None

    def __setitem__(self, ticker: str, symbol: Symbol) -> None:
        """Hold a symbol as the newest."""
        self._symbols[ticker] = symbol
        self._symbols.move_to_end(ticker)
        if len(self._symbols) > self._bound:
            self._symbols.popitem(last=False)
            self._metrics.evicted_symbol()
        self._metrics.hold_symbols(len(self._symbols))

    def __delitem__(self, ticker: str) -> None:
        """Forget a symbol; raises Problem, 404."""
        self[ticker]
        del self._symbols[ticker]
        self._metrics.hold_symbols(len(self._symbols))

    def __contains__(self, ticker: str) -> bool:
        return ticker in self._symbols

    def advance(self, ticker: str, bar: Series) -> tuple[Symbol, Row | None]:
        """Return the state after one more bar, and its features where there are enough bars, and change nothing yet.

        Raises
        ------
        Problem
            404 where the symbol is not held, 409 where the bar's date does not follow the last one, 422 where no
            market can produce the bar.
        """
        before = self[ticker]
        date = bar.last_date
        if date and before.last_date and not date.follows(before.last_date, bar.place(0, "date")):
            detail = f"expected a date after {before.last_date.text}, the newest bar of {ticker}, got {date.text}"
            raise Problem(409, detail, field=bar.place(0, "date"), expected=before.last_date.text, received=date.text)
        if self._stands_at is not before.snapshot:  # to restore takes ten times as long as to update
            self._stream.restore(before.snapshot)
            self._stands_at = before.snapshot
        try:
            row = self._stream.update([float(field[0]) for field in bar.fields])
        except BarError as error:
            raise bar.explain(error, first=before.bars) from None
        self._stands_at = self._stream.snapshot()
        return Symbol(before.bars + 1, date or before.last_date, self._stands_at), row
