"""One model, ready to predict: single rows without an allocation that can be avoided, batches in bounded chunks."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import (
    ArtifactError,
    Comparison,
    check_seal,
    compare,
    golden_rows,
    parse_metadata,
)
from runtime.engine import OnnxruntimeEngine

CHUNK_ROWS = 256
"""Rows that a batch gives to the engine at once: enough for its full speed, few enough to bound memory and time."""

_WARM_UP_CALLS = 20


class Predictor:
    """A verified model, its engine and its buffers. Knows no HTTP.

    Not more than one thread at a time may use `row` and `predict_row`: they share one buffer. `predict` may be called
    from any number of threads, also while `predict_row` runs.

    Parameters
    ----------
    content : bytes
        A whole model file.
    threads : int
        Threads inside one operator of the engine.

    Raises
    ------
    ArtifactError
        Where the file is foreign or changed, the graph does not fit its card, or the replay of the golden
        rows differs from the certificate by more than its tolerance.
    """

    def __init__(self, content: bytes, threads: int = 1) -> None:
        started = time.perf_counter()
        self.sha256 = check_seal(content)
        self.size = len(content)
        self.engine = OnnxruntimeEngine(content, threads)
        self.card, self.certificate = parse_metadata(self.engine.metadata)
        for what, names, width in (
            ("feature_names", self.card.feature_names, self.engine.features),
            ("labels", self.card.labels, self.engine.classes),
        ):
            if len(names) != width:
                raise ArtifactError(f"card: expected {width} {what}, got {', '.join(names)}")
        self.example, self.replay = self._verify()
        self.row = self.engine.row.data.cast("B")
        """Bytes of the float32 row that `predict_row` predicts."""
        for _ in range(_WARM_UP_CALLS):
            self.predict_row()
        self.load_seconds = time.perf_counter() - started

    def _verify(self) -> tuple[NDArray[np.float32], Comparison]:
        """Replay the certificate in batches and row by row; return the first golden row and what was found."""
        rows, reference = golden_rows(self.card, self.certificate)
        single = np.empty_like(reference, dtype=np.float32)
        for index, row in enumerate(rows):
            self.engine.row[0] = row
            single[index] = self.engine.predict_one()[0]
        for way, found in (("in a batch", self.predict(rows)), ("row by row", single)):
            replay = compare(found, reference)
            if not replay.max_probability_difference <= self.certificate.tolerance:
                raise ArtifactError(
                    f"certificate: predicted {way}, a golden probability is off by "
                    f"{replay.max_probability_difference:.3g}; allowed are {self.certificate.tolerance:.3g}"
                )
        return rows[0].copy(), replay

    def predict_row(self) -> NDArray[np.float32]:
        """Return the probabilities, float32 (classes,), of the row in `row`; valid until the next call."""
        probabilities: NDArray[np.float32] = self.engine.predict_one()[0]
        return probabilities

    def chunks(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities, float32 (n, classes), of rows, float32 (rows, features), chunk by chunk."""
        for start in range(0, len(rows), CHUNK_ROWS):
            yield self.engine.predict(rows[start : start + CHUNK_ROWS])

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (rows, classes), of rows, float32 (rows, features)."""
        return np.concatenate(list(self.chunks(rows)))

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
                "replay": self.replay,
            },
            "engine": {"name": self.engine.name, "version": self.engine.version},
            "load_seconds": round(self.load_seconds, 4),
        }
