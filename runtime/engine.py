"""What an engine is: a graph of a model file, ready to run. `runtime.engines` chooses one."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

PROBABILITIES = "probabilities"
"""Name of the graph's output that holds one probability a class, float32 (rows, classes)."""

FEATURES = "features"
"""Name of the graph's only input, float32 (rows, features)."""

CHUNK_ROWS = 4096
"""Most rows that a batch gives to an engine at once: enough for its full speed, few enough to bound its memory.

Beside onnxruntime on 10,000 rows at once, a forest of 100 trees takes 1.24 times as long with 256, 1.06 with 1,024,
1.00 with this many and 1.02 with twice as many."""


class Engine(Protocol):
    """One graph, loaded and ready to run.

    An engine is made of a graph and a number of threads, or refuses the graph by an `ArtifactError` that says what it
    does not support, node by node.

    `predict` may be called from several threads at once, also while `predict_one` runs. `predict_one` uses buffers that
    belong to the engine: one caller at a time. Rows are finite: what the answer to others is, is the graph's affair.

    Attributes
    ----------
    name, version : str
        What runs the graph.
    features, classes : int
        Columns of an input row and of the probabilities.
    metadata : dict
        The graph's metadata properties.
    row : ndarray of float32, shape (padding, features)
        The input of `predict_one`, in its first row. `bind` replaces it.
    """

    name: str
    version: str
    features: int
    classes: int
    metadata: dict[str, str]
    row: NDArray[np.float32]

    @property
    def memory_bytes(self) -> int | None:
        """Bytes that the model takes, where the engine knows."""

    def bind(self, padding: int) -> None:
        """Give the engine new buffers for single rows, and run no fewer than `padding` rows at once.

        For an engine that computes one row by another kernel than several, which changes last bits of its answer.
        """

    def predict_one(self) -> NDArray[np.float32]:
        """Return the probabilities, float32 (classes,), of the first row of `row`; valid until the next call."""

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (n, classes), of rows, C-contiguous float32 (n, features)."""


def name_of(engine: Engine) -> str:
    """Return an engine's name and version."""
    return f"{engine.name} {engine.version}"
