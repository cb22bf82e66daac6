"""onnxruntime's own time for rows: on the server's core, on one thread, without a server."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bench.servers import SERVER_CORE

CHUNK_ROWS = 1024


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run the block on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Engine:
    """A session with one thread that is not allowed to spin.

    Parameters
    ----------
    model : Path
        Folder of the model file.
    """

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = str(model / "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def single(self, rows: NDArray[np.float32], seconds: float) -> float:
        """Return the seconds of one row, float32 (n, features), by buffers that are bound once; rows vary.

        The session's inner call is timed, because the public one adds a microsecond of checks that a server can leave.
        """
        row = np.zeros((1, rows.shape[1]), np.float32)
        shapes = {node.name: node.shape for node in self._session.get_outputs()}
        answer = np.zeros((1, shapes["probabilities"][1]), np.float32)
        binding = self._session.io_binding()
        binding.bind_input("features", "cpu", 0, np.float32, row.shape, row.ctypes.data)
        binding.bind_output("probabilities", "cpu", 0, np.float32, answer.shape, answer.ctypes.data)
        call, bound = self._session._sess.run_with_iobinding, binding._iobinding

        def work() -> None:
            for values in rows:
                row[0] = values
                call(bound, None)

        return timed(work, seconds) / len(rows)

    def batch(self, rows: NDArray[np.float32], seconds: float) -> float:
        """Return the seconds of all rows, float32 (n, features), in chunks that are best for onnxruntime."""

        def work() -> None:
            for start in range(0, len(rows), CHUNK_ROWS):
                self._session.run(["probabilities"], {"features": rows[start : start + CHUNK_ROWS]})

        return timed(work, seconds)


def timed(work: Callable[[], object], seconds: float) -> float:
    """Return the processor time of one call on the server's core, over calls for about some seconds."""
    with on_core(SERVER_CORE):
        work()
        calls = 0
        begin = time.thread_time()
        while (passed := time.thread_time() - begin) < seconds:
            work()
            calls += 1
    return passed / calls
