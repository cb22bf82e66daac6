"""Checks of arrays that kernels read without any: type, layout, bounds."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MAX_COLUMNS = 1 << 16
"""No block is wider, so that no file makes a row of a block cost more than 512 kB."""


def check_array(name: str, array: NDArray[Any], dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Raise a `ValueError` unless an array is contiguous and has type and shape; forbid to write into it."""
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous or not array.dtype.isnative:
        raise ValueError(f"{name}: expected {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
    array.flags.writeable = False


def check_columns(name: str, count: int) -> None:
    """Raise a `ValueError` unless a block may have so many columns."""
    if not 1 <= count <= MAX_COLUMNS:
        raise ValueError(f"{name}: expected 1 to {MAX_COLUMNS}, got {count}")


def check_within(name: str, indices: NDArray[np.integer[Any]], count: int) -> None:
    """Raise a `ValueError` unless all indices are at least 0 and below `count`."""
    if len(indices) and not (indices.min() >= 0 and indices.max() < count):
        raise ValueError(f"{name}: expected 0 to {count - 1}, got {indices.min()} to {indices.max()}")


def check_finite(name: str, values: NDArray[np.floating[Any]]) -> None:
    """Raise a `ValueError` where a value is infinite or NaN."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers, got {values[~np.isfinite(values)][0]}")
