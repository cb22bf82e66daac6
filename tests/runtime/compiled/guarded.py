"""Run random programs with every array of the kernels beside a page that must not be touched.

``python -m tests.runtime.compiled.guarded SIDE PROGRAMS`` puts that page ``behind`` or ``before`` each array. A read or
a write out of bounds ends the process; ``trap`` does one, to show that it would.
"""

import ctypes
import mmap
import sys

import numpy as np
from numpy.typing import NDArray

from runtime.compiled import engine as engine_module
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.packing import PackedProgram
from tests.runtime.compiled.forests import rows_for
from tests.runtime.compiled.programs import random_program, random_shape, small_program

_NO_ACCESS = 0
_maps: list[mmap.mmap] = []
_protect = ctypes.CDLL(None, use_errno=True).mprotect
_protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def guarded(array: NDArray[np.generic], side: str) -> NDArray[np.generic]:
    """Return a copy that ends, or begins, at a page without access."""
    page = mmap.PAGESIZE
    pages = -(-max(array.nbytes, 1) // page)
    area = mmap.mmap(-1, (pages + 1) * page)
    _maps.append(area)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    behind = side == "behind"
    offset = pages * page - array.nbytes if behind else page
    copy = np.frombuffer(area, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    if _protect(start + pages * page if behind else start, page, _NO_ACCESS):
        raise OSError(ctypes.get_errno(), "mprotect")
    return copy


def run(side: str, programs: int) -> None:
    """Predict random rows by random programs, in guarded memory."""

    def keep(self: PackedProgram, array: NDArray[np.generic]) -> NDArray[np.generic]:
        kept = guarded(np.ascontiguousarray(array), side)
        self._kept.append(kept)
        return kept

    def scratch(size: int) -> NDArray[np.generic]:
        return guarded(np.full(size // 4, -np.inf, np.float32), side)

    setattr(PackedProgram, "_keep", keep)  # noqa: B010, a method is replaced
    setattr(engine_module, "_scratch", scratch)  # noqa: B010
    for seed in range(programs):
        rng = np.random.default_rng(seed)
        features = int(rng.choice([1, 2, 22, 300]))
        if seed % 2:
            program = random_program(rng, features, int(rng.integers(1, 8)))
        else:
            program = small_program(rng, random_shape(rng, features), scaler=bool(rng.random() < 0.5))
        engine = CompiledEngine(program, {})
        forest = program.forests[0] if program.forests and not seed % 2 else None
        for count in (1, 2, 8, 13, 300):
            if forest is not None:
                rows = rows_for(rng, forest, count, features, nan=True)
            else:
                rows = rng.normal(size=(count, features)).astype(np.float32)
            engine.predict(np.asarray(guarded(rows, side), np.float32))
            engine.row[0] = rows[0]
            engine.predict_one()


if __name__ == "__main__":
    if sys.argv[1] == "trap":
        array = guarded(np.zeros(3, np.float32), "behind")
        sys.stdout.write(str(ctypes.c_float.from_address(array.ctypes.data + array.nbytes).value))
    else:
        run(sys.argv[1], int(sys.argv[2]))
        sys.stdout.write("in bounds")
