"""The columns of a table of bars, by any of their common names."""

import re
from collections.abc import Sequence

from features_fast.errors import TicklineError

BAR_COLUMNS: tuple[str, ...] = ("Date", "Ticker", "Open", "High", "Low", "Close", "Volume")
"""The columns of every table of bars, in this order."""

REQUIRED: tuple[str, ...] = tuple(column for column in BAR_COLUMNS if column != "Ticker")
"""Those without which there are no bars."""

_SPELLINGS = {
    "Date": {"date", "datetime", "timestamp", "time"},
    "Ticker": {"ticker", "symbol"},
    "Open": {"open", "o"},
    "High": {"high", "h"},
    "Low": {"low", "l"},
    "Close": {"close", "c"},
    "Volume": {"volume", "vol", "v"},
}
_OTHER_CLOSES = {"adjclose", "adjustedclose", "closelast", "last", "price"}


def plain_name(name: str) -> str:
    """Return the name of a column without what spellings differ in: case, blanks and punctuation."""
    return re.sub(r"[\s_\-./<>*]", "", name).lower()


def match_bar_columns(
    header: Sequence[str], required: Sequence[str] = REQUIRED, optional: Sequence[str] = ("Ticker",)
) -> dict[str, str]:
    """Return the header's own spelling of each column of bars.

    Parameters
    ----------
    header : sequence of str
        Names of the columns of a table. An adjusted close, a last and a bare price count only where there is no close.
    required, optional : sequence of str
        Names of `BAR_COLUMNS` to look for.

    Returns
    -------
    dict of str
        From the names of `BAR_COLUMNS` to those in the header.

    Raises
    ------
    TicklineError
        If a required column is missing, or one is there twice.
    """
    plain = {name: plain_name(name) for name in header}
    matched: dict[str, str] = {}
    for column in (column for column in BAR_COLUMNS if column in required or column in optional):
        found = [name for name in header if plain[name] in _SPELLINGS[column]]
        if not found and column == "Close":
            found = [name for name in header if plain[name] in _OTHER_CLOSES]
        if len(found) > 1:
            raise TicklineError(f"expected one column for {column}, got {', '.join(map(repr, found))}")
        if found:
            matched[column] = found[0]
        elif column in required:
            raise TicklineError(f"expected a column for {column}, got {', '.join(map(repr, header)) or 'none'}")
    return matched
