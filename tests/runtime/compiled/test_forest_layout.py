"""What the kernels rely on: every walk stays within its tree and ends, whatever number a row holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.compiled._records import DENSE, SPARSE, VALUE
from runtime.compiled.forest import LEAF, MAX
from runtime.compiled.forest_layout import ForestLayout, lay_out
from tests.runtime.compiled.forests import Shape, random_forest

shapes = st.builds(
    Shape,
    trees=st.integers(1, 40),
    depth=st.integers(0, 30),
    features=st.sampled_from([1, 22, 255, 256, 500, 65_535]),
    targets=st.integers(1, 5),
    leaf=st.sampled_from(["one", "all", "some"]),
    nan=st.sampled_from(["never", "some"]),
    equal=st.booleans(),
    unbalanced=st.floats(0.0, 0.9),
)


def unpacked(layout: ForestLayout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return column and first follower of every node."""
    if layout.wide:
        nodes = layout.nodes.reshape(-1, 4)
        return nodes[:, 1].astype(np.int64), nodes[:, 2].astype(np.int64)
    words = layout.nodes.reshape(-1, 2)[:, 1].astype(np.int64)
    return words & ((1 << layout.shift) - 1), words >> layout.shift


@settings(max_examples=200, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shape=shapes)
def test_every_node_follows_another_within_bounds_or_stays(seed: int, shape: Shape) -> None:
    forest = random_forest(np.random.default_rng(seed), shape)
    layout = lay_out(forest, shape.features)
    columns, following = unpacked(layout)
    places = np.arange(len(columns))
    stays = columns == shape.features
    assert columns.max() <= shape.features
    assert (following[stays] == places[stays]).all()
    assert (following[~stays] + 1 < len(columns)).all()
    assert (following[~stays] % 2 == 0).all()
    # Minus infinity is at most any payload, so a leaf is left by no row.
    payloads = layout.nodes.reshape(len(columns), -1)[stays, 0].copy().view(np.float32)
    assert not np.isnan(payloads).any()
    # As many levels as the layout says lead from every root to a leaf, and to as many leaves as the tree has.
    nodes = layout.roots[: len(layout.depths)]
    for level in range(int(layout.depths.max()) + 1):
        settled = stays[nodes]
        assert settled.all() or level < layout.depths.max()
        nodes = np.concatenate([nodes[settled], following[nodes[~settled]], following[nodes[~settled]] + 1])
    assert len(set(nodes.tolist())) == len(nodes) == (forest.features == LEAF).sum()
    assert layout.nodes.ctypes.data % 64 == 0
    assert ((layout.sure <= layout.depths) & (layout.sure >= 0)).all()
    assert ((layout.group_sure <= layout.group_depths) & (layout.group_sure >= 0)).all()


@pytest.mark.parametrize(
    ("shape", "wide"),
    [
        (Shape(features=22), False),
        (Shape(features=500), False),
        (Shape(features=22, trees=20, equal=True), True),
        (Shape(features=65_535, trees=40, depth=14), False),
    ],
)
def test_nodes_are_wide_only_where_they_must(shape: Shape, wide: bool) -> None:
    layout = lay_out(random_forest(np.random.default_rng(0), shape), shape.features)
    assert layout.wide is wide


def test_nodes_are_wide_where_an_index_does_not_fit() -> None:
    forest = random_forest(np.random.default_rng(0), Shape(trees=500, depth=12, features=3))
    room = len(lay_out(forest, 3).nodes) // 2
    assert room > 1 << 12
    columns = (1 << 21) - 1  # 21 bits of a column leave 11 for the node
    assert lay_out(forest, columns).wide
    assert not lay_out(forest, (1 << 10) - 1).wide


@pytest.mark.parametrize(
    ("shape", "payload"),
    [
        (Shape(), VALUE),
        (Shape(targets=3), VALUE),
        (Shape(targets=3, leaf="all"), DENSE),
        (Shape(targets=3, leaf="some"), SPARSE),
        (Shape(targets=1, leaf="some", aggregate=MAX, trees=20), SPARSE),
    ],
)
def test_leaves_take_the_least_that_says_all(shape: Shape, payload: int) -> None:
    assert lay_out(random_forest(np.random.default_rng(1), shape), shape.features).payload == payload
