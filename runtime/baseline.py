"""How the rows that a model was trained on are distributed: what later rows are compared with."""

import hashlib
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Into so many bins, of about equally many training rows, every column falls."""

SCORE = "score"
"""The last column: the probability of the last class."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The distribution of every feature and of the score over the training rows.

    Attributes
    ----------
    edges : bytes
        Deciles of each column, little-endian float32, shape (features + 1, BINS - 1). A value is in the bin whose
        number is that of the edges below it. A value that is several deciles has a bin of its own.
    shares : bytes
        Share of the training rows in each bin, little-endian float32, shape (features + 1, BINS).
    """

    edges: bytes
    shares: bytes

    def fits(self, features: int) -> bool:
        """Tell whether it is that of so many features."""
        columns = features + 1
        return (len(self.edges), len(self.shares)) == (4 * columns * (BINS - 1), 4 * columns * BINS)

    @cached_property
    def edge_matrix(self) -> NDArray[np.float32]:
        """The edges, float32 (features + 1, BINS - 1)."""
        return np.frombuffer(self.edges, "<f4").astype(np.float32).reshape(-1, BINS - 1)

    @cached_property
    def share_matrix(self) -> NDArray[np.float32]:
        """The shares, float32 (features + 1, BINS)."""
        return np.frombuffer(self.shares, "<f4").astype(np.float32).reshape(-1, BINS)

    @cached_property
    def identity(self) -> int:
        """A number that no other baseline is likely to have, above 0 and below 2**63."""
        digest = hashlib.sha256(self.edges + self.shares).digest()
        return int.from_bytes(digest[:8], "little") >> 1 | 1


def take_baseline(rows: NDArray[np.float32], probabilities: NDArray[np.float32]) -> Baseline:
    """Return the baseline of training rows, float32 (n, features), and their probabilities, float32 (n, classes)."""
    columns = np.column_stack([rows, probabilities[:, -1]]).astype(np.float32)
    deciles = np.arange(1, BINS) / BINS
    edges = np.quantile(columns, deciles, axis=0, method="lower").T.astype("<f4")
    # Of equal deciles the first one goes to the float before them: a column of one value, or of few, would not be seen
    # to fall, because whatever lies below its least value would be counted with it.
    repeats = edges[:, 1:] == edges[:, :-1]
    first = np.column_stack([repeats, np.zeros(len(edges), bool)])
    first[:, 1:] &= ~repeats
    edges = np.where(first, np.nextafter(edges, np.float32(-np.inf)), edges).astype("<f4")
    counts = count(columns, edges)
    return Baseline(edges=edges.tobytes(), shares=(counts / len(columns)).astype("<f4").tobytes())


def count(columns: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many values of each column, float32 (n, columns), are in each bin, int64 (columns, BINS)."""
    bins = [np.searchsorted(below, values) for values, below in zip(columns.T, edges, strict=True)]
    return np.array([np.bincount(places, minlength=BINS) for places in bins])
