"""A scaler folded into the thresholds of a forest, exactly: no row decides otherwise, and the scaler costs nothing.

A chain of additions, subtractions, multiplications and divisions by constants, each rounded, never decreases with its
argument, or never increases: rounding is monotone. So ``chain(x) <= threshold`` holds for all x up to some float32, or
from some float32 on, and to test x against that number is the same test. It is found by bisection over the float32 in
their order, all nodes at once.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.forest import LEAF, Forest
from runtime.compiled.steps import Arithmetic, Cast, Operator, Step

_INFINITY = 0x7F800000
"""The place of infinity in the order of float32, where minus infinity stands at its negative less one."""


def fold(forest: Forest, chain: Sequence[Step]) -> Forest | None:
    """Return a forest over the rows in front of a chain that decides as this one decides behind it.

    Parameters
    ----------
    forest : Forest
        Trees over what the chain writes.
    chain : sequence of Step
        Steps that follow each other.

    Returns
    -------
    Forest or None
        None where the chain or a test is not such that a threshold in front of it decides the same: a step that
        mixes columns, a constant that is not finite, a factor of 0, a test for equality.
    """
    inner = np.flatnonzero(forest.features != LEAF)
    if forest.equal.any() or not all(_is_monotone(step) for step in chain):
        return None
    features, thresholds = forest.features[inner], forest.thresholds[inner]
    falling = np.zeros(len(inner), np.bool_)
    for step in chain:
        if isinstance(step, Arithmetic):
            falling ^= _falls(step)[features]
    # Ordered places low and high: the test of `low` sends a row to the side of minus infinity, that of `high` does not.
    low = np.full(len(inner), -_INFINITY - 1, np.int64)
    high = np.full(len(inner), _INFINITY + 1, np.int64)
    while (high - low > 1).any():
        middle = (low + high) >> 1
        below = _run(chain, _float(middle), features) <= thresholds
        same = below != falling
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    # Where the chain falls, what is above `low` goes to `lower`: the nodes that follow change places.
    folded = _float(low)
    exchanged = np.zeros(len(forest.features), np.bool_)
    exchanged[inner] = falling
    new_thresholds = forest.thresholds.copy()
    new_thresholds[inner] = folded
    # A falling chain may be at most the threshold everywhere: no number is below all others, infinity above none.
    everywhere = np.zeros(len(forest.features), np.bool_)
    everywhere[inner] = falling & (_run(chain, np.full(len(inner), -np.inf, np.float32), features) <= thresholds)
    new_thresholds[everywhere] = np.inf
    exchanged &= ~everywhere
    return replace(
        forest,
        thresholds=new_thresholds,
        lower=np.where(exchanged, forest.upper, forest.lower),
        upper=np.where(exchanged, forest.lower, forest.upper),
        nan_lower=forest.nan_lower ^ exchanged,
    )


def _is_monotone(step: Step) -> bool:
    """Tell whether a step is monotone column by column, and writes NaN where it reads NaN and nowhere else."""
    if isinstance(step, Cast):
        return True
    if not isinstance(step, Arithmetic) or not np.isfinite(step.constant).all():
        return False
    if step.operator in (Operator.ADD, Operator.SUBTRACT):
        return True
    first_divides = step.operator is Operator.DIVIDE and step.constant_first
    return bool(step.constant.all()) and not first_divides


def _falls(step: Arithmetic) -> NDArray[np.bool_]:
    """Tell of each column whether the step falls where its argument rises."""
    if step.operator in (Operator.MULTIPLY, Operator.DIVIDE):
        return step.constant < 0
    return np.full(len(step.constant), step.operator is Operator.SUBTRACT and step.constant_first)


def _float(places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the float32 at places of their order; minus zero stands one place before zero."""
    bits = np.where(places >= 0, places, 0x80000000 | (-places - 1))
    return bits.astype(np.uint32).view(np.float32)


def _run(chain: Sequence[Step], values: NDArray[np.float32], columns: NDArray[np.int32]) -> NDArray[np.floating]:
    """Return what a chain makes of one value for each of some columns."""
    block: NDArray[np.floating] = values
    with np.errstate(all="ignore"):
        for step in chain:
            if isinstance(step, Cast):
                block = block.astype(np.float64 if step.double else np.float32)
            elif isinstance(step, Arithmetic):
                block = _OPERATIONS[step.operator](*_operands(step, block, columns))
    return block


def _operands(
    step: Arithmetic, block: NDArray[np.floating], columns: NDArray[np.int32]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    constants = step.constant[columns]
    return (constants, block) if step.constant_first else (block, constants)


_OPERATIONS = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
}
