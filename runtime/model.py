"""A model as the server answers with it: JSON in, JSON out, and no HTTP."""

import sys
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.artifact import naming, read
from runtime.decoding import RowDecoder
from runtime.engines import AUTO
from runtime.predictor import Predictor
from runtime.replies import ReplyWriter
from runtime.stages import untimed


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
        self.name = self.card.name.encode()

    def decode_row(self, body: bytes, row: NDArray[np.float32]) -> None:
        """Decode the body of a single prediction into a row, float32 (features,); raises Problem."""
        self.decoder.decode_one(body, row)

    def answer_row(self, body: bytes, lap: Callable[[str], None] = untimed) -> tuple[int, bytes]:
        """Return class and reply for the body of a single prediction, and tell each stage's end; raises Problem."""
        self.decode_row(body, self.predictor.row)
        lap("parse")
        probabilities = self.predictor.predict_row()
        lap("infer")
        answer = self.replies.one(probabilities)
        self.predictor.observe(self.predictor.row[None], probabilities[None])
        lap("encode")
        return answer

    def answer_example(self) -> tuple[int, bytes]:
        """Return class and reply for the first golden row of the model file."""
        self.predictor.row[:] = self.predictor.example
        return self.replies.one(self.predictor.engine.predict_one())


def load_model(
    path: Path, threads: int, wish: str = AUTO, most: int = sys.maxsize, pins: Collection[str] = ()
) -> Model:
    """Read, verify and warm the model in a file, for one of `WISHES`; raises ArtifactError, which names the file."""
    with naming(path):
        return Model(Predictor(read(path, most), threads, wish, pins=pins))
