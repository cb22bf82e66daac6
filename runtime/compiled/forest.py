"""A forest as arrays, every test in one form, checked when it is made."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.arrays import check_array, check_columns, check_finite, check_within

LEAF = -1
"""In place of a node's feature: the node is a leaf."""

MAX_DEPTH = 1 << 12
"""No tree is deeper, so that no file makes a row take more than this many steps a tree."""

SUM, AVERAGE, MIN, MAX = range(4)
"""How the trees of a forest become one score a target."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over the columns of the block, every test brought to one form.

    A row goes from an inner node to `lower` where its value is at most the threshold (where `equal` says so: is the
    threshold), to `upper` where it is not, and where it is NaN to `lower` or `upper` as `nan_lower` says. Every tree is
    a tree: no node is reached by two ways, none by itself, none is left over, and all indices are within bounds.

    Attributes
    ----------
    roots : ndarray
        Nodes at which the trees begin, int32 (trees,).
    features : ndarray
        The column that a node tests, or `LEAF`, int32 (nodes,).
    thresholds : ndarray
        float32 (nodes,), never NaN, may be infinite; 0 in leaves.
    lower, upper : ndarray
        The nodes that follow, int32 (nodes,); the leaf itself in leaves.
    nan_lower, equal : ndarray
        bool (nodes,); False in leaves.
    leaf_starts : ndarray
        Where the weights of a node begin, int64 (nodes + 1,); inner nodes have none, a leaf has any number.
    leaf_targets, leaf_weights : ndarray
        The targets to which a leaf adds, int32 (weights,), and how much, float32 (weights,), finite.
    base : ndarray
        What every target begins with, float32 (targets,), finite.
    aggregate : int
        `SUM`, `AVERAGE`, `MIN` or `MAX` of what the trees give a target, and the base added to it. A target to which
        no leaf adds gets its base. `AVERAGE` divides by the number of trees. Sums are float64 and rounded to float32
        once, the base included.
    depth : int
        Most inner nodes from a root to a leaf; found when the forest is made.
    """

    roots: NDArray[np.int32]
    features: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    nan_lower: NDArray[np.bool_]
    equal: NDArray[np.bool_]
    leaf_starts: NDArray[np.int64]
    leaf_targets: NDArray[np.int32]
    leaf_weights: NDArray[np.float32]
    base: NDArray[np.float32]
    aggregate: int = SUM
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        nodes, weights = len(self.features), len(self.leaf_targets)
        for name, dtype, count in (
            ("roots", np.int32, len(self.roots)),
            ("features", np.int32, nodes),
            ("thresholds", np.float32, nodes),
            ("lower", np.int32, nodes),
            ("upper", np.int32, nodes),
            ("nan_lower", np.bool_, nodes),
            ("equal", np.bool_, nodes),
            ("leaf_starts", np.int64, nodes + 1),
            ("leaf_targets", np.int32, weights),
            ("leaf_weights", np.float32, weights),
            ("base", np.float32, len(self.base)),
        ):
            check_array(name, getattr(self, name), dtype, (count,))
        if self.aggregate not in (SUM, AVERAGE, MIN, MAX):
            raise ValueError(f"aggregate: expected 0 to 3, got {self.aggregate}")
        check_columns("targets", self.targets)
        check_within("leaf_targets", self.leaf_targets, self.targets)
        check_finite("leaf_weights", self.leaf_weights)
        check_finite("base", self.base)
        if np.isnan(self.thresholds).any():
            raise ValueError("thresholds: expected numbers, got NaN")
        leaves = self.features == LEAF
        counts = np.diff(self.leaf_starts)
        if self.leaf_starts[0] != 0 or self.leaf_starts[-1] != weights or (counts < 0).any() or counts[~leaves].any():
            raise ValueError(f"leaf_starts: expected increasing positions from 0 to {weights}, of leaves alone")
        object.__setattr__(self, "depth", check_trees(self.roots, self.features, self.lower, self.upper))

    @property
    def targets(self) -> int:
        """Number of scores a row."""
        return len(self.base)

    @property
    def columns(self) -> int:
        """Number of columns that a block must have at least."""
        return int(self.features.max(initial=LEAF)) + 1


def check_trees(
    roots: NDArray[np.int32], features: NDArray[np.int32], lower: NDArray[np.int32], upper: NDArray[np.int32]
) -> int:
    """Return the depth of trees in which every node is reached from the roots, and by one way.

    Raises
    ------
    ValueError
        An index is out of bounds, a leaf does not lead to itself, a node is reached by two ways, by itself or not at
        all, a tree is deeper than `MAX_DEPTH`, or there is no tree.
    """
    nodes = len(features)
    if not len(roots):
        raise ValueError("roots: expected one tree at least, got none")
    for name, indices in (("roots", roots), ("lower", lower), ("upper", upper)):
        check_within(name, indices, nodes)
    check_columns("features", int(features.max(initial=0)) + 1)
    if (features < LEAF).any():
        raise ValueError(f"features: expected columns or {LEAF}, got {features.min()}")
    leaves = features == LEAF
    own = np.flatnonzero(leaves)
    if (lower[own] != own).any() or (upper[own] != own).any():
        raise ValueError("lower and upper: expected a leaf to lead to itself")
    inner = np.flatnonzero(~leaves)
    ways = np.bincount(np.concatenate([roots, lower[inner], upper[inner]]), minlength=nodes)
    if (ways != 1).any():
        node = int(np.flatnonzero(ways != 1)[0])
        raise ValueError(f"node {node}: expected one way to it, got {ways[node]}")
    # Where every node has one way to it, what the roots reach are trees; what they do not reach are cycles.
    depth, reached, level = 0, len(roots), roots[~leaves[roots]]
    while len(level):
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"depth: expected trees of at most {MAX_DEPTH} levels")
        level = np.concatenate([lower[level], upper[level]])
        reached += len(level)
        level = level[~leaves[level]]
    if reached != nodes:
        raise ValueError(f"nodes: expected all to be reached from the roots, got {nodes - reached} in cycles")
    return depth
