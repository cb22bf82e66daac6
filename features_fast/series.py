"""The features of one series of bars."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from features_fast import _layout as at
from features_fast.errors import BarError
from features_fast.library import rows_kernel
from features_fast.specification import FEATURES

_FIELDS = ("open", "high", "low", "close", "volume")


def compute(
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    out: NDArray[np.floating] | None = None,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    """Return all features of every bar, shape (bars, 22); rows before ``WARM_UP`` are NaN."""
    bars = [np.ascontiguousarray(field, dtype=np.float64) for field in (open, high, low, close, volume)]
    count = len(bars[3])
    for name, field in zip(_FIELDS, bars, strict=True):
        if field.shape != (count,):
            raise BarError(f"{name}: expected shape ({count},) like close, not {field.shape}")
    if out is None:
        out = np.empty((count, len(FEATURES)), dtype=dtype)
    state = np.zeros(at.SIZE)
    state[at.POSITION] = at.HALO
    address = out.ctypes.data
    bad = rows_kernel()(
        state.ctypes.data, *(field.ctypes.data for field in bars), count, address, address, out.dtype == np.float64
    )
    if bad >= 0:
        raise BarError(f"bar {bad} or one of the next {at.BLOCK}: not a bar that a market can produce")
    return out
