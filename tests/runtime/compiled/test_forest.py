"""A forest that exists is safe to walk: anything else is refused when it is made."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.compiled.forest import LEAF, Forest

STUMP: dict[str, Any] = {
    "roots": np.array([0], np.int32),
    "features": np.array([3, LEAF, LEAF], np.int32),
    "thresholds": np.array([0.5, 0, 0], np.float32),
    "lower": np.array([1, 1, 2], np.int32),
    "upper": np.array([2, 1, 2], np.int32),
    "nan_lower": np.zeros(3, np.bool_),
    "equal": np.zeros(3, np.bool_),
    "leaf_starts": np.array([0, 0, 1, 2], np.int64),
    "leaf_targets": np.array([0, 1], np.int32),
    "leaf_weights": np.array([0.25, 0.75], np.float32),
    "base": np.zeros(2, np.float32),
}


def test_a_forest_knows_its_size() -> None:
    forest = Forest(**STUMP)
    assert (forest.targets, forest.columns, forest.depth) == (2, 4, 1)


def test_a_forest_does_not_change() -> None:
    forest = Forest(**{name: array.copy() for name, array in STUMP.items()})
    with pytest.raises(ValueError, match="read-only"):
        forest.lower[0] = 7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"roots": np.array([], np.int32)}, "roots: expected one tree at least, got none"),
        ({"roots": np.array([3], np.int32)}, "roots: expected 0 to 2, got 3 to 3"),
        ({"roots": np.array([0], np.int64)}, r"roots: expected int32 \(1,\), got int64 \(1,\)"),
        ({"roots": np.array([0, 0], np.int32)}, "node 0: expected one way to it, got 2"),
        ({"lower": np.array([-1, 1, 2], np.int32)}, "lower: expected 0 to 2, got -1 to 2"),
        ({"lower": np.array([2, 1, 2], np.int32)}, "node 1: expected one way to it, got 0"),
        ({"lower": np.array([0, 1, 2], np.int32)}, "node 0: expected one way to it, got 2"),
        ({"upper": np.array([2, 2, 2], np.int32)}, "expected a leaf to lead to itself"),
        ({"upper": np.array([[2, 1, 2]], np.int32)}, "upper: expected int32"),
        ({"upper": np.array([2, 0, 1, 0, 2, 0], np.int32)[::2]}, "upper: expected int32"),
        ({"features": np.array([-2, LEAF, LEAF], np.int32)}, "features: expected columns or -1, got -2"),
        ({"features": np.array([65536, LEAF, LEAF], np.int32)}, "features: expected 1 to 65536, got 65537"),
        ({"thresholds": np.array([np.nan, 0, 0], np.float32)}, "thresholds: expected numbers, got NaN"),
        ({"thresholds": np.zeros(2, np.float32)}, "thresholds: expected float32"),
        ({"leaf_starts": np.array([0, 1, 1, 2], np.int64)}, "leaf_starts: expected increasing positions"),
        ({"leaf_starts": np.array([0, 0, 2, 1], np.int64)}, "leaf_starts: expected increasing positions"),
        ({"leaf_starts": np.array([0, 0, 1, 3], np.int64)}, "leaf_starts: expected increasing positions"),
        ({"leaf_starts": np.array([1, 1, 1, 2], np.int64)}, "leaf_starts: expected increasing positions"),
        ({"leaf_targets": np.array([0, 2], np.int32)}, "leaf_targets: expected 0 to 1, got 0 to 2"),
        ({"leaf_weights": np.array([0, np.inf], np.float32)}, "leaf_weights: expected finite numbers, got inf"),
        ({"base": np.array([0, np.nan], np.float32)}, "base: expected finite numbers, got nan"),
        ({"base": np.array([], np.float32)}, "targets: expected 1 to 65536, got 0"),
        ({"aggregate": 4}, "aggregate: expected 0 to 3, got 4"),
    ],
)
def test_what_is_no_forest_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Forest(**(STUMP | change))


def chain(depth: int) -> dict[str, Any]:
    """Return a tree of so many levels, with a leaf on each."""
    nodes = np.arange(2 * depth + 1, dtype=np.int32)
    inner = (nodes % 2 == 0) & (nodes < 2 * depth)
    return {
        "roots": np.zeros(1, np.int32),
        "features": np.where(inner, 0, LEAF).astype(np.int32),
        "thresholds": np.zeros(len(nodes), np.float32),
        "lower": np.where(inner, nodes + 1, nodes).astype(np.int32),
        "upper": np.where(inner, nodes + 2, nodes).astype(np.int32),
        "nan_lower": np.zeros(len(nodes), np.bool_),
        "equal": np.zeros(len(nodes), np.bool_),
        "leaf_starts": np.zeros(len(nodes) + 1, np.int64),
        "leaf_targets": np.zeros(0, np.int32),
        "leaf_weights": np.zeros(0, np.float32),
        "base": np.zeros(1, np.float32),
    }


def test_depth_is_bounded() -> None:
    assert Forest(**chain(4096)).depth == 4096
    with pytest.raises(ValueError, match="depth: expected trees of at most 4096 levels"):
        Forest(**chain(4097))


def test_a_cycle_beside_the_trees_is_refused() -> None:
    arrays = chain(2)
    arrays["upper"][2] = 2  # the node below the root leads to itself, and the root to the last leaf
    arrays["upper"][0] = 4
    with pytest.raises(ValueError, match="expected all to be reached from the roots, got 2 in cycles"):
        Forest(**arrays)


changes = st.tuples(st.sampled_from(["features", "lower", "upper"]), st.integers(0, 6), st.integers(-2, 7))


@settings(max_examples=300, deadline=None)
@given(st.lists(changes, max_size=4), st.lists(st.integers(0, 6), max_size=1))
def test_no_walk_of_a_forest_that_exists_leaves_it(some: list[tuple[str, int, int]], more_roots: list[int]) -> None:
    arrays = chain(3)
    arrays["roots"] = np.array([0, *more_roots], np.int32)
    for name, place, number in some:
        arrays[name][place] = number
    try:
        forest = Forest(**arrays)
    except ValueError:
        return
    level = set(forest.roots.tolist())
    for _ in range(forest.depth):
        level = {int(child) for node in level for child in (forest.lower[node], forest.upper[node])}
    assert all(forest.features[node] == LEAF for node in level)
