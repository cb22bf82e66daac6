"""The compiled kernels as plain functions: the ahead-of-time library where there is one, else compiled just in time."""

import ctypes
import threading
from collections.abc import Callable

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int64
_ROWS = (_POINTER,) * 6 + (_INT, _POINTER, _POINTER, _INT)

Kernel = Callable[..., int]

_lock = threading.Lock()
_rows: Kernel | None = None
_keep: list[object] = []


def rows_kernel() -> Kernel:
    """Return the kernel that writes feature rows, compiled on first use."""
    global _rows
    with _lock:
        if _rows is None:
            import numba

            from features_fast import _kernels

            compiled = numba.cfunc(_kernels.SIG, **_kernels.FLAGS)(_kernels.rows)
            _keep.append(compiled)
            _rows = ctypes.CFUNCTYPE(_INT, *_ROWS)(compiled.address)
        return _rows
