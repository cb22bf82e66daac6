"""One model, ready to predict: single rows without an allocation that can be avoided, batches in bounded chunks."""

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ArtifactError, check_seal, parse_metadata
from runtime.engine import CHUNK_ROWS
from runtime.engines import AUTO, choose
from runtime.graph_rules import check_sealed_graph
from runtime.memory import give_back_memory
from runtime.onnxruntime_engine import OnnxruntimeEngine
from runtime.reference import Reference
from runtime.replay import read_golden

CHUNK_SECONDS = 0.02
"""How long a chunk may take: what waits for its turn beside a batch waits no longer, however large the model is."""

MOMENT_SECONDS = 0.0002
"""How long rows may keep the event loop, and all who wait for it, at a stretch."""

_LEAST_CHUNK_ROWS = 128  # however slow the model is
_TIMED_ROWS = 1024  # of the batch that tells what a row takes
_ROWS_A_THREAD = 512  # fewer are not worth waking a thread for
_WARM_UP_CALLS = 20  # before a model is ready


class Predictor:
    """A verified model, its engine and its buffers. Knows no HTTP.

    Not more than one thread at a time may use `row` and `predict_row`: they share one buffer. `predict` may be called
    from any number of threads, also while `predict_row` runs.

    Parameters
    ----------
    content : bytes
        A whole model file.
    threads : int
        Threads of the engine inside one batch.
    wish : str
        The engine that is asked for, one of `runtime.engines.WISHES`.
    keep_reference : bool
        Whether onnxruntime stays loaded beside another engine, and answers one row of every chunk again.
    pins : collection of str
        SHA-256 of the files that are accepted; none accepts any.

    Raises
    ------
    ArtifactError
        Where the file is foreign, changed or not pinned, the graph breaks a rule or does not fit its card, the replay
        of the golden rows differs from the certificate by more than its tolerance, or the engine that is asked for
        refuses the graph.
    """

    def __init__(
        self,
        content: bytes,
        threads: int = 1,
        wish: str = AUTO,
        keep_reference: bool = False,
        pins: Collection[str] = (),
    ) -> None:
        started = time.perf_counter()
        self.sha256 = check_seal(content, pins)
        check_sealed_graph(content, self.sha256)
        self.size = len(content)
        onnxruntime = OnnxruntimeEngine(content, threads)
        self.card, self.certificate = parse_metadata(onnxruntime.metadata)
        for what, names, width in (
            ("feature_names", self.card.feature_names, onnxruntime.features),
            ("labels", self.card.labels, onnxruntime.classes),
        ):
            if len(names) != width:
                raise ArtifactError(f"card: expected {width} {what}, got {', '.join(names)}")
        if self.card.baseline is not None and not self.card.baseline.fits(onnxruntime.features):
            raise ArtifactError(f"card: baseline: expected that of {onnxruntime.features} features and the score")
        golden = read_golden(self.card, self.certificate)
        self.example: NDArray[np.float32] = golden.rows[0].copy()
        self.choice = choose(content, onnxruntime, golden, wish, threads)
        self.engine, self.steady = self.choice.served.engine, self.choice.served.steady
        self.replay = self.choice.served.replay
        self.reference: Reference | None = None
        if keep_reference and self.engine is not onnxruntime:
            self.reference = Reference(onnxruntime, golden.tolerance)
        del onnxruntime
        give_back_memory()
        self.row = self.engine.row[0]
        """The row that `predict_row` predicts, float32 (features,)."""
        self.observe: Callable[[NDArray[np.float32], NDArray[np.float32]], None] = _ignore
        """Told of every row that is answered, and of its probabilities, by whoever answers it and no predictor; must be
        quick, and callable from threads."""
        for _ in range(_WARM_UP_CALLS):
            self.predict_row()
        self.row_seconds = self._time_batches(golden.rows)
        """What a row of a batch takes here."""
        self.chunk_rows = self._bound_chunk(threads)
        """Rows that a batch gives to the engine at once."""
        self.load_seconds = time.perf_counter() - started

    def _time_batches(self, rows: NDArray[np.float32]) -> float:
        """Return what a row takes in a large chunk of these rows."""
        chunk = np.resize(rows, (_TIMED_ROWS, rows.shape[1]))
        times = []
        for _ in range(2):
            started = time.perf_counter()
            self.engine.predict(chunk)
            times.append(time.perf_counter() - started)
        return min(times) / _TIMED_ROWS

    def _bound_chunk(self, threads: int) -> int:
        """Return how many rows take at most `CHUNK_SECONDS` here, within bounds; it changes no bit of an answer."""
        if not self.steady:
            return CHUNK_ROWS
        least = _LEAST_CHUNK_ROWS if threads == 1 else _ROWS_A_THREAD * threads
        return min(CHUNK_ROWS, max(least, int(CHUNK_SECONDS / self.row_seconds)))

    def takes_a_moment(self, rows: int) -> bool:
        """Tell whether some rows are predicted so soon that no other thread need do it."""
        return rows * self.row_seconds <= MOMENT_SECONDS

    def predict_row(self) -> NDArray[np.float32]:
        """Return the probabilities, float32 (classes,), of the row in `row`; valid until the next call."""
        return self.engine.predict_one()

    def predict_few(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (n, classes), of a few rows, float32 (n, features), as `predict_row`."""
        if len(rows) == 1:
            self.row[:] = rows[0]
            return self.predict_row()[None]
        return self.engine.predict(rows)

    def infer(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (n, classes), of up to `chunk_rows` rows, float32 (n, features)."""
        probabilities = self.engine.predict(chunk)
        if self.reference is not None:
            self.reference.check(chunk, probabilities)
        return probabilities

    def chunks(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities, float32 (n, classes), of rows, float32 (rows, features), chunk by chunk."""
        size = self.chunk_rows
        for start in range(0, len(rows), size):
            yield self.infer(rows[start : start + size])

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (rows, classes), of rows, float32 (rows, features)."""
        chunks = list(self.chunks(rows))
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)

    def tell(self, rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
        """Tell `observe` of rows, float32 (rows, features), that have been answered, chunk by chunk."""
        size = self.chunk_rows
        for start in range(0, len(rows), size):
            self.observe(rows[start : start + size], probabilities[start : start + size])

    def end_observation(self) -> None:
        """Tell no one of rows from now on: others are served by another model, and this one ends its batches."""
        self.observe = _ignore

    def describe(self) -> dict[str, Any]:
        """Return what `/model/info` says of the model: card, certificate and what its replay found here."""
        certificate = self.certificate
        return {
            "name": self.card.name,
            "version": self.card.version,
            "created": self.card.created,
            "sha256": self.sha256,
            "size_bytes": self.size,
            "feature_names": self.card.feature_names,
            "labels": self.card.labels,
            "feature_specification": self.card.feature_specification,
            "training": self.card.training,
            "libraries": self.card.libraries,
            "certificate": {
                "reference": certificate.reference,
                "tolerance": certificate.tolerance,
                "compared_rows": certificate.compared_rows,
                "max_probability_difference": certificate.max_probability_difference,
                "label_flips": certificate.label_flips,
                "engines": certificate.engines,
                "replay": self.replay,
            },
            "engine": self._describe_engine(),
            "load_seconds": round(self.load_seconds, 4),
        }

    def _describe_engine(self) -> dict[str, Any]:
        choice, reference = self.choice, self.reference
        return {
            "name": self.engine.name,
            "version": self.engine.version,
            "reason": choice.reason,
            "detail": choice.detail,
            "same_bits_in_any_company": self.steady,
            "chunk_rows": self.chunk_rows,
            "chunk_seconds": round(self.chunk_rows * self.row_seconds, 6),
            "memory_bytes": self.engine.memory_bytes,
            "agreement": choice.agreement,
            "reference_checks": reference and reference.checked,
        }


def _ignore(rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
    """Let no one observe."""
