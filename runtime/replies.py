"""From probabilities to a reply's bytes, by templates that are built once a model."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ModelCard
from runtime.codec import CODEC, Codec
from runtime.problems import Problem

LONGEST_NUMBER = 16
"""More than the shortest text of any float32 takes, with a comma."""


def timestamp() -> bytes:
    """Return the time as ISO 8601 in UTC with milliseconds, formatted once a millisecond at most."""
    global _formatted
    now = int(time.time() * 1000)
    if now != _formatted[0]:
        text = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
        _formatted = now, text.replace("+00:00", "Z").encode()
    return _formatted[1]


_formatted = (0, b"")


class Template:
    """How the prediction of one row is written: the text of its class, then every class with its probability.

    Parameters
    ----------
    labels : sequence of str
        The classes.
    closing : bytes
        What follows the last probability.

    Attributes
    ----------
    names : list of bytes
        The labels in JSON.
    pieces : ndarray
        All constant parts, one after the other, uint8: an opening a class, what stands in front of each probability,
        the closing.
    ends : ndarray
        Where each part begins and the last one ends, int64 (2 * classes + 2,).
    addresses : tuple of int
        Where both arrays are, for kernels.
    longest : int
        More bytes than any prediction takes.
    """

    def __init__(self, labels: Sequence[str], closing: bytes) -> None:
        self.names = names = [msgspec.json.encode(label) for label in labels]
        self._openings = [
            b'{"prediction":%d,"prediction_label":%b,"probability":' % (index, name) for index, name in enumerate(names)
        ]
        self._members = [b',"probabilities":{' + names[0] + b":", *(b"," + name + b":" for name in names[1:])]
        self._closing = closing
        parts = [*self._openings, *self._members, closing]
        self.pieces = np.array(bytearray(b"".join(parts)))
        self.ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        self.addresses = self.pieces.ctypes.data, self.ends.ctypes.data
        self.longest = len(self.pieces) + LONGEST_NUMBER * (len(names) + 1)

    def write(self, probabilities: NDArray[np.float32]) -> tuple[int, bytes]:
        """Return the class and the text of one row's finite probabilities, float32 (classes,).

        The class is that of the largest of the returned probabilities, the first one where they tie, as scikit-learn
        decides; a probability is the shortest text that reads back as the same float32.
        """
        index = int(probabilities.argmax())
        texts = [str(value).encode() for value in probabilities]  # NumPy writes the shortest text of a float32
        pairs = (member + text for member, text in zip(self._members, texts, strict=True))
        return index, b"".join((self._openings[index], texts[index], *pairs, self._closing))


class ReplyWriter:
    """Writes predictions of one model as JSON. For one thread at a time.

    Parameters
    ----------
    card : ModelCard
        Gives labels and version; both are constant parts of the templates.
    codec : Codec or None
        The kernels; without them NumPy writes the numbers.

    Attributes
    ----------
    element : Template
        How a prediction is written that is one of a list, with the comma behind it.
    """

    def __init__(self, card: ModelCard, codec: Codec | None = CODEC) -> None:
        self._tail = b',"model_version":%b,"timestamp":"' % msgspec.json.encode(card.version)
        self.element = Template(card.labels, b"}},")
        self._opened = Template(card.labels, b"}")
        self._whole = Template(card.labels, b"".join((b"}", self._tail, timestamp(), b'"}')))
        self._clock = self._whole.pieces[-len(timestamp()) - 2 : -2]
        self._time = b""
        self._codec = codec
        self._reserve(1)

    def _reserve(self, rows: int) -> None:
        """Make room for the replies to some rows."""
        whole = self._whole
        self._out = np.empty(rows * whole.longest, np.uint8)
        self._told = np.empty((rows, 2), np.int64)  # the class of each row, and where its reply ends
        bound = (np.ndarray, np.dtype(np.float32), whole.pieces, whole.ends, self._out, self._told)
        self._answer = self._codec.answer(bound) if self._codec else None

    def prediction(self, probabilities: NDArray[np.float32]) -> tuple[int, str]:
        """Return class and opened JSON object of one row's probabilities, float32 (classes,); raises Problem."""
        if not np.isfinite(probabilities).all():
            raise Problem(422, "the model's answer to these values is not finite", field="features")
        index, text = self._opened.write(probabilities)
        return index, text.decode()

    def rows(self, probabilities: NDArray[np.float32]) -> list[tuple[int, bytes] | Problem]:
        """Return class and reply for each row of probabilities, float32 (rows, classes), or why there is none."""
        count = len(probabilities)
        if count > len(self._told):
            self._reserve(count)
        now = timestamp()
        if now is not self._time:
            self._clock[:] = np.frombuffer(now, np.uint8)
            self._time = now
        replies: list[tuple[int, bytes] | Problem] = []
        if self._answer and self._answer(probabilities) is probabilities:
            told = self._told[:count].tolist()
            text, begin = self._out[: told[-1][1]].tobytes(), 0
            for label, end in told:
                replies.append((label, text[begin:end]))
                begin = end
            return replies
        for row in probabilities:  # one of them is not plain
            try:
                index, opened = self.prediction(row)
            except Problem as problem:
                replies.append(problem)
            else:
                replies.append((index, self.close(opened)))
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
