"""How the parts of kernels are compiled: their types, and the flags that all share."""

from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

import numba
from numba import types

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "boundscheck": False}
"""How every kernel is compiled. Fast math would drop NaN and reorder sums, and the two backends would differ."""

Floats = MutableSequence[float]
Words = MutableSequence[int]
F = TypeVar("F", bound=Callable[..., Any])

# numba's own annotations know neither pointers nor the options that leave out wrappers.
_njit: Any = numba.njit
_pointer: Any = types.CPointer

INT, DOUBLE, BOOLEAN, VOID = types.int64, types.float64, types.boolean, types.void
DOUBLES, SINGLES, WORDS = _pointer(DOUBLE), _pointer(types.float32), _pointer(INT)
ROWS = (DOUBLES, SINGLES)
"""The types that rows are written in."""


def part(*signatures: Any, inline: bool = False) -> Callable[[F], F]:
    """Compile a part of a kernel, for these signatures and no others; ``inline`` puts it into its caller."""

    def compiled(function: F) -> F:
        options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": inline, **FLAGS}
        result: F = _njit(list(signatures), **options)(function)
        return result

    return compiled
