"""A folded scaler decides as the scaler in front of the forest does, on every float32 that could tell them apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.compiled.folding import fold
from runtime.compiled.forest import LEAF, Forest
from runtime.compiled.steps import Arithmetic, Cast, Clip, Operator, Step
from tests.runtime.compiled.forests import AWKWARD, Shape, random_forest, values

FEATURES = 6

operators = st.sampled_from(list(Operator))


def constants(rng: np.random.Generator, factor: bool, double: bool) -> NDArray[np.floating]:
    """Return constants of which some are negative, tiny or huge; no factor is zero."""
    drawn = values(rng, FEATURES).astype(np.float64)
    drawn[~np.isfinite(drawn)] = 2.5
    drawn = np.where(rng.random(FEATURES) < 0.5, rng.normal(size=FEATURES) * 10.0 ** rng.integers(-3, 3), drawn)
    if factor:
        drawn[np.abs(drawn) < 1e-40] = -3.0
    return drawn if double else drawn.astype(np.float32)


def random_chain(rng: np.random.Generator, length: int) -> list[Step]:
    """Return steps that a forest can swallow."""
    chain: list[Step] = []
    double = False
    for index in range(length):
        if rng.random() < 0.2:
            double = not double
            chain.append(Cast(index, double))
            continue
        operator = Operator(int(rng.integers(4)))
        first = bool(rng.random() < 0.3) and operator is not Operator.DIVIDE
        factor = operator in (Operator.MULTIPLY, Operator.DIVIDE)
        chain.append(Arithmetic(index, operator, constants(rng, factor, double), first))
    if double:
        chain.append(Cast(length, False))
    return chain


def through(chain: list[Step], rows: NDArray[np.float32]) -> NDArray[np.floating]:
    """Run a chain over rows, in NumPy."""
    block: NDArray[np.floating] = rows
    functions = (np.add, np.subtract, np.multiply, np.divide)
    with np.errstate(all="ignore"):
        for step in chain:
            if isinstance(step, Cast):
                block = block.astype(np.float64 if step.double else np.float32)
            elif isinstance(step, Arithmetic):
                pair = (step.constant, block) if step.constant_first else (block, step.constant)
                block = functions[step.operator](*pair)
    return block


def goes_lower(forest: Forest, nodes: NDArray[np.intp], block: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return for every row and every inner node the node that follows: whether it is the first child as first made."""
    x = block[:, forest.features[nodes]]
    return np.where(np.isnan(x), forest.nan_lower[nodes], x <= forest.thresholds[nodes])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 5))
def test_every_test_decides_as_before(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    forest = random_forest(rng, Shape(trees=2, depth=4, features=FEATURES, nan="some"))
    chain = random_chain(rng, length)
    folded = fold(forest, chain)
    assert folded is not None
    nodes = np.flatnonzero(forest.features != LEAF)
    # The thresholds found, and their neighbours, are where a wrong one would show; so are all awkward numbers.
    found = folded.thresholds[nodes]
    with np.errstate(over="ignore"):
        beside = [np.nextafter(found, np.float32(side)) for side in (-np.inf, np.inf)]
    rows = np.concatenate([found, *beside, AWKWARD, [np.nan], values(rng, 40)]).astype(np.float32)
    rows = np.repeat(rows[:, None], FEATURES, axis=1)
    before = np.where(goes_lower(forest, nodes, through(chain, rows)), forest.lower[nodes], forest.upper[nodes])
    after = np.where(goes_lower(folded, nodes, rows), folded.lower[nodes], folded.upper[nodes])
    np.testing.assert_array_equal(after, before)


def test_every_float16_step_of_a_scaler_decides_as_before() -> None:
    """All 65,536 values whose low bits are zero, through an ordinary scaler."""
    rng = np.random.default_rng(3)
    forest = random_forest(rng, Shape(trees=1, depth=5, features=1, nan="some"))
    chain: list[Step] = [
        Arithmetic(0, Operator.SUBTRACT, np.array([0.3], np.float32)),
        Arithmetic(1, Operator.DIVIDE, np.array([1.7], np.float32)),
    ]
    folded = fold(forest, chain)
    assert folded is not None
    nodes = np.flatnonzero(forest.features != LEAF)
    rows = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)[:, None]
    np.testing.assert_array_equal(goes_lower(folded, nodes, rows), goes_lower(forest, nodes, through(chain, rows)))


@pytest.mark.parametrize(
    "step",
    [
        Arithmetic(0, Operator.MULTIPLY, np.zeros(FEATURES, np.float32)),
        Arithmetic(0, Operator.ADD, np.full(FEATURES, np.inf, np.float32)),
        Arithmetic(0, Operator.DIVIDE, np.ones(FEATURES, np.float32), constant_first=True),
        Clip(0, 0.0, 1.0),
    ],
)
def test_what_is_not_one_threshold_is_not_folded(step: Step) -> None:
    forest = random_forest(np.random.default_rng(0), Shape(features=FEATURES))
    assert fold(forest, [step]) is None


def test_tests_for_equality_are_not_folded() -> None:
    forest = random_forest(np.random.default_rng(0), Shape(trees=20, features=FEATURES, equal=True))
    assert fold(forest, [Arithmetic(0, Operator.ADD, np.ones(FEATURES, np.float32))]) is None
