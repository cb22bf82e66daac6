"""The 22 features by the kernels, beside TA-Lib: a series, the newest bar of a window, one bar more."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from bench.feature_peers import talib_columns
from bench.features import bars
from bench.work import Work
from features_fast import FEATURE_NAMES, Stream, compute, compute_last

_SERIES = 10_000
_WINDOW = 250


def kernel_work(folder: Path) -> Iterator[Work]:
    """Yield all features of a series, of the newest bar, and of a bar that a stream takes."""
    series, window = bars(_SERIES), bars(_WINDOW)
    out = np.empty((_SERIES, len(FEATURE_NAMES)), np.float32)
    yield Work(
        f"features, {_SERIES:,} bars",
        lambda: compute(*series, out=out),
        {"TA-Lib": lambda: talib_columns(*series)},
    )
    by_window = {f"TA-Lib, {_WINDOW} bars": lambda: talib_columns(*window)}
    yield Work(f"features, newest of {_WINDOW} bars", lambda: compute_last(*window), by_window)
    stream = Stream()
    stream.extend(*window)
    turn = cycle([tuple(row) for row in np.column_stack(window).tolist()]).__next__
    yield Work("features, one bar more", lambda: stream.update(turn()), by_window)
