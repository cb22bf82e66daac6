"""A model as the server answers with it: JSON in, JSON out, and no HTTP."""

from pathlib import Path

from runtime.artifact import naming, read
from runtime.decoding import RowDecoder
from runtime.predictor import Predictor
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

    def answer_row(self, body: bytes) -> tuple[int, bytes]:
        """Return class and reply for the body of a single prediction; raises Problem."""
        self.decoder.decode_one(body, self.predictor.row)
        return self.replies.one(self.predictor.predict_row())

    def answer_example(self) -> tuple[int, bytes]:
        """Return class and reply for the first golden row of the model file."""
        self.predictor.row[:] = self.predictor.example.data.cast("B")
        return self.replies.one(self.predictor.predict_row())


def load_model(path: Path, threads: int) -> Model:
    """Read, verify and warm the model in a file; raises ArtifactError, which names the file."""
    with naming(path):
        return Model(Predictor(read(path), threads))
