"""Arrays of bars: brought into the form that the kernels read, and the errors that name what is wrong with one."""

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from features_fast import _layout as at
from features_fast.errors import BarError, TicklineError

FIELDS = ("open", "high", "low", "close", "volume")

# The kernels know a type by the address of its one common object; an equal type may be another object.
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

Array = NDArray[np.float64]
Rows = NDArray[np.float32] | NDArray[np.float64]


def plain(*fields: ArrayLike) -> tuple[Array, ...]:
    """Return the five fields as contiguous float64 arrays of one length, copied only where they are not yet.

    Raises
    ------
    BarError
        If a field is not numeric, not of one dimension or not as long as ``close``.
    """
    arrays = []
    for name, field in zip(FIELDS, fields, strict=True):
        if type(field) is np.ndarray and field.dtype is _FLOAT64 and field.ndim == 1 and field.flags.c_contiguous:
            arrays.append(field if field.flags.aligned else field.copy())
            continue
        try:
            # `require` replaces what the kernels do not read: other byte orders, strides, subclasses.
            array = np.require(field, _FLOAT64, ("C", "A", "E"))
        except (TypeError, ValueError) as error:
            raise BarError(f"expected numbers, not {type(field).__name__} ({error})", field=name) from error
        if array.ndim != 1:
            raise BarError(f"expected one dimension, not shape {array.shape}", field=name)
        arrays.append(array if array.dtype is _FLOAT64 else array.view(_FLOAT64))
    length = len(arrays[3])
    for name, array in zip(FIELDS, arrays, strict=True):
        if len(array) != length:
            raise BarError(f"expected {length} values like close, not {len(array)}", field=name)
    return tuple(arrays)


def rows_for(out: Rows | None, shape: tuple[int, ...], dtype: DTypeLike) -> Rows:
    """Return the array that receives rows: the caller's, if it fits, or a new one.

    Raises
    ------
    TicklineError
        If ``dtype`` or ``out`` cannot take the rows.
    """
    if out is None:
        kind = np.dtype(dtype)
        if kind not in (_FLOAT32, _FLOAT64):
            raise TicklineError(f"dtype: expected float32 or float64, not {kind}")
        return np.empty(shape, _FLOAT64 if kind == _FLOAT64 else _FLOAT32)
    if not isinstance(out, np.ndarray) or out.dtype not in (_FLOAT32, _FLOAT64):
        raise TicklineError(
            f"out: expected a float32 or float64 array, not {getattr(out, 'dtype', type(out).__name__)}"
        )
    if out.shape != shape:
        raise TicklineError(f"out: expected shape {shape}, not {out.shape}")
    if not out.flags.carray:
        raise TicklineError("out: expected a contiguous, aligned and writable array of a plain type")
    if out.dtype is _FLOAT32 or out.dtype is _FLOAT64:
        return out
    return out.view(_FLOAT64 if out.dtype == _FLOAT64 else _FLOAT32)


def bar_error(bar: tuple[float, ...], index: int, ticker: int | None = None) -> BarError:
    """Return the error for an impossible bar, which names its place and its first wrong field."""
    field, fault = _fault(bar)
    return BarError(fault, index=index, field=field, ticker=ticker)


def _fault(bar: tuple[float, ...]) -> tuple[str, str]:
    for name, value in zip(FIELDS, bar, strict=True):
        if name == "volume":
            if not 0.0 <= value < math.inf:
                return name, f"must be a finite number, zero or more, not {value!r}"
            if value > at.VOLUME_MAX:
                return name, f"must be {at.VOLUME_MAX:g} at most, not {value!r}"
        elif not 0.0 < value < math.inf:
            return name, f"must be a positive finite number, not {value!r}"
        elif not at.PRICE_MIN <= value <= at.PRICE_MAX:
            return name, f"must lie between {at.PRICE_MIN:g} and {at.PRICE_MAX:g}, not {value!r}"
    return "high", f"must not be below low {bar[2]!r}, not {bar[1]!r}"


def bar_of(arrays: tuple[Array, ...], index: int) -> tuple[float, ...]:
    """Return the bar at an index of five arrays."""
    return tuple(float(array[index]) for array in arrays)
