"""How kernels see Python's own objects: their words, by the layout that `features_fast.library` checks at import."""

from typing import Any

from numba import types

from features_fast._vectors import pointer_to

_pointer: Any = types.CPointer

INT = types.int64
BYTES, WORDS = _pointer(types.uint8), _pointer(INT)
letters = pointer_to(types.uint8)

REFERENCES, CLASS = 0, 1
"""Words of every object."""

ITEMS = 3
"""Word of a tuple at which its items begin."""

LENGTH, TEXT = 2, 32
"""Word of bytes with their number; offset of the first one from the object."""

DATA, DIMENSIONS, SHAPE, TYPE, FLAGS = 2, 3, 4, 7, 8
"""Words of an array: addresses of its elements, of its shape and of its type; `DIMENSIONS` is the lower half of one."""

CONTIGUOUS = 1
"""Flag of an array in C order."""
