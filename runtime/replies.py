"""From probabilities to a reply's bytes, by templates that are built once a model."""

import time
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.problems import Problem


def timestamp() -> bytes:
    """Return the time as ISO 8601 in UTC with milliseconds, formatted once a millisecond at most."""
    global _formatted
    now = int(time.time() * 1000)
    if now != _formatted[0]:
        text = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
        _formatted = now, text.replace("+00:00", "Z").encode()
    return _formatted[1]


_formatted = (0, b"")


class ReplyWriter:
    """Writes predictions of one model as JSON.

    Parameters
    ----------
    card : ModelCard
        Gives labels and version; both are constant parts of the templates.
    """

    def __init__(self, card: ModelCard) -> None:
        members = ",".join(f"{_json(label)}:%s" for label in card.labels)
        self._prediction = [
            f'{{"prediction":{index},"prediction_label":{_json(label)},"probability":%s,"probabilities":{{{members}}}'
            for index, label in enumerate(card.labels)
        ]
        self._tail = f',"model_version":{_json(card.version)},"timestamp":"'.replace("%%", "%").encode()

    def prediction(self, probabilities: NDArray[np.float32]) -> tuple[int, str]:
        """Return the class and the opened JSON object of one row's probabilities, float32 (classes,).

        The class is that of the largest of the returned probabilities, the first one where they tie, as scikit-learn
        decides; a probability is the shortest text that reads back as the same float32.
        """
        values = probabilities.tolist()
        if not isfinite(sum(values)):
            raise Problem(422, "the model's answer to these values is not finite", field="features")
        index = values.index(max(values))
        texts = [str(probabilities[i]) for i in range(len(values))]  # NumPy writes the shortest text of a float32
        return index, self._prediction[index] % (texts[index], *texts)

    def rows(self, probabilities: NDArray[np.float32]) -> list[tuple[int, bytes] | Problem]:
        """Return class and reply for each row of probabilities, float32 (rows, classes), or why there is none."""
        tail = b"".join((self._tail, timestamp(), b'"}'))
        replies: list[tuple[int, bytes] | Problem] = []
        for row in probabilities:
            try:
                index, text = self.prediction(row)
            except Problem as problem:
                replies.append(problem)
            else:
                replies.append((index, text.encode() + tail))
        return replies

    def one(self, probabilities: NDArray[np.float32]) -> tuple[int, bytes]:
        """Return the class and the reply of one row's probabilities, float32 (classes,); raises Problem."""
        reply = self.rows(probabilities[None])[0]
        if isinstance(reply, Problem):
            raise reply
        return reply

    def close(self, text: str, more: bytes = b"") -> bytes:
        """Return an opened JSON object, closed: with version, time and further members, which begin with a comma."""
        return b"".join((text.encode(), self._tail, timestamp(), b'"', more, b"}"))


def _json(text: Any) -> str:
    """Return a JSON string, safe inside a template."""
    return msgspec.json.encode(text).decode().replace("%", "%%")
