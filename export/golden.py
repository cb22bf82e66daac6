"""Golden rows: the inputs whose answers travel with a model, so that any engine can prove itself on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.reference import Reference, margins

MINIMUM_ROWS = 256
"""Rows that a certificate has at least."""

_LARGEST_SAMPLE = 10_000  # real rows that others are made of
_PER_CLASS = 32  # real rows at quantiles of a class's probability
_PER_FEATURE = 5  # real rows at quantiles of a feature
_QUANTILES = 9  # rows of quantiles, each of all features
_PAIRS = 128  # of rows on either side of a threshold
_HALVINGS = 33  # after so many, any two float32 values have become neighbours
_SIGN = 1 << 31
_SEED = 0


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """Rows, float32 (n, features), the reference's probabilities, float64 (n, classes), and the kind of each row."""

    rows: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    kinds: tuple[str, ...]


def choose_golden_rows(
    reference: Reference, rows: NDArray[np.float32], newest: NDArray[np.float32], tolerance: float
) -> GoldenRows:
    """Choose rows at which a wrong engine is most likely to betray itself.

    1. The newest real row comes first: a server shows it as its example.
    2. Real rows at the quantiles of each class's probability and of each feature, and the quantiles themselves.
    3. Pairs of neighbouring float32 rows on either side of a threshold. The model is a black box: one feature of a
       real row goes from its minimum to its maximum; where that changes the answer, the way between the two is
       halved in the order of float32 values, keeping the half in which the probability crosses a given
       level (every second time the border between two labels). Trees end at a split; smooth models at that level.
    4. Extremes: each feature at its minimum and maximum, all of them there and 10 and 1,000 ranges beyond, zeros of
       both signs, the smallest denormal numbers.

    Rows that the reference cannot answer with finite probabilities are left out, and so are those whose two most
    probable classes are closer than twice the tolerance: there, two engines may rightly name different labels. Random
    rows within twice the data's range fill up to `MINIMUM_ROWS`. Same model and rows: same golden rows.

    Parameters
    ----------
    reference : Reference
        The classifier.
    rows : (n, features) float32 array
        Representative rows; of more than 10,000, as many are taken at equal distances.
    newest : (1, features) float32 array
        The row to put first.
    tolerance : float
        Largest difference of a probability that will be allowed.

    Raises
    ------
    ExportError
        Where fewer than `MINIMUM_ROWS` rows have a certain label.
    """
    rows = rows[spread(len(rows), min(len(rows), _LARGEST_SAMPLE))]
    answers = reference.probabilities(rows)
    candidates = [
        ("real", newest),
        ("real", _real_rows(rows, answers)),
        ("quantile", np.quantile(rows, np.linspace(0, 1, _QUANTILES), axis=0).astype(np.float32)),
        ("threshold", threshold_pairs(reference, rows, answers)),
        ("extreme", _extremes(rows)),
    ]
    chosen = _answered(reference, candidates, tolerance)
    if len(chosen.rows) < MINIMUM_ROWS:
        chosen = _answered(reference, [*candidates, ("random", _random_rows(rows))], tolerance)
        enough = slice(MINIMUM_ROWS)
        chosen = GoldenRows(chosen.rows[enough], chosen.probabilities[enough], chosen.kinds[enough])
    if len(chosen.rows) < MINIMUM_ROWS:
        raise ExportError(
            f"golden rows: expected {MINIMUM_ROWS} rows with a leading class, {reference.kind} gives only "
            f"{len(chosen.rows)}; for the others its two most probable classes are as good as equal"
        )
    return chosen


def threshold_pairs(
    reference: Reference, rows: NDArray[np.float32], answers: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return pairs of rows, float32 (2 * pairs, features), one float32 step apart in one feature, as told above."""
    features = rows.shape[1]
    per_feature = -(-_PAIRS // features)
    bases = rows[spread(len(rows), 4 * per_feature)]
    column = np.repeat(np.arange(features), len(bases))
    low = np.tile(bases, (features, 1))
    high = low.copy()
    index = np.arange(len(low))
    low[index, column] = rows.min(axis=0)[column]
    high[index, column] = rows.max(axis=0)[column]
    at_low, at_high = reference.probabilities(low), reference.probabilities(high)

    jump = np.abs(at_high - at_low).max(axis=1)
    best = np.argsort(-jump.reshape(features, -1), axis=1, kind="stable")[:, :per_feature]
    index = (best + len(bases) * np.arange(features)[:, None]).ravel()
    index = index[np.argsort(-jump[index], kind="stable")][:_PAIRS]
    index = index[jump[index] > 0]
    if not len(index):
        return low[:0]
    low, high, column, at_low, at_high = low[index], high[index], column[index], at_low[index], at_high[index]

    index = np.arange(len(low))
    weights, level = _levels(at_low, at_high)
    below, above = _order(low[index, column]), _order(high[index, column])
    middle = low.copy()
    for _ in range(_HALVINGS):
        half = (below + above) // 2
        middle[index, column] = _unorder(half)
        crossed = (reference.probabilities(middle) * weights).sum(axis=1) > level
        above, below = np.where(crossed, half, above), np.where(crossed, below, half)
    low[index, column], high[index, column] = _unorder(below), _unorder(above)
    return np.stack([low, high], axis=1).reshape(-1, features)


def _levels(
    at_low: NDArray[np.float64], at_high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per pair the weights of the classes in a score that rises from low to high, and the level to look for."""
    index = np.arange(len(at_low))
    moved = np.abs(at_high - at_low).argmax(axis=1)
    weights = np.zeros_like(at_low)
    weights[index, moved] = np.sign(at_high - at_low)[index, moved]
    start, end = (at_low * weights).sum(axis=1), (at_high * weights).sum(axis=1)
    level = start + (end - start) * (index + 0.5) / len(index)

    label_low, label_high = at_low.argmax(axis=1), at_high.argmax(axis=1)
    border = np.flatnonzero((label_low != label_high) & (index % 2 == 0))
    weights[border] = 0.0
    weights[border, label_high[border]] = 1.0
    weights[border, label_low[border]] = -1.0
    level[border] = 0.0
    return weights, level


def _order(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number float32 values in their order, so that neighbours differ by 1; both zeros are 0."""
    bits = values.view(np.uint32).astype(np.int64)
    return np.where(bits < _SIGN, bits, _SIGN - bits)


def _unorder(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the float32 values of the numbers that `_order` gives."""
    bits = np.where(numbers < 0, _SIGN - numbers, numbers).astype(np.uint32)
    values: NDArray[np.float32] = bits.view(np.float32)
    return values


def spread(count: int, wanted: int) -> NDArray[np.intp]:
    """Return `wanted` indices below `count`, first and last among them, at equal distances."""
    return np.linspace(0, count - 1, wanted).round().astype(np.intp)


def _real_rows(rows: NDArray[np.float32], answers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return rows at the quantiles of each class's probability and of each feature."""
    by_answer = np.argsort(answers, axis=0, kind="stable")[spread(len(rows), _PER_CLASS)]
    by_feature = np.argsort(rows, axis=0, kind="stable")[spread(len(rows), _PER_FEATURE)]
    chosen: NDArray[np.float32] = rows[np.concatenate([by_answer.ravel(order="F"), by_feature.ravel(order="F")])]
    return chosen


def _range(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each feature's minimum, maximum and their distance; 1 for a feature that never changes."""
    minimum, maximum = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    return minimum, maximum, np.where(maximum > minimum, maximum - minimum, 1.0)


def _float32(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32 and stay finite."""
    limit = np.finfo(np.float32).max
    return np.clip(rows, -limit, limit).astype(np.float32)


def _extremes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows at the ends of the data, far outside, at zero and next to it."""
    minimum, maximum, width = _range(rows)
    middle = np.median(rows, axis=0).astype(np.float64)
    diagonal = np.eye(len(middle), dtype=bool)
    denormal = np.full_like(middle, np.finfo(np.float32).smallest_subnormal)
    return _float32(
        np.vstack(
            [
                *(minimum - times * width for times in (0, 10, 1000)),
                *(maximum + times * width for times in (0, 10, 1000)),
                np.zeros_like(middle),
                -np.zeros_like(middle),
                denormal,
                -denormal,
                np.where(diagonal, minimum, middle),
                np.where(diagonal, maximum, middle),
            ]
        )
    )


def _random_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows drawn evenly from twice the data's range."""
    minimum, maximum, width = _range(rows)
    share = np.random.default_rng(_SEED).random((8 * MINIMUM_ROWS, len(minimum)))
    return _float32(minimum - width / 2 + share * (maximum - minimum + width))


def _answered(reference: Reference, candidates: list[tuple[str, NDArray[np.float32]]], tolerance: float) -> GoldenRows:
    """Return the candidates, each once, that the reference answers with a certain label."""
    kinds = np.repeat([kind for kind, _ in candidates], [len(rows) for _, rows in candidates])
    rows = np.concatenate([rows for _, rows in candidates])
    # By their bytes: as numbers, the two zeros would be one row.
    _, first = np.unique(np.ascontiguousarray(rows).view(f"V{4 * rows.shape[1]}").ravel(), return_index=True)
    first.sort()
    rows, kinds = rows[first], kinds[first]
    probabilities = _finite_probabilities(reference, rows)
    certain = margins(probabilities) > 2 * tolerance  # false for NaN
    return GoldenRows(rows[certain], probabilities[certain], tuple(kinds[certain].tolist()))


def _finite_probabilities(reference: Reference, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the reference's probabilities, NaN for the rows that it refuses."""
    try:
        return reference.probabilities(rows)
    except (ValueError, ArithmeticError, ExportError):
        if len(rows) == 1:
            return np.full((1, len(reference.labels)), np.nan)
    half = len(rows) // 2
    return np.concatenate(
        [_finite_probabilities(reference, rows[:half]), _finite_probabilities(reference, rows[half:])]
    )
