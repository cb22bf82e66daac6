"""Whether replies are right: well-formed, in agreement with themselves, and equal to what the model file computes."""

import io
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.connections import MALFORMED, Reply

SHAPE = "not a prediction"
LABEL = "label against probabilities"
PROBABILITY = "another probability"
WRONG = frozenset({MALFORMED, SHAPE, LABEL, PROBABILITY})
"""Faults of a reply's content; all others say that there was no answer."""

TOLERANCE = 1e-5
_SUM_TOLERANCE = 1e-4  # of the probabilities of a row from 1
_KEPT_BYTES = 1 << 26  # of replies that wait to be checked, before one is checked at any cost
_QUICK_SECONDS = 2e-5  # a check that may always be done
_ROW_SECONDS = 4e-6  # that the check of a row takes


class Prediction(msgspec.Struct):
    """A prediction as `/predict` answers it; what else a reply has is not looked at."""

    prediction: int
    prediction_label: str
    probability: float
    probabilities: dict[str, float]


class Predictions(msgspec.Struct):
    """The predictions of a batch."""

    predictions: list[Prediction]


class Checks(Protocol):
    """What says whether replies are right; `seconds` is about what it takes for one."""

    seconds: float

    def fault(self, number: int, reply: Reply) -> tuple[str, str]:
        """Return what is wrong with the reply to a request, in constant words and in detail; both empty if nothing."""


class Checker:
    """Checks the replies to a number of bodies that are sent in turn.

    Parameters
    ----------
    labels : sequence of str
        In the order of the classes.
    batch : bool
        Whether replies are those of batches.
    binary : bool
        Whether replies are `.npy` files of probabilities.
    rows : int
        Rows of a body.
    expected : ndarray, optional
        What the model file computes for the bodies, float (bodies, rows, classes).
    tolerance : float
        Largest difference from that.

    Attributes
    ----------
    seconds : float
        About what a check takes.
    """

    def __init__(
        self,
        labels: Sequence[str],
        rows: int = 1,
        batch: bool = False,
        binary: bool = False,
        expected: NDArray[np.floating] | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        self._labels = list(labels)
        self._rows = rows
        self._batch = batch
        self._binary = binary
        self._one = msgspec.json.Decoder(Prediction)
        self._many = msgspec.json.Decoder(Predictions)
        self._expected = None if expected is None else expected.tolist()
        self._arrays = expected
        self._tolerance = tolerance
        self.seconds = _ROW_SECONDS * rows

    def fault(self, number: int, reply: Reply) -> tuple[str, str]:
        """Return what is wrong with the reply to a request, in constant words and in detail; both empty if nothing."""
        if reply.fault:
            return reply.fault, reply.body.decode(errors="replace")
        if reply.status != 200:
            return f"status {reply.status}", reply.body[:400].decode(errors="replace")
        if self._binary:
            return self._array_fault(number, reply.body)
        try:
            rows = self._many.decode(reply.body).predictions if self._batch else [self._one.decode(reply.body)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return SHAPE, f"{error}: {reply.body[:300]!r}"
        if len(rows) != self._rows:
            return SHAPE, f"expected {self._rows} predictions, got {len(rows)}"
        expected = None if self._expected is None else self._expected[number % len(self._expected)]
        for place, row in enumerate(rows):
            found = self._row_fault(row, None if expected is None else expected[place])
            if found:
                return found, f"row {place}: {msgspec.json.encode(row).decode()}"
        return "", ""

    def _row_fault(self, row: Prediction, expected: list[float] | None) -> str:
        values = list(row.probabilities.values())
        if list(row.probabilities) != self._labels:
            return SHAPE
        # A comparison with NaN is false, so that NaN is no probability.
        if not (min(values) >= 0.0 and abs(sum(values) - 1.0) <= _SUM_TOLERANCE):
            return PROBABILITY
        largest = max(values)
        if not 0 <= row.prediction < len(values) or values[row.prediction] != largest or row.probability != largest:
            return LABEL
        if row.prediction_label != self._labels[row.prediction]:
            return LABEL
        if expected is not None:
            for value, reference in zip(values, expected, strict=True):
                if abs(value - reference) > self._tolerance:
                    return PROBABILITY
        return ""

    def _array_fault(self, number: int, body: bytes) -> tuple[str, str]:
        try:
            found = np.load(io.BytesIO(body), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            return SHAPE, f"{error}: {body[:100]!r}"
        if found.shape != (self._rows, len(self._labels)) or found.dtype.kind != "f":
            return SHAPE, f"expected probabilities {(self._rows, len(self._labels))}, got {found.dtype}{found.shape}"
        if not (found.min() >= 0 and np.abs(found.sum(axis=1) - 1.0).max() <= _SUM_TOLERANCE):
            return PROBABILITY, "probabilities of a row are negative, or do not add up to 1"
        if self._arrays is not None:
            difference = float(np.abs(found - self._arrays[number % len(self._arrays)]).max())
            if not difference <= self._tolerance:
                return PROBABILITY, f"off by {difference:.3g}"
        return "", ""


class Inbox:
    """Replies that wait to be checked while the client has nothing more urgent to do.

    Parameters
    ----------
    checker : Checks
        Checks them.

    Attributes
    ----------
    faults : Counter
        How many requests had which fault.
    examples : dict
        The first one in detail, by fault.
    checked : int
        How many replies have been checked.
    """

    def __init__(self, checker: Checks) -> None:
        self._checker = checker
        self._waiting: deque[tuple[int, Reply]] = deque()
        self._bytes = 0
        self.faults: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.checked = 0

    def take(self, number: int, reply: Reply) -> None:
        """Keep a reply."""
        self._waiting.append((number, reply))
        self._bytes += len(reply.body)

    def check_one(self) -> None:
        """Check the oldest reply."""
        number, reply = self._waiting.popleft()
        self._bytes -= len(reply.body)
        fault, detail = self._checker.fault(number, reply)
        self.checked += 1
        if fault:
            self.faults[fault] += 1
            self.examples.setdefault(fault, detail)

    def idle(self, spare: float) -> bool:
        """Check a reply if that fits into the seconds to spare or takes next to none, or memory runs short."""
        if not self._waiting:
            return False
        if self._checker.seconds > max(spare, _QUICK_SECONDS) and self._bytes < _KEPT_BYTES:
            return False
        self.check_one()
        return True

    def close(self) -> None:
        """Check all that wait."""
        while self._waiting:
            self.check_one()

    @property
    def errors(self) -> int:
        """How many requests had a fault."""
        return sum(self.faults.values())

    @property
    def wrong(self) -> int:
        """How many replies were not right."""
        return sum(count for fault, count in self.faults.items() if fault in WRONG)
