"""How a forest lies in memory: its nodes packed for the kernels that walk it.

A node is 8 bytes where the forest allows it: a float32 threshold and a word of 32 bits, the column that it tests in the
low bits and the node that follows in the high ones. The nodes that may follow stand side by side, so that the next node
is that one, or the one behind it where the value is above the threshold: no branch, and nothing to mispredict. A leaf
tests a column that holds minus infinity, hence stays where it is, and its threshold is its payload: the value that it
adds, or the index of what it adds. Pairs of nodes stand in blocks of three, a pair and what may follow it, so that a
row on its way down touches a new cache line on every second level and not on each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.compiled._records import (
    COMPACT_WORDS,
    DENSE,
    EQUAL,
    FIRST_INDEX,
    LANES,
    SPARSE,
    TO_LOWER,
    VALUE,
    WIDE_WORDS,
)
from runtime.compiled.forest import LEAF, MAX, MIN, Forest

_CACHE_LINE = 64
_OFTEN = 0.1
"""From the level on where a walk has ended with this probability it pays to look whether it has."""


@dataclass(frozen=True, slots=True)
class ForestLayout:
    """The arrays of one forest, which the kernels read by address.

    Attributes
    ----------
    nodes : ndarray
        uint32 (2 or 4 words a node), on a cache line: the bits of the threshold, and the column and the next node in
        one word (compact), or in one word each with `TO_LOWER` and `EQUAL` in a fourth (wide).
    wide : bool
        Whether a node has four words: where a test is for equality, or columns and nodes do not fit into one word.
    shift : int
        Bits of the column in a compact node.
    nan_lower : ndarray
        uint8 (nodes,), whether NaN goes to the first of the two that follow; empty in wide forests, and where it never
        does.
    roots : ndarray
        int64 (trees padded to a multiple of `LANES`,).
    depths, sure : ndarray
        int64 (trees,): levels of a tree, and levels before it pays to look whether all `LANES` rows are at leaves.
    group_depths, group_sure : ndarray
        The same for groups of `LANES` trees that one row walks.
    payload : int
        `VALUE`, `DENSE` or `SPARSE`.
    tree_targets : ndarray
        int64 (trees,): the target of all leaves of a tree, for `VALUE`.
    weights : ndarray
        float32: (leaves, targets) for `DENSE`, (entries,) for `SPARSE`, else empty.
    starts, targets : ndarray
        int64 (leaves + 1,) and (entries,), for `SPARSE`: where the entries of a leaf begin, and the target of each.
    base : ndarray
        float64 (targets,).
    aggregate : int
        As in the forest.
    """

    nodes: NDArray[np.uint32]
    wide: bool
    shift: int
    nan_lower: NDArray[np.uint8]
    roots: NDArray[np.int64]
    depths: NDArray[np.int64]
    sure: NDArray[np.int64]
    group_depths: NDArray[np.int64]
    group_sure: NDArray[np.int64]
    payload: int
    tree_targets: NDArray[np.int64]
    weights: NDArray[np.float32]
    starts: NDArray[np.int64]
    targets: NDArray[np.int64]
    base: NDArray[np.float64]
    aggregate: int

    @property
    def memory_bytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (getattr(self, name) for name in self.__slots__)
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


@dataclass(frozen=True, slots=True)
class _Levels:
    """All nodes of all trees, level by level, and in a level tree by tree: arrays of one entry a node."""

    nodes: NDArray[np.int64]
    trees: NDArray[np.int64]
    depths: NDArray[np.int64]
    parents: NDArray[np.int64]
    """The place of the parent in these arrays; that of a root is its own."""


def lay_out(forest: Forest, columns: int) -> ForestLayout:
    """Pack a forest.

    Parameters
    ----------
    forest : Forest
        Checked trees.
    columns : int
        Columns of the rows; the one behind the last holds minus infinity.
    """
    levels = _levels(forest)
    places, room = _places(forest, levels)
    leaf = forest.features == LEAF
    shift = int(columns).bit_length()
    wide = bool((forest.equal & ~leaf).any()) or room >= 1 << (32 - shift)
    payload, tree_targets, payloads, weights, starts, targets = _payloads(forest, levels)

    thresholds = np.where(leaf, payloads, forest.thresholds.view(np.uint32))
    tested = np.where(leaf, columns, forest.features).astype(np.int64)
    following = np.where(leaf, places, places[forest.lower])
    lower_for_nan = forest.nan_lower & ~leaf
    # What no walk reaches, padding beside roots, is a leaf of its own; the root of padding trees is one such.
    nodes = _aligned(room * (WIDE_WORDS if wide else COMPACT_WORDS)).reshape(room, -1)
    empty = np.arange(room)
    if wide:
        nodes[:, 1], nodes[:, 2] = columns, empty
        nodes[places, 1], nodes[places, 2] = tested, following
        nodes[places, 3] = lower_for_nan * TO_LOWER + (forest.equal & ~leaf) * EQUAL
    else:
        nodes[:, 1] = empty << shift | columns
        nodes[places, 1] = following << shift | tested
    nodes[places, 0] = thresholds
    nan_lower = np.zeros(0 if wide or not lower_for_nan.any() else room, np.uint8)
    if len(nan_lower):
        nan_lower[places] = lower_for_nan

    trees = len(forest.roots)
    groups = -(-trees // LANES)
    roots = np.full(groups * LANES, room - 1, np.int64)
    roots[:trees] = places[forest.roots]
    depths, settled = _settling(forest, levels, trees)
    alone = settled**LANES
    together = np.ones((groups, alone.shape[1]))
    group_depths = np.zeros(groups, np.int64)
    for lane in range(LANES):
        part = slice(lane, None, LANES)
        count = len(settled[part])
        together[:count] *= settled[part]
        group_depths[:count] = np.maximum(group_depths[:count], depths[part])
    return ForestLayout(
        nodes=nodes.reshape(-1),
        wide=wide,
        shift=shift,
        nan_lower=nan_lower,
        roots=roots,
        depths=depths,
        sure=_sure(depths, alone),
        group_depths=group_depths,
        group_sure=_sure(group_depths, together),
        payload=payload,
        tree_targets=tree_targets,
        weights=weights,
        starts=starts,
        targets=targets,
        base=forest.base.astype(np.float64),
        aggregate=forest.aggregate,
    )


def _aligned(words: int) -> NDArray[np.uint32]:
    """Return zeros that begin on a cache line."""
    buffer = np.zeros(words + _CACHE_LINE // 4, np.uint32)
    start = -buffer.ctypes.data % _CACHE_LINE // 4
    return buffer[start : start + words]


def _levels(forest: Forest) -> _Levels:
    nodes = forest.roots.astype(np.int64)
    trees = np.arange(len(nodes))
    parents = np.arange(len(nodes))
    found = []
    placed = depth = 0
    while len(nodes):
        found.append((nodes, trees, np.full(len(nodes), depth), parents))
        inner = np.flatnonzero(forest.features[nodes] != LEAF)
        parents = np.repeat(placed + inner, 2)
        placed += len(nodes)
        trees = np.repeat(trees[inner], 2)
        nodes = np.stack([forest.lower[nodes[inner]], forest.upper[nodes[inner]]], axis=1).reshape(-1).astype(np.int64)
        depth += 1
    return _Levels(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _places(forest: Forest, levels: _Levels) -> tuple[NDArray[np.int64], int]:
    """Return where each node stands, and how many places there are; the last is a leaf for padding.

    Tree by tree: the root and a place for padding, then the pairs. Those that follow a node at an even depth begin a
    block, and those that follow its two nodes belong to it.
    """
    trees = len(forest.roots)
    inner = np.flatnonzero(forest.features[levels.nodes] != LEAF)
    head = np.where(levels.depths[inner] % 2, levels.parents[inner], inner)
    order = inner[np.lexsort((inner, head, levels.trees[inner]))]
    tree_of_pair = levels.trees[order]
    # Every tree before a pair, and its own, has put two places in front of it.
    starts = 2 * np.arange(len(order)) + 2 * (tree_of_pair + 1)
    places = np.zeros(len(forest.features), np.int64)
    parents = levels.nodes[order]
    places[forest.lower[parents]] = starts
    places[forest.upper[parents]] = starts + 1
    pairs = np.bincount(tree_of_pair, minlength=trees)
    places[forest.roots] = 2 * (np.cumsum(pairs) - pairs) + 2 * np.arange(trees)
    return places, 2 * (len(order) + trees + 1)


def _payloads(
    forest: Forest, levels: _Levels
) -> tuple[int, NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return kind, target of each tree, payload of each node, weights, starts and targets."""
    nodes, trees, targets = len(forest.features), len(forest.roots), len(forest.base)
    counts = np.diff(forest.leaf_starts)
    leaf = forest.features == LEAF
    none_int, none_float = np.zeros(0, np.int64), np.zeros(0, np.float32)
    tree_of_node = np.zeros(nodes, np.int64)
    tree_of_node[levels.nodes] = levels.trees
    owners = np.repeat(np.arange(nodes), counts)
    tree_targets = np.zeros(trees, np.int64)
    tree_targets[tree_of_node[owners]] = forest.leaf_targets
    if (
        (counts <= 1).all()
        and (tree_targets[tree_of_node[owners]] == forest.leaf_targets).all()
        and not np.isnan(forest.leaf_weights).any()
        and (forest.aggregate not in (MIN, MAX) or (counts[leaf] == 1).all())
    ):
        values = np.full(nodes, -0.0, np.float32)  # what changes no sum, not even that of zeros
        values[owners] = forest.leaf_weights
        return VALUE, tree_targets, values.view(np.uint32), none_float, none_int, none_int
    ordinals = np.cumsum(leaf) - 1
    payloads = (np.where(leaf, ordinals, 0) + FIRST_INDEX).astype(np.uint32)
    weights = np.asarray(forest.leaf_weights, np.float32)
    if (counts[leaf] == targets).all() and (forest.leaf_targets.reshape(-1, targets) == np.arange(targets)).all():
        return DENSE, tree_targets, payloads, weights, none_int, none_int
    starts = np.append(0, np.cumsum(counts[leaf])).astype(np.int64)
    return SPARSE, tree_targets, payloads, weights, starts, forest.leaf_targets.astype(np.int64)


def _settling(forest: Forest, levels: _Levels, trees: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the depth of each tree, and the share of rows at a leaf by each level, if every test halves its rows."""
    depths = np.zeros(trees, np.int64)
    np.maximum.at(depths, levels.trees, levels.depths)
    leaves = forest.features[levels.nodes] == LEAF
    shares = np.zeros((trees, int(depths.max(initial=0)) + 1))
    np.add.at(shares, (levels.trees[leaves], levels.depths[leaves]), 0.5 ** levels.depths[leaves])
    return depths, np.cumsum(shares, axis=1)


def _sure(depths: NDArray[np.int64], settled: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the level from which on it pays to look; the depth where the tree is nearly as deep everywhere."""
    first = np.argmax(settled >= _OFTEN, axis=1)
    return np.where(first + 2 >= depths, depths, first).astype(np.int64)
