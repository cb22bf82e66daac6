"""Real bars for tests: the S&P 500 series in every form that the server takes."""

from functools import cache
from typing import Any

import numpy as np
from arch.data import sp500
from numpy.typing import NDArray

FIELDS = ("open", "high", "low", "close", "volume")

Document = dict[str, Any]


@cache
def sp500_columns() -> dict[str, list[Any]]:
    """Return the whole series by column, dates first."""
    frame = sp500.load()
    numbers = {name: frame[name.title()].tolist() for name in FIELDS}
    return {"date": [str(day.date()) for day in frame.index], **numbers}


def columns(start: int, stop: int) -> Document:
    """Return some of the bars by column."""
    return {name: values[start:stop] for name, values in sp500_columns().items()}


def lists(start: int, stop: int) -> list[list[Any]]:
    """Return some of the bars as lists."""
    return [list(bar) for bar in zip(*columns(start, stop).values(), strict=True)]


def rows(start: int, stop: int) -> list[Document]:
    """Return some of the bars as objects."""
    return [dict(zip(sp500_columns(), bar, strict=True)) for bar in lists(start, stop)]


def arrays(start: int, stop: int) -> list[NDArray[np.float64]]:
    """Return some of the bars as features_fast takes them."""
    return [np.array(values, np.float64) for name, values in columns(start, stop).items() if name != "date"]
