"""Nodes of trees as the operators list them, and how they become a `Forest`."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.errors import MalformedGraph
from runtime.compiled.program import LEAF, MAX_DEPTH, Forest

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
"""What a node may ask, in the order of their numbers in `TreeEnsemble`."""

_LEQ, _LT, _GTE, _GT, _EQ, _NEQ = range(len(MODES))

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes in the order of the file; all arrays but `roots` have one entry a node.

    Attributes
    ----------
    path : str
        The graph's node, for errors.
    roots : ndarray
        Where the trees begin.
    features, thresholds : ndarray
        The column that a node tests, and against what; anything in leaves.
    modes : ndarray
        Indices of `MODES`, negative in leaves.
    true, false : ndarray
        The nodes that follow; anything within bounds in leaves.
    missing_true : ndarray of bool
        Whether NaN takes the way of a test that is true.
    """

    path: str
    roots: Indices
    features: Indices
    thresholds: NDArray[np.float32]
    modes: Indices
    true: Indices
    false: Indices
    missing_true: NDArray[np.bool_]

    def fail(self, reason: str) -> NoReturn:
        """Raise a `MalformedGraph` that names the graph's node."""
        raise MalformedGraph(f"{self.path}: {reason}")

    def trees(self) -> Indices:
        """Return for every node the index of its tree, -1 where no root leads to it; fail where these are no trees."""
        trees = np.full(len(self.modes), -1)
        level, tree, visits, depth = self.roots, np.arange(len(self.roots)), 0, -1
        while len(level):
            trees[level] = tree
            visits, depth = visits + len(level), depth + 1
            if visits > len(trees) or depth > MAX_DEPTH:
                self.fail(f"expected trees of at most {MAX_DEPTH} levels, got cycles or deeper ones")
            inner = self.modes[level] >= 0
            level, tree = level[inner], tree[inner]
            level, tree = np.concatenate([self.true[level], self.false[level]]), np.concatenate([tree, tree])
        if visits != np.count_nonzero(trees >= 0):
            self.fail("expected trees, got a node that is reached by two ways")
        return trees

    def are_trees(self) -> bool:
        """Whether every node is reached by one way: then all belong to trees, or to cycles that no root leads to."""
        inner = self.modes >= 0
        ways = np.bincount(np.concatenate([self.roots, self.true[inner], self.false[inner]]), minlength=len(self.modes))
        return bool((ways == 1).all())


@dataclass(frozen=True, slots=True)
class Votes:
    """What leaves add to targets, in the order of the file: leaf, target and weight."""

    nodes: Indices
    targets: Indices
    weights: NDArray[np.float32]

    def always(self, nodes: Nodes) -> set[int]:
        """Return the targets to which every row gets something: all leaves of some tree add to them."""
        trees = nodes.trees()
        leaves = (trees >= 0) & (nodes.modes < 0)
        counted = leaves[self.nodes]
        width = int(self.targets.max(initial=0)) + 1
        pairs = _distinct(self.nodes[counted] * width + self.targets[counted])
        in_tree, counts = np.unique(trees[pairs // width] * width + pairs % width, return_counts=True)
        sizes = np.bincount(trees[leaves], minlength=len(nodes.roots))
        return set((in_tree % width)[counts == sizes[in_tree // width]].tolist())


class NodeIndex:
    """Finds nodes by the number of their tree and their own number in it.

    Parameters
    ----------
    path : str
        The graph's node, for errors.
    trees, ids : ndarray
        These numbers of all nodes; the nodes of a tree stand together, its root first.
    """

    def __init__(self, path: str, trees: Indices, ids: Indices) -> None:
        self._path = path
        for name, numbers in (("trees", trees), ("nodes", ids)):
            if len(numbers) and not (numbers.min() >= 0 and numbers.max() < 1 << 31):
                raise MalformedGraph(f"{path}: expected numbers of {name} from 0 to {(1 << 31) - 1}")
        self.roots: Indices = np.flatnonzero(np.diff(trees, prepend=-1) != 0)
        if len(_distinct(trees[self.roots])) != len(self.roots):
            raise MalformedGraph(f"{path}: expected the nodes of a tree to stand together")
        sizes = np.diff(self.roots, append=len(trees))
        keys = trees << 31 | ids
        # The usual order, trees and nodes counted from 0, needs no search.
        self._sizes: Indices | None = sizes
        if (trees[self.roots] != np.arange(len(sizes))).any() or (
            ids != np.arange(len(ids)) - np.repeat(self.roots, sizes)
        ).any():
            self._sizes = None
            self._order = np.argsort(keys, kind="stable")
            self._keys = keys[self._order]
            twice = np.flatnonzero(np.diff(self._keys) == 0)
            if len(twice):
                self._fail("one node", self._keys[twice[0]], "got two")

    def find(self, what: str, trees: Indices, ids: Indices) -> Indices:
        """Return the indices of nodes by their numbers."""
        if not len(trees):
            return np.empty(0, np.int64)
        if self._sizes is not None:
            known = (trees >= 0) & (trees < len(self._sizes)) & (ids >= 0)
            tree = np.where(known, trees, 0)
            known &= ids < self._sizes[tree]
            found = self.roots[tree] + ids
        else:
            known = (trees >= 0) & (trees < 1 << 31) & (ids >= 0) & (ids < 1 << 31)
            keys = np.where(known, trees, 0) << 31 | np.where(known, ids, 0)
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            known &= self._keys[places] == keys
            found = self._order[places]
        if not known.all():
            missing = int(known.argmin())
            raise MalformedGraph(f"{self._path}: {what}: no node {ids[missing]} in tree {trees[missing]}")
        return found

    def _fail(self, expected: str, key: int, got: str) -> NoReturn:
        raise MalformedGraph(f"{self._path}: expected {expected} {key & 0x7FFFFFFF} in tree {key >> 31}, {got}")


def make_forest(nodes: Nodes, votes: Votes, base: NDArray[np.float32], aggregate: int) -> Forest:
    """Bring every test to the one form of a `Forest`, and leave out nodes to which no root leads.

    A `ValueError` of the forest itself says what else is wrong.
    """
    inner = nodes.modes >= 0
    thresholds, swap, equal, nan_true = _tests(nodes.modes, nodes.thresholds, nodes.missing_true)
    own = np.arange(len(inner))
    lower = np.where(inner, np.where(swap, nodes.false, nodes.true), own)
    upper = np.where(inner, np.where(swap, nodes.true, nodes.false), own)
    features = np.where(inner, nodes.features, LEAF)
    wrong = np.flatnonzero(inner & ((nodes.features < 0) | (nodes.features >= 1 << 31)))
    if len(wrong):
        nodes.fail(f"expected a column that a node tests, got {nodes.features[wrong[0]]}")
    keep = own
    roots, leaves = nodes.roots, votes.nodes
    counted = ~inner[leaves]  # old converters wrote weights of inner nodes too
    if not nodes.are_trees():
        reached = nodes.trees() >= 0
        keep = np.flatnonzero(reached)
        numbers = np.cumsum(reached) - 1
        counted &= reached[leaves]
        roots, lower, upper, leaves = numbers[roots], numbers[lower], numbers[upper], numbers[leaves]
    leaves, targets, weights = leaves[counted], votes.targets[counted], votes.weights[counted]
    if (np.diff(leaves) < 0).any():
        order = np.argsort(leaves, kind="stable")
        leaves, targets, weights = leaves[order], targets[order], weights[order]
    if len(targets) and not (targets.min() >= 0 and targets.max() < len(base)):
        nodes.fail(f"expected weights of targets 0 to {len(base) - 1}, got {targets.min()} to {targets.max()}")
    starts = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(np.bincount(leaves, minlength=len(keep)), out=starts[1:])
    return Forest(
        roots=roots.astype(np.int32),
        features=features[keep].astype(np.int32),
        thresholds=np.where(inner, thresholds, np.float32(0))[keep],
        lower=lower[keep].astype(np.int32),
        upper=upper[keep].astype(np.int32),
        nan_lower=(inner & (nan_true != swap))[keep],
        equal=(inner & equal)[keep],
        leaf_starts=starts,
        leaf_targets=targets.astype(np.int32),
        leaf_weights=weights.copy(),
        base=base.astype(np.float32),
        aggregate=aggregate,
    )


def _tests(
    modes: Indices, thresholds: NDArray[np.float32], missing_true: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return tests of the form value <= threshold, or value == threshold, that decide as those of the file do.

    Returns
    -------
    thresholds, swap, equal, nan_true : ndarray
        Against what; whether a test of the new form that holds leads to `false`; whether it is for equality; whether
        NaN leads to `true`.
    """
    # x < t is x <= the float32 below t. Zeros have one below them, whatever their sign: the smallest denormal.
    strict = (modes == _LT) | (modes == _GTE)
    swap = (modes == _GTE) | (modes == _GT) | (modes == _NEQ)
    equal = (modes == _EQ) | (modes == _NEQ)
    nan_true = missing_true | (modes == _NEQ)  # as NaN is unequal to everything
    # Some tests come out the same for every number: then every number is at most infinity.
    unordered = np.isnan(thresholds)
    constant = unordered | (strict & np.isneginf(thresholds))
    outcome = np.where(unordered, modes == _NEQ, modes == _GTE)
    below = thresholds
    if strict.any():
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # below the lowest number is minus infinity, below NaN is NaN
            below = np.where(strict, np.nextafter(thresholds, np.float32(-np.inf)), thresholds)
    return (
        np.where(constant, np.float32(np.inf), below),
        np.where(constant, ~outcome, swap),
        equal & ~constant,
        nan_true,
    )


def _distinct(values: Indices) -> Indices:
    """Return the values once each, in order. Without the counts NumPy would load its masked arrays, to ask for them."""
    return np.unique(values, return_counts=True)[0]
