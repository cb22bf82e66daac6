"""Bars: the features of each ticker's series, whatever order the tickers come in, and their scores."""

from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from features_fast import PRICE_MAX, PRICE_MIN, VOLUME_MAX, WARM_UP, BarError, Stream
from features_fast.bars import bar_error
from features_fast.columns import BAR_COLUMNS
from runtime.predictor import Predictor
from runtime.scoring.cells import NO_TIME, dates, text
from runtime.scoring.reading import Block, Rejects
from runtime.scoring.scored import Filler, Scored, check_labels, keep

FIELDS = BAR_COLUMNS[2:]

Fields = list[NDArray[np.float64]]
Places = slice | NDArray[np.intp]


@dataclass(slots=True)
class _Series:
    stream: Stream
    last: int
    """When its newest bar was, in microseconds since 1970."""


class Parked(msgspec.Struct, frozen=True, array_like=True):
    """A series that waits for its next bar, in little memory or in a file."""

    last: int
    snapshot: bytes


class BarRows:
    """Scores blocks of bars; remembers the series of each ticker from one block to the next.

    A ticker that the newest block did not have is kept as its stream's snapshot, in less than a kilobyte.

    Parameters
    ----------
    predictor : Predictor
        A model of the features of bars.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._filler = Filler(predictor)
        self._live: dict[str, _Series] = {}
        self._parked: dict[str, Parked] = {}
        self._touched: set[str] = set()
        self._beginner = Stream()

    def changes(self) -> dict[str, Parked]:
        """Return the series that have grown since the last call."""
        self._park(set())
        found = {ticker: self._parked[ticker] for ticker in self._touched}
        self._touched.clear()
        return found

    def restore(self, changes: dict[str, Parked]) -> None:
        """Continue from what `changes` returned, call by call."""
        self._parked |= changes

    def score(self, block: Block) -> Scored:
        """Return the probabilities of a block's rows that have features.

        Rejects are bars that no market can produce, and bars that do not come after the ticker's bar before; the
        series goes on without them.
        """
        rejects: Rejects = list(block.broken)
        found, good = check_labels(block, rejects)
        assert found is not None, "bars have dates"
        order, starts = _runs(block.codes)
        fields = [block.numbers(name) for name in FIELDS]
        if order is not None:
            fields, found_in_order, good_in_order = [field[order] for field in fields], found[order], good[order]
        else:
            found_in_order, good_in_order = found, good
        flawless = _flawless(found_in_order, good_in_order, starts)
        scored = good.copy()
        names = block.tickers.to_pylist()
        seen = set()
        warm_up = 0
        self._filler.begin(len(block.rows))
        for number, (start, stop) in enumerate(pairwise(starts)):
            code = block.codes[start if order is None else order[start]]
            if code < 0:
                continue
            ticker = names[code]
            run = [field[start:stop] for field in fields]
            moments = found_in_order[start:stop]
            places: Places = slice(start, stop) if order is None else order[start:stop]
            if flawless[number] and self._begin(ticker, run, moments, places):
                cold = min(stop - start, WARM_UP)
                scored[_first(places, cold)] = False
                warm_up += cold
                continue
            seen.add(ticker)
            series = self._take(ticker)
            before = series.stream.bars
            if not (flawless[number] and moments[0] > series.last):
                places = self._extend_good(block, series, run, moments, places, scored, rejects)
            else:
                try:
                    self._extend(series, run, places)
                except BarError:
                    places = self._go_on(block, series, run, moments, places, scored, rejects, before)
            if taken := series.stream.bars - before:
                series.last = int(found[places][-1])
                cold = min(taken, max(0, WARM_UP - before))
                scored[_first(places, cold)] = False
                warm_up += cold
        probabilities = self._filler.finish()
        self._touched |= seen
        self._park(seen)
        return keep(block, scored, probabilities, found, warm_up, rejects)

    def _take(self, ticker: str) -> _Series:
        series = self._live.get(ticker)
        if series is None:
            series = _Series(Stream(), NO_TIME)
            if parked := self._parked.pop(ticker, None):
                series.stream.restore(parked.snapshot)
                series.last = parked.last
            self._live[ticker] = series
        return series

    def _park(self, seen: set[str]) -> None:
        for ticker in self._live.keys() - seen:
            series = self._live.pop(ticker)
            self._parked[ticker] = Parked(series.last, series.stream.snapshot())

    def _begin(self, ticker: str, run: Fields, moments: NDArray[np.int64], places: Places) -> bool:
        """Take the first bars of a ticker and have them predicted; tell whether they were that, and possible bars."""
        count = len(moments)
        if count > self._filler.capacity or ticker in self._live or ticker in self._parked:
            return False
        opens, highs, lows, closes, volumes = run
        try:
            self._beginner.begin(opens, highs, lows, closes, volumes, out=self._filler.room(count)[-count:])
        except BarError:
            return False
        cold = min(count, WARM_UP)
        self._filler.take(count - cold, _part(places, cold, count))
        self._parked[ticker] = Parked(int(moments[-1]), self._beginner.snapshot())
        self._touched.add(ticker)
        return True

    def _extend(self, series: _Series, run: Fields, places: Places) -> None:
        """Let a series take bars and have them predicted; raises BarError when it has taken those before a bad one."""
        count, start = len(run[0]), 0
        while start < count:
            room = self._filler.room(min(count - start, WARM_UP + 1))[start - count :]
            stop = start + len(room)
            cold = min(len(room), max(0, WARM_UP - series.stream.bars))
            opens, highs, lows, closes, volumes = (field[start:stop] for field in run)
            series.stream.extend(opens, highs, lows, closes, volumes, out=room)
            self._filler.take(len(room) - cold, _part(places, start + cold, stop))
            start = stop

    def _go_on(
        self,
        block: Block,
        series: _Series,
        run: Fields,
        moments: NDArray[np.int64],
        places: Places,
        scored: NDArray[np.bool_],
        rejects: Rejects,
        before: int,
    ) -> NDArray[np.intp]:
        """Go on after a BarError; return where the bars are that the series has taken."""
        taken = series.stream.bars - before
        if taken:
            series.last = int(moments[taken - 1])
        rest = _part(places, taken, len(moments))
        kept = self._extend_good(
            block, series, [field[taken:] for field in run], moments[taken:], rest, scored, rejects
        )
        return np.concatenate([_indexes(_first(places, taken)), kept])

    def _extend_good(
        self,
        block: Block,
        series: _Series,
        run: Fields,
        moments: NDArray[np.int64],
        places: Places,
        scored: NDArray[np.bool_],
        rejects: Rejects,
    ) -> NDArray[np.intp]:
        """Let a series take those bars of a run that it can; return where they are."""
        indexes = _indexes(places)
        dated = scored[indexes]
        possible = _possible(run)
        times = np.where(dated & possible, moments, NO_TIME)
        newest = np.maximum.accumulate(np.concatenate([[series.last], times]))[:-1]
        good = dated & possible & (moments > newest)
        for row in np.flatnonzero(dated & ~good).tolist():
            place = int(indexes[row])
            if possible[row]:
                came, after = dates(np.array([moments[row], newest[row]])).to_pylist()
                reason = f"Date: expected one after {after}, the ticker's bar before, got {came}"
            else:
                reason = _fault(block, tuple(float(field[row]) for field in run), place)
            rejects.append((int(block.rows[place]), reason))
        scored[indexes[~good]] = False
        kept = indexes[good]
        if len(kept):
            self._extend(series, [np.ascontiguousarray(field[good]) for field in run], kept)
        return kept


def _part(places: Places, start: int, stop: int) -> Places:
    return slice(places.start + start, places.start + stop) if isinstance(places, slice) else places[start:stop]


def _first(places: Places, count: int) -> Places:
    return _part(places, 0, count)


def _indexes(places: Places) -> NDArray[np.intp]:
    return np.arange(places.start, places.stop) if isinstance(places, slice) else places


def _runs(codes: NDArray[np.int32]) -> tuple[NDArray[np.intp] | None, list[int]]:
    """Return where each ticker's rows begin and end, and the order that brings them together where they are apart."""
    if not len(codes):
        return None, [0]
    order = None
    edges = _edges(codes)
    if len(edges) >= np.count_nonzero(np.bincount(codes + 1)):
        # NumPy sorts 16 bits by counting.
        order = np.argsort(codes.astype(np.uint16) if codes.max() < 0xFFFF else codes, kind="stable")
        edges = _edges(codes[order])
    return order, [0, *edges, len(codes)]


def _flawless(moments: NDArray[np.int64], good: NDArray[np.bool_], starts: list[int]) -> list[bool]:
    """Tell of each ticker's rows whether all have a date, each a later one than the row before."""
    if not len(moments):
        return []
    first = np.array(starts[:-1])
    fine = good.copy()
    fine[1:] &= moments[1:] > moments[:-1]
    fine[first] = good[first]
    flawless: list[bool] = np.logical_and.reduceat(fine, first).tolist()
    return flawless


def _edges(codes: NDArray[np.int32]) -> list[int]:
    edges: list[int] = (np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist()
    return edges


def _possible(run: Fields) -> NDArray[np.bool_]:
    """Tell which bars a market can produce, as the kernels do."""
    *prices, volume = run
    possible: NDArray[np.bool_] = (volume >= 0) & (volume <= VOLUME_MAX) & (run[1] >= run[2])
    for price in prices:
        possible &= (price >= PRICE_MIN) & (price <= PRICE_MAX)
    return possible


def _fault(block: Block, bar: tuple[float, ...], place: int) -> str:
    for name, value in zip(FIELDS, bar, strict=True):
        if np.isnan(value):
            return f"{name}: expected a number, got {text(block.columns[name], place)}"
    error = bar_error(bar, place)
    return f"{(error.field or '').title()}: {error.fault}"
