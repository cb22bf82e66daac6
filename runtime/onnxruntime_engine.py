"""The engine that runs any graph, and the reference of every other: onnxruntime, told exactly what it may use."""

import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when the library loads

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from runtime.artifact import ArtifactError
from runtime.engine import FEATURES, PROBABILITIES

_LOG_ERRORS_ONLY = 3  # its severity of an error


class OnnxruntimeEngine:
    """One graph in onnxruntime, on one thread of the caller; an `Engine`.

    Parameters
    ----------
    content : bytes
        A serialized ONNX model with one input `features`, float32 (rows, n), and an output `probabilities`, float32
        (rows, classes).
    threads : int
        Threads inside one operator; 1 runs it on the calling thread and starts none.

    Raises
    ------
    ArtifactError
        Where onnxruntime refuses the graph, or inputs or outputs are not as above.
    """

    name = "onnxruntime"
    memory_bytes: int | None = None

    def __init__(self, content: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = False  # an arena grows to the largest batch and stays there
        options.log_severity_level = _LOG_ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            # A second try, on the same provider, would print what went wrong instead of raising it.
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise ArtifactError(f"expected names and metadata properties in UTF-8: {error.reason}") from None
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise ArtifactError(f"onnxruntime refuses the graph: {str(error).splitlines()[0]}") from None
        self.features = _width("input", FEATURES, session.get_inputs(), only=True)
        self.classes = _width("output", PROBABILITIES, session.get_outputs())
        self.version: str = onnxruntime.__version__
        self._session = session
        self._run = session._sess.run_with_iobinding  # the public wrapper costs a microsecond of checks
        self.bind(1)

    def bind(self, padding: int) -> None:
        """Give the engine new buffers for single rows, and run no fewer than `padding` rows at once."""
        self._padding = padding
        self.row = np.zeros((padding, self.features), np.float32)
        self.row_probabilities = np.zeros((padding, self.classes), np.float32)
        binding = self._session.io_binding()
        for bind, name, buffer in (
            (binding.bind_input, FEATURES, self.row),
            (binding.bind_output, PROBABILITIES, self.row_probabilities),
        ):
            bind(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
        self._binding = binding
        self._bound = binding._iobinding

    def predict_one(self) -> NDArray[np.float32]:
        """Return the probabilities, float32 (classes,), of the first row of `row`; valid until the next call."""
        self._run(self._bound, None)
        first: NDArray[np.float32] = self.row_probabilities[0]
        return first

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (n, classes), of rows, float32 (n, features)."""
        count = len(rows)
        if count < self._padding:
            rows = np.concatenate([rows, np.zeros((self._padding - count, self.features), np.float32)])
        result: NDArray[np.float32] = self._session.run([PROBABILITIES], {FEATURES: rows})[0]
        return result[:count]


def _width(kind: str, name: str, nodes: list[Any], only: bool = False) -> int:
    """Check that a graph has the named float32 matrix and return its number of columns."""
    found = ", ".join(f"{node.name} {node.type}{node.shape}" for node in nodes)
    matches = [node for node in nodes if node.name == name]
    if len(matches) == 1 and (len(nodes) == 1 or not only):
        node = matches[0]
        if node.type == "tensor(float)" and len(node.shape) == 2 and isinstance(node.shape[1], int):
            return int(node.shape[1])
    raise ArtifactError(
        f"graph {kind}: expected `{name}`, a float32 matrix with a fixed number of columns, got {found}"
    )
