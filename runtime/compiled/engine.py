"""The compiled engine: a program run by kernels that were compiled ahead of time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
from numpy.typing import NDArray

from runtime.compiled import _records as at
from runtime.compiled.kernels import Kernels, find
from runtime.compiled.packing import PackedProgram
from runtime.compiled.program import Program

VERSION = "1"
"""Raised where an answer may differ in its last bits from that of the version before."""

_CACHE_LINE = 64
_ROWS_A_THREAD = 512
"""A thread is not woken for fewer rows: that takes as long as to predict some tens of them."""


class CompiledEngine:
    """A program, packed and ready to run.

    A row's probabilities are the same bits alone and in any company, on any number of threads: what is summed is
    summed in the order of the program.

    `predict` may be called from several threads at once, also while `predict_one` runs. `predict_one` uses buffers that
    belong to the engine: one caller at a time, and the result is valid until the next call. It holds the interpreter.

    Parameters
    ----------
    program : Program
        What the graph computes.
    metadata : dict
        The graph's metadata properties.
    threads : int
        Threads that share a large batch, the caller's included.
    kernels : Kernels, optional
        By default those of the library that fits this machine.

    Attributes
    ----------
    row : ndarray of float32, shape (1, features)
        The input of `predict_one`.

    Raises
    ------
    TicklineError
        Where no library of kernels fits.
    """

    name = "compiled"
    version = VERSION

    def __init__(
        self, program: Program, metadata: dict[str, str], threads: int = 1, kernels: Kernels | None = None
    ) -> None:
        kernels = kernels or find()
        self.features, self.classes = program.features, program.classes
        self.metadata = metadata
        self.threads = threads
        self._packed = PackedProgram(program)
        self._rows = kernels.rows
        self._plan = self._packed.block
        self._context = self._plan.context.ctypes.data
        self._workspace = _Workspace(self._plan.scratch_bytes)
        self._pool = ThreadPoolExecutor(threads - 1, "predict") if threads > 1 else None

        single = self._packed.plan(1)
        scratch = _scratch(single.scratch_bytes)
        single.context[at.SCRATCH] = scratch.ctypes.data
        begin = single.result // scratch.itemsize
        answer = scratch[begin : begin + self.classes]
        self._single = scratch, single
        self.row: NDArray[np.float32] = scratch[: self.features].reshape(1, self.features)
        self.row[:] = 0.0
        self.predict_one = cast(Callable[[], NDArray[np.float32]], kernels.row((single.context, answer)))
        """Return the probabilities, float32 (classes,), of `row`; valid until the next call."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of the model as the kernels read it, and of the buffers of a single row."""
        return self._packed.memory_bytes + self._single[0].nbytes

    def bind(self, padding: int) -> None:
        """Do nothing: every row gives the same bits in any company."""

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (n, classes), of rows, float32 (n, features).

        Raises
        ------
        ValueError
            Where rows are not a matrix of `features` columns.
        """
        if rows.dtype != np.float32 or not rows.flags.c_contiguous:
            rows = np.ascontiguousarray(rows, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"rows: expected shape (n, {self.features}), got {rows.shape}")
        count = len(rows)
        out = np.empty((count, self.classes), np.float32)
        given, answers = rows.ctypes.data, out.ctypes.data
        pool = self._pool
        parts = min(self.threads, count // _ROWS_A_THREAD) if pool is not None else 1
        if pool is None or parts < 2:
            self._part(given, 0, count, answers)
            return out
        ends = [count * part // parts for part in range(parts + 1)]
        others = [pool.submit(self._part, given, ends[part], ends[part + 1], answers) for part in range(1, parts)]
        self._part(given, 0, ends[1], answers)
        for other in others:
            other.result()
        return out

    def _part(self, given: int, first: int, stop: int, answers: int) -> None:
        """Predict some of the rows at an address, in memory of this thread's own."""
        self._rows(self._context, self._workspace.address, given, first, stop, answers)


class _Workspace(threading.local):
    """Scratch memory, one a thread."""

    def __init__(self, size: int) -> None:
        self.scratch = _scratch(size)
        self.address = self.scratch.ctypes.data


def _scratch(size: int) -> NDArray[np.float32]:
    """Return so many bytes on a cache line, all minus infinity: the kernels write all but the last columns."""
    buffer = np.full((size + _CACHE_LINE) // 4, -np.inf, np.float32)
    start = -buffer.ctypes.data % _CACHE_LINE // 4
    return buffer[start : start + size // 4]
