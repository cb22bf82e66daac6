"""The features of one series of bars: of every bar, or of the newest alone."""

import ctypes

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from features_fast import _layout as at
from features_fast.bars import Rows, bar_error, bar_of, plain, rows_for
from features_fast.errors import BarError
from features_fast.library import FLOAT64, library, workspace


def compute(
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    out: Rows | None = None,
    dtype: DTypeLike = np.float32,
) -> Rows:
    """Compute all features of every bar.

    The interpreter is released for series that are not short; calls on different outputs may run at once.

    Parameters
    ----------
    open, high, low, close : array_like of float64, shape (bars,)
        Prices, oldest bar first, in any one currency. Other types and strides are converted.
    volume : array_like of float64, shape (bars,)
        Traded units of each bar, zero or more.
    out : ndarray of float32 or float64, shape (bars, 22), optional
        Receives the rows; C-contiguous and apart from the inputs. It is returned.
    dtype : float32 or float64
        Type of the rows if ``out`` is not given. All is computed in float64.

    Returns
    -------
    ndarray, shape (bars, 22)
        The features in the order of ``FEATURES``, which states formulas and units. The first ``WARM_UP`` rows are NaN,
        and no others.

    Raises
    ------
    BarError
        If a price is not positive and finite, a volume is negative or not finite, a high is below its low, or a number
        is beyond what the features can be computed from (prices 1e-18 to 1e18, volumes up to 1e30); the message
        names the bar's index. If a field is not as long as ``close``.
    TicklineError
        If ``out`` or ``dtype`` cannot take the rows.

    Notes
    -----
    Formulas: ``FEATURES``; averages and RSI follow TA-Lib, RSI J. W. Wilder, New Concepts in Technical Trading Systems
    (1978). Squared deviations of a window are merged from those of its parts: T. F. Chan, G. H. Golub and R. J.
    LeVeque, Algorithms for Computing the Sample Variance, The American Statistician 37 (1983).
    """
    if type(close) is np.ndarray and close.ndim == 1 and close.size <= at.ROWS_AT_ONCE:
        out = rows_for(out, (close.size, at.COLUMNS), dtype)
        # The kernel itself checks that it can read these objects, in less time than Python can.
        if library().rows_at_once(open, high, low, close, volume, out) is out:
            return out
    fields = plain(open, high, low, close, volume)
    length = len(fields[3])
    out = rows_for(out, (length, at.COLUMNS), dtype)
    offsets = (ctypes.c_int64 * 2)(0, length)
    bad = library().rows(
        workspace.address, *map(id, fields), id(out), FLOAT64, length, ctypes.addressof(offsets), 0, 1, 0
    )
    if bad != at.DONE:
        raise bar_error(bar_of(fields, bad), bad)
    return out


def compute_last(
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    out: Rows | None = None,
    dtype: DTypeLike = np.float32,
) -> Rows:
    """Compute the features of the newest bar: the last row of ``compute``, bit for bit, in less time.

    Parameters
    ----------
    open, high, low, close, volume : array_like of float64, shape (bars,)
        As for ``compute``; at least one bar. Contiguous float64 arrays are the fastest.
    out : ndarray of float32 or float64, shape (22,), optional
        Receives the row; contiguous and apart from the inputs. It is returned.
    dtype : float32 or float64
        Type of the row if ``out`` is not given.

    Returns
    -------
    ndarray, shape (22,)
        The features; all NaN if there are ``WARM_UP`` bars or fewer. A window shorter than the history gives other
        averages than the history would: ``seed_weight`` says by how much.

    Raises
    ------
    BarError
        As for ``compute``, and if there are no bars.
    TicklineError
        If ``out`` or ``dtype`` cannot take the row.
    """
    if out is not None or dtype is not np.float32:
        out = rows_for(out, (at.COLUMNS,), dtype)
    else:
        out = np.empty(at.COLUMNS, np.float32)
    # The kernel itself checks that it can read these objects, in less time than Python can.
    if library().last_at_once(open, high, low, close, volume, out) is out:
        return out
    fields = plain(open, high, low, close, volume)
    length = len(fields[3])
    if not length:
        raise BarError("expected one bar at least, not none", field="close")
    bad = library().last(workspace.address, *map(id, fields), id(out), FLOAT64, length)
    if bad != at.DONE:
        raise bar_error(bar_of(fields, bad), bad)
    return out
