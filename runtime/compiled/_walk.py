"""How rows walk down the trees of a forest: eight trees of one row, or eight rows of one tree at once.

A step is a comparison and an addition, without a branch, so that eight walks wait for memory together and nothing is
mispredicted. One row's order of summation is that of the trees, alone and in any company.
"""

from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types

from features_fast._vectors import address, doubles, pointer_to, singles, words
from runtime.compiled import _records as at
from runtime.compiled.forest import AVERAGE, MAX, MIN, SUM

FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "boundscheck": False}
"""How every kernel is compiled. Fast math would reorder sums and drop NaN."""

Floats = MutableSequence[Any]  # of either precision
Words = MutableSequence[int]
F = TypeVar("F", bound=Callable[..., Any])

_njit: Any = numba.njit
_pointer: Any = types.CPointer

INT, VOID, BOOL = types.int64, types.void, types.boolean
WORDS, SINGLES, DOUBLES = _pointer(INT), _pointer(types.float32), _pointer(types.float64)

_LEVELS_BETWEEN = 2
"""Levels between two looks at whether all walks have ended."""

_halves: Any = pointer_to(types.uint32)
_bytes: Any = pointer_to(types.uint8)


def part(*signatures: Any) -> Callable[[F], F]:
    """Compile a part of a kernel, for these signatures and no others."""

    def compiled(function: F) -> F:
        made: F = _njit(list(signatures), no_cpython_wrapper=True, no_cfunc_wrapper=True, **FLAGS)(function)
        return made

    return compiled


def _inlined(function: F) -> F:
    made: F = _njit(inline="always", **FLAGS)(function)
    return made


@_inlined
def _compact(nodes: Any, thresholds: Any, nan_lower: Any, shift: Any, node: Any, x: Any, row: Any) -> Any:
    """Return the next node; where no row holds NaN, or NaN never goes to the first."""
    word = nodes[2 * node + 1]
    value = x[row + np.int64(word & ((np.uint32(1) << shift) - np.uint32(1)))]
    return np.int64(word >> shift) + (0 if value <= thresholds[2 * node] else 1)


@_inlined
def _with_nan(nodes: Any, thresholds: Any, nan_lower: Any, shift: Any, node: Any, x: Any, row: Any) -> Any:
    word = nodes[2 * node + 1]
    value = x[row + np.int64(word & ((np.uint32(1) << shift) - np.uint32(1)))]
    lower = (value <= thresholds[2 * node]) | ((value != value) & (nan_lower[node] != 0))
    return np.int64(word >> shift) + (0 if lower else 1)


@_inlined
def _wide(nodes: Any, thresholds: Any, nan_lower: Any, shift: Any, node: Any, x: Any, row: Any) -> Any:
    value, threshold, bits = x[row + np.int64(nodes[4 * node + 1])], thresholds[4 * node], nodes[4 * node + 3]
    below = (value <= threshold) & (bits & at.EQUAL == 0)
    lower = below | (value == threshold) | ((value != value) & (bits & at.TO_LOWER != 0))
    return np.int64(nodes[4 * node + 2]) + (0 if lower else 1)


@_inlined
def _compact_follower(nodes: Any, shift: Any, node: Any) -> Any:
    """Return the first of the nodes that may follow: of a leaf, the leaf itself."""
    return np.int64(nodes[2 * node + 1] >> shift)


@_inlined
def _wide_follower(nodes: Any, shift: Any, node: Any) -> Any:
    return np.int64(nodes[4 * node + 2])


def _walker(step: Any, follower: Any, node_words: int, one_row: bool) -> Any:
    """Return a walk of eight to their leaves: each from its own root, over a row of its own or all over the same.

    ``leaves`` gets the position of the first word of each leaf. Levels before ``sure`` are not worth a look whether all
    walks have ended.
    """

    def walk(forest: Words, x: Floats, sure: int, depth: int, roots: Words, offsets: Words, leaves: Words) -> None:
        nodes, thresholds = _halves(forest[at.NODES]), singles(forest[at.NODES])
        nan_lower, shift = _bytes(forest[at.NAN_LOWER]), np.uint32(forest[at.SHIFT])
        a, b, c, d = roots[0], roots[1], roots[2], roots[3]
        e, f, g, h = roots[4], roots[5], roots[6], roots[7]
        i = j = k = m = n = o = p = q = 0
        if not one_row:
            i, j, k, m = offsets[0], offsets[1], offsets[2], offsets[3]
            n, o, p, q = offsets[4], offsets[5], offsets[6], offsets[7]
        level, stop = 0, sure
        while True:
            while level < stop:
                a = step(nodes, thresholds, nan_lower, shift, a, x, i)
                b = step(nodes, thresholds, nan_lower, shift, b, x, j)
                c = step(nodes, thresholds, nan_lower, shift, c, x, k)
                d = step(nodes, thresholds, nan_lower, shift, d, x, m)
                e = step(nodes, thresholds, nan_lower, shift, e, x, n)
                f = step(nodes, thresholds, nan_lower, shift, f, x, o)
                g = step(nodes, thresholds, nan_lower, shift, g, x, p)
                h = step(nodes, thresholds, nan_lower, shift, h, x, q)
                level += 1
            if level >= depth:
                break
            moves = (follower(nodes, shift, a) ^ a) | (follower(nodes, shift, b) ^ b)
            moves |= (follower(nodes, shift, c) ^ c) | (follower(nodes, shift, d) ^ d)
            moves |= (follower(nodes, shift, e) ^ e) | (follower(nodes, shift, f) ^ f)
            moves |= (follower(nodes, shift, g) ^ g) | (follower(nodes, shift, h) ^ h)
            if moves == 0:
                break
            stop = min(level + _LEVELS_BETWEEN, depth)
        leaves[0], leaves[1], leaves[2], leaves[3] = node_words * a, node_words * b, node_words * c, node_words * d
        leaves[4], leaves[5], leaves[6], leaves[7] = node_words * e, node_words * f, node_words * g, node_words * h

    return part(VOID(WORDS, SINGLES, INT, INT, WORDS, WORDS, WORDS))(walk)


_walk_one_row = _walker(_compact, _compact_follower, at.COMPACT_WORDS, one_row=True)
_walk_compact = _walker(_compact, _compact_follower, at.COMPACT_WORDS, one_row=False)
_walk_with_nan = _walker(_with_nan, _compact_follower, at.COMPACT_WORDS, one_row=False)
_walk_wide = _walker(_wide, _wide_follower, at.WIDE_WORDS, one_row=False)

_COMPACT, _WITH_NAN, _WIDE = range(3)
_LEAVES, _SAME, _ROOTS, _OFFSETS = 0, at.LANES, 2 * at.LANES, 3 * at.LANES
"""Words of the memory for walks: leaves, offsets of one row, roots of one tree, offsets of all rows."""


@_inlined
def _joined(aggregate: Any, total: Any, value: Any) -> Any:
    if aggregate == MIN:
        return min(total, value)
    if aggregate == MAX:
        return max(total, value)
    return total + value


@part(VOID(WORDS, INT, INT, INT, DOUBLES, INT))
def _add(forest: Words, tree: int, leaf: int, targets: int, sums: Floats, row: int) -> None:
    """Give the targets of a row what a leaf gives them; a leaf is the position of its first word."""
    aggregate, payload = forest[at.AGGREGATE], forest[at.PAYLOAD]
    if payload == at.VALUE:
        target = row + words(forest[at.TREE_TARGETS])[tree]
        value = np.float64(singles(forest[at.NODES])[leaf])
        sums[target] = _joined(aggregate, sums[target], value)
        return
    index = np.int64(_halves(forest[at.NODES])[leaf]) - at.FIRST_INDEX
    weights = singles(forest[at.WEIGHTS])
    if payload == at.DENSE:
        for target in range(targets):
            value = np.float64(weights[index * targets + target])
            sums[row + target] = _joined(aggregate, sums[row + target], value)
    else:
        starts, places = words(forest[at.STARTS]), words(forest[at.TARGETS])
        for entry in range(starts[index], starts[index + 1]):
            target = row + places[entry]
            sums[target] = _joined(aggregate, sums[target], np.float64(weights[entry]))


@part(VOID(WORDS, INT, SINGLES, INT, INT, DOUBLES, WORDS))
def _score_eights(forest: Words, kind: int, x: Floats, rows: int, targets: int, sums: Floats, walks: Words) -> None:
    """Add up the leaves of rows, a multiple of eight: tree by tree, so that a tree stays in the cache."""
    roots, depths, sure = words(forest[at.ROOTS]), words(forest[at.DEPTHS]), words(forest[at.SURE])
    thresholds = singles(forest[at.NODES])
    leaves, starts = words(address(walks) + 8 * _LEAVES), words(address(walks) + 8 * _ROOTS)
    plain = forest[at.PAYLOAD] == at.VALUE and targets == 1 and forest[at.AGGREGATE] <= AVERAGE
    for tree in range(forest[at.TREE_COUNT]):
        for lane in range(at.LANES):
            starts[lane] = roots[tree]
        for row in range(0, rows, at.LANES):
            offsets = words(address(walks) + 8 * (_OFFSETS + row))
            if kind == _COMPACT:
                _walk_compact(forest, x, sure[tree], depths[tree], starts, offsets, leaves)
            elif kind == _WITH_NAN:
                _walk_with_nan(forest, x, sure[tree], depths[tree], starts, offsets, leaves)
            else:
                _walk_wide(forest, x, sure[tree], depths[tree], starts, offsets, leaves)
            if plain:
                for lane in range(at.LANES):
                    sums[row + lane] += thresholds[leaves[lane]]
            else:
                for lane in range(at.LANES):
                    _add(forest, tree, leaves[lane], targets, sums, (row + lane) * targets)


@part(VOID(WORDS, INT, SINGLES, INT, DOUBLES, INT, WORDS))
def _score_row(forest: Words, kind: int, x: Floats, targets: int, sums: Floats, to: int, walks: Words) -> None:
    """Add up the leaves of one row: eight trees at once."""
    roots, depths, sure = forest[at.ROOTS], words(forest[at.GROUP_DEPTHS]), words(forest[at.GROUP_SURE])
    thresholds, trees = singles(forest[at.NODES]), forest[at.TREE_COUNT]
    leaves, offsets = words(address(walks) + 8 * _LEAVES), words(address(walks) + 8 * _SAME)
    plain = forest[at.PAYLOAD] == at.VALUE and targets == 1 and forest[at.AGGREGATE] <= AVERAGE
    total = 0.0
    for tree in range(0, trees, at.LANES):
        group = tree // at.LANES
        starts = words(roots + 8 * tree)
        if kind == _COMPACT:
            _walk_one_row(forest, x, sure[group], depths[group], starts, offsets, leaves)
        elif kind == _WITH_NAN:
            _walk_with_nan(forest, x, sure[group], depths[group], starts, offsets, leaves)
        else:
            _walk_wide(forest, x, sure[group], depths[group], starts, offsets, leaves)
        if plain:
            # Trees of padding are leaves of zero, which change no sum.
            for lane in range(at.LANES):
                total += thresholds[leaves[lane]]
        else:
            for lane in range(min(at.LANES, trees - tree)):
                _add(forest, tree + lane, leaves[lane], targets, sums, to)
    if plain:
        sums[to] = total


@part(BOOL(SINGLES, INT, INT))
def _any_nan(x: Floats, stride: int, rows: int) -> bool:
    """Tell whether a block holds NaN, in its columns or in the one behind them."""
    found = 0
    for i in range(stride * rows):
        found |= 1 if x[i] != x[i] else 0
    return found != 0


@part(VOID(WORDS, SINGLES, INT, INT, INT, DOUBLES, WORDS, SINGLES))
def score(
    forest: Words, x: Floats, stride: int, rows: int, targets: int, sums: Floats, walks: Words, out: Floats
) -> None:
    """Write the scores that a forest gives rows; rows of the result have one column more than targets."""
    aggregate = forest[at.AGGREGATE]
    start = np.inf if aggregate == MIN else (-np.inf if aggregate == MAX else 0.0)
    for i in range(rows * targets):
        sums[i] = start
    kind = _COMPACT
    if forest[at.WIDE] != 0:
        kind = _WIDE
    elif forest[at.NAN_LOWER] != 0 and _any_nan(x, stride, rows):
        kind = _WITH_NAN
    for lane in range(at.LANES):
        walks[_SAME + lane] = 0
    eights = rows - rows % at.LANES
    if eights > 0:
        for row in range(eights):
            walks[_OFFSETS + row] = row * stride
        _score_eights(forest, kind, x, eights, targets, sums, walks)
    for row in range(eights, rows):
        _score_row(forest, kind, singles(address(x) + 4 * row * stride), targets, sums, row * targets, walks)
    base = doubles(forest[at.BASE])
    trees = np.float64(forest[at.TREE_COUNT])
    for row in range(rows):
        for target in range(targets):
            total = sums[row * targets + target]
            if aggregate == AVERAGE:
                total /= trees
            elif aggregate != SUM and total == start:
                total = 0.0
            out[row * (targets + 1) + target] = np.float32(total + base[target])
