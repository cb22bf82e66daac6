"""Two models beside each other on the same rows: what a reload would change for callers."""

import struct
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.engine import Engine
from runtime.replay import in_batches

CHANGE_WORDS = 4
"""Words of shared memory that a `Change` takes."""

_WORDS = struct.Struct("=qqdd")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What another model changes for some rows.

    Attributes
    ----------
    rows : int
        Rows that both models have answered.
    flips : int
        Rows whose label is another one.
    max_probability_change, mean_probability_change : float
        The largest change of any probability: over all rows, and the mean over rows. 0 where there are no rows.
    """

    rows: int
    flips: int
    max_probability_change: float
    mean_probability_change: float

    def __str__(self) -> str:
        return (
            f"{self.rows} rows, {self.flips} flips, largest change {self.max_probability_change:.3g}, "
            f"mean {self.mean_probability_change:.3g}"
        )

    def write(self, words: memoryview) -> None:
        """Write it into `CHANGE_WORDS` words of shared memory."""
        values = self.rows, self.flips, self.max_probability_change, self.mean_probability_change
        _WORDS.pack_into(words.cast("B"), 0, *values)


def read_change(words: memoryview) -> Change:
    """Return the change that `CHANGE_WORDS` words of shared memory hold."""
    rows, flips, largest, mean = _WORDS.unpack(words.cast("B"))
    return Change(rows=rows, flips=flips, max_probability_change=largest, mean_probability_change=mean)


def add_up(changes: Sequence[Change]) -> Change:
    """Return what several changes are together."""
    rows = sum(change.rows for change in changes)
    total = sum(change.rows * change.mean_probability_change for change in changes)
    return Change(
        rows=rows,
        flips=sum(change.flips for change in changes),
        max_probability_change=max((change.max_probability_change for change in changes), default=0.0),
        mean_probability_change=total / rows if rows else 0.0,
    )


class ModelComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The model that was served beside the new one.

    Attributes
    ----------
    golden : Change
        On the golden rows of the new model's certificate.
    recent : Change
        On rows that workers have predicted lately, a bounded sample.
    """

    golden: Change
    recent: Change

    def __str__(self) -> str:
        return f"golden rows: {self.golden}; recent rows: {self.recent}"

    def excess(self, max_flips: int | None, max_probability_change: float | None) -> str | None:
        """Say by how much bounds are exceeded, or return None; a bound of None bounds nothing."""
        both = add_up((self.golden, self.recent))
        if max_flips is not None and both.flips > max_flips:
            return f"max_flips: expected at most {max_flips}, got {both.flips} of {both.rows} rows"
        largest = both.max_probability_change
        if max_probability_change is not None and largest > max_probability_change:
            return f"max_probability_change: expected at most {max_probability_change:g}, got {largest:.3g}"
        return None


def compare_models(old: Engine, new: Engine, rows: NDArray[np.float32]) -> Change:
    """Compare what two models answer to rows, float32 (n, features); from any thread.

    A row that one of them alone answers by finite numbers is a flip, and a change of 1.
    """
    if not len(rows):
        return add_up(())
    before, after = (in_batches(engine, rows).astype(np.float64) for engine in (old, new))
    answered, answered_after = (np.isfinite(probabilities).all(axis=1) for probabilities in (before, after))
    both = answered & answered_after
    flips = np.logical_xor(answered, answered_after)
    changes = flips.astype(np.float64)
    changes[both] = np.abs(after[both] - before[both]).max(axis=1)
    flips[both] = after[both].argmax(axis=1) != before[both].argmax(axis=1)
    return Change(
        rows=len(rows),
        flips=int(flips.sum()),
        max_probability_change=float(changes.max()),
        mean_probability_change=float(changes.mean()),
    )
