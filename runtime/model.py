"""A model as the server answers with it: JSON in, JSON out, and no HTTP."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import naming, read
from runtime.decoding import RowDecoder
from runtime.predictor import Predictor
from runtime.problems import Problem
from runtime.replies import ReplyWriter


class Model:
    """A predictor with the decoder and the templates that fit it; a reload replaces all three at once.

    `answer_row` shares the predictor's one buffer: one thread at a time.

    Parameters
    ----------
    predictor : Predictor
        A verified model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.card = predictor.card
        self.decoder = RowDecoder(self.card.feature_names)
        self.replies = ReplyWriter(self.card)

    def decode_row(self, body: bytes, row: memoryview) -> None:
        """Decode the body of a single prediction into the bytes of a float32 row; raises Problem."""
        self.decoder.decode_one(body, row)

    def answer_rows(self, rows: NDArray[np.float32]) -> list[tuple[int, bytes] | Problem]:
        """Return class and reply for each of a few rows, float32 (rows, features), or why there is none."""
        if len(rows) == 1:
            self.predictor.row[:] = rows[0].data.cast("B")
            return self.replies.rows(self.predictor.predict_row()[None])
        return self.replies.rows(self.predictor.engine.predict(rows))

    def answer_row(self, body: bytes) -> tuple[int, bytes]:
        """Return class and reply for the body of a single prediction; raises Problem."""
        self.decode_row(body, self.predictor.row)
        return self.replies.one(self.predictor.predict_row())

    def answer_example(self) -> tuple[int, bytes]:
        """Return class and reply for the first golden row of the model file."""
        self.predictor.row[:] = self.predictor.example.data.cast("B")
        return self.replies.one(self.predictor.predict_row())


def load_model(path: Path, threads: int) -> Model:
    """Read, verify and warm the model in a file; raises ArtifactError, which names the file."""
    with naming(path):
        return Model(Predictor(read(path), threads))
