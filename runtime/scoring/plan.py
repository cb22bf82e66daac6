"""How a job is cut: slices that are read, parts that are written, chains that are worked on independently."""

from bisect import bisect_left
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from features_fast.errors import TicklineError
from runtime.scoring.sources import FEATURES, Source, open_parquet

PART_ROWS = 1 << 20
"""Rows of one file of scores, by default."""

CSV_BYTES = 8 << 20
"""Bytes of a piece of a CSV file that is read at once, about."""

_MAX_CSV_BYTES = 8 * CSV_BYTES  # in which a quote must be closed
_SCAN_BYTES = 1 << 18  # which the nearest caches hold
_FULL = 0.75
"""Share of a part from which on bars are cut where a cut is possible."""


class Slice(msgspec.Struct, frozen=True):
    """A piece of a file that is read at once or in batches.

    Attributes
    ----------
    source : int
        Place of the file among the job's.
    first, rows : int
        Number of its first row, and how many there are: rows of a Parquet file counted from 1, lines of a CSV file,
        whose header is line 1.
    group : int
        The row group of a Parquet file.
    start, stop : int
        The bytes of a CSV file.
    home : bool
        Whether the chain that it is listed in is the one that answers for its rows without a ticker.
    """

    source: int
    first: int
    rows: int
    group: int = 0
    start: int = 0
    stop: int = 0
    home: bool = True


class Part(msgspec.Struct, frozen=True):
    """What makes one file of scores."""

    slices: list[Slice]


class Chain(msgspec.Struct, frozen=True):
    """Parts that follow one another; nothing that is known of one chain is needed for another.

    Attributes
    ----------
    parts : list of Part
        In the order of the files.
    after, upto : str or None
        The chain's tickers are those above the one and up to the other; None is no bound.
    """

    parts: list[Part]
    after: str | None = None
    upto: str | None = None


class Bounds(msgspec.Struct, frozen=True):
    """Least and greatest ticker of a slice."""

    least: str
    greatest: str


def make_chains(root: Path, kind: str, sources: Sequence[Source], part_rows: int) -> list[Chain]:
    """Cut the files of a job into chains.

    Rows of features stand for themselves: each part is a chain. Bars are cut between tickers, where the statistics of
    Parquet files or the paths tell which tickers are where; else they are one chain.

    Raises
    ------
    TicklineError
        If a file cannot be read.
    """
    slices: list[Slice] = []
    bounds: list[Bounds | None] = []
    for place, source in enumerate(sources):
        path = root / source.path if root.is_dir() else root
        try:
            found = list(_parquet(place, source, path) if path.suffix == ".parquet" else _csv(place, source, path))
        except TicklineError as error:
            raise TicklineError(f"{path}: {error}") from None
        if source.form.newest_first:
            found.reverse()
        slices += (piece for piece, _ in found)
        bounds += (bound for _, bound in found)
    if kind == FEATURES:
        return [Chain([part]) for part in _parts(slices, part_rows)]
    known = [bound for bound in bounds if bound is not None]
    cuts = _cuts(slices, known, part_rows) if len(known) == len(bounds) else []
    return [_chain(slices, known, cuts, number, part_rows) for number in range(len(cuts) + 1)] if slices else []


def _parquet(place: int, source: Source, path: Path) -> Iterator[tuple[Slice, Bounds | None]]:
    first = 1
    with open_parquet(path) as file:
        metadata = file.metadata
        name = source.columns.get("Ticker")
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            bound = _constant(source)
            for column in range(found.num_columns) if name else ():
                chunk = found.column(column)
                statistics = chunk.statistics if chunk.path_in_schema == name else None
                if statistics is not None and statistics.has_min_max and isinstance(statistics.min, str):
                    bound = Bounds(statistics.min, statistics.max)
            if found.num_rows:
                yield Slice(place, first, found.num_rows, group=group), bound
            first += found.num_rows


def _constant(source: Source) -> Bounds | None:
    ticker = source.constants.get("Ticker")
    return Bounds(ticker, ticker) if ticker is not None else None


def _csv(place: int, source: Source, path: Path) -> Iterator[tuple[Slice, Bounds | None]]:
    """Cut at ends of lines that are not inside quotes."""
    bound = _constant(source)
    buffer = bytearray(min(CSV_BYTES, _SCAN_BYTES))
    with path.open("rb") as file:
        for _ in range(source.form.head_lines):
            file.readline()
        if not source.form.head_lines and file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        start, line = file.tell(), source.form.head_lines + 1
        stop, lines, quoted = start, 0, False
        while size := file.readinto(buffer):
            characters = np.frombuffer(buffer, np.uint8, size)
            quoted ^= _count(characters, b'"') % 2 == 1
            lines += _count(characters, b"\n")
            stop += size
            if stop - start >= CSV_BYTES and (cut := _last_end(buffer, size, quoted) + 1):
                left = _count(characters[cut:], b"\n")
                yield Slice(place, line, lines - left, start=start, stop=stop - size + cut), bound
                start, line, lines = stop - size + cut, line + lines - left, left
            if stop - start > _MAX_CSV_BYTES:
                raise TicklineError(f"row {line}: expected a quote to be closed within {_MAX_CSV_BYTES:,} bytes")
        if stop > start:
            unended = int(characters[-1] != ord(b"\n"))
            yield Slice(place, line, lines + unended, start=start, stop=stop), bound


def _count(characters: NDArray[np.uint8], character: bytes) -> int:
    return int(np.count_nonzero(characters == ord(character)))


def _last_end(piece: bytearray, size: int, quoted: bool) -> int:
    """Return where the last line ends outside quotes, -1 if none does; `quoted`: whether the piece ends in them."""
    after, end = size, piece.rfind(b"\n", 0, size)
    while end >= 0:
        quoted ^= piece.count(b'"', end, after) % 2 == 1
        if not quoted:
            return end
        after, end = end, piece.rfind(b"\n", 0, end)
    return -1


def _cuts(slices: Sequence[Slice], bounds: Sequence[Bounds], part_rows: int) -> list[str]:
    """Return tickers between which few slices have rows on both sides."""
    cuts: list[str] = []
    rows, top = 0, ""
    for place in sorted(range(len(slices)), key=lambda place: (bounds[place].least, bounds[place].greatest)):
        if rows >= _FULL * part_rows and bounds[place].least >= top and (not cuts or top > cuts[-1]):
            cuts.append(top)
            rows = 0
        rows += slices[place].rows
        top = max(top, bounds[place].greatest)
    return cuts


def _chain(
    slices: Sequence[Slice], bounds: Sequence[Bounds], cuts: Sequence[str], number: int, part_rows: int
) -> Chain:
    if not cuts:
        return Chain(_parts(slices, part_rows))
    after = cuts[number - 1] if number else None
    upto = cuts[number] if number < len(cuts) else None
    chosen = []
    for piece, bound in zip(slices, bounds, strict=True):
        if (after is None or bound.greatest > after) and (upto is None or bound.least <= upto):
            home = bisect_left(cuts, bound.least) == number
            chosen.append(msgspec.structs.replace(piece, home=home))
    return Chain(_parts(chosen, part_rows), after, upto)


def _parts(slices: Sequence[Slice], part_rows: int) -> list[Part]:
    """Put slices together into parts of about equal size, and of `part_rows` rows as nearly as whole slices allow."""
    rows = np.cumsum([piece.rows if piece.home else 0 for piece in slices])
    if not len(rows):
        return []
    count = max(1, round(int(rows[-1]) / part_rows))
    ends = np.searchsorted(rows, rows[-1] * np.arange(1, count) / count) + 1
    edges = [0, *np.unique(ends[ends < len(slices)]).tolist(), len(slices)]
    return [Part(list(slices[start:stop])) for start, stop in pairwise(edges)]
