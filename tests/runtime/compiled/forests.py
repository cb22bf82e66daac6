"""Forests of every shape, made at random and much faster than any training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.forest import LEAF, Forest

AWKWARD = np.array(
    [
        0.0,
        -0.0,
        1e-45,
        -1e-45,
        1.1754942e-38,
        1.1754944e-38,
        3.4028235e38,
        -3.4028235e38,
        1.0,
        -1.0,
        0.1,
        np.inf,
        -np.inf,
    ],
    np.float32,
)
"""Zeros, denormals, the neighbours of the smallest normal number, the largest numbers and infinities."""


@dataclass(frozen=True)
class Shape:
    """What a random forest looks like."""

    trees: int = 5
    depth: int = 6
    features: int = 22
    targets: int = 1
    leaf: str = "one"
    """`one`: a leaf has one weight, a tree one target; `all`: a leaf has one weight a target; `some`: any of them."""
    nan: str = "never"
    """Whether NaN goes to `lower`: `never`, `always` or in `some` nodes."""
    equal: bool = False
    aggregate: int = 0
    unbalanced: float = 0.0
    """Probability that an inner node's child is a leaf before its time."""


def values(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Return numbers among which neighbours, repetitions and awkward ones are common."""
    few = rng.normal(size=7).astype(np.float32)
    drawn = np.where(rng.random(count) < 0.5, rng.choice(few, count), rng.choice(AWKWARD, count))
    drawn = np.where(rng.random(count) < 0.3, rng.normal(size=count).astype(np.float32), drawn).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.where(rng.random(count) < 0.2, np.nextafter(drawn, np.float32(np.inf)), drawn)


def random_forest(rng: np.random.Generator, shape: Shape) -> Forest:
    """Return a forest; a tree grows along one path to its full depth, and elsewhere as its shape says."""
    lower: list[int] = []
    upper: list[int] = []
    inner: list[bool] = []
    roots: list[int] = []
    tree_of_node: list[int] = []
    most = 4_000 // shape.trees + 2 * shape.depth
    for tree in range(shape.trees):
        roots.append(len(lower))
        depth = shape.depth if tree == 0 else int(rng.integers(0, shape.depth + 1))
        level, made = [len(lower)], 1
        _grow(lower, upper, inner, tree_of_node, tree)
        for _ in range(depth):
            following = []
            for place, node in enumerate(level):
                if place and (rng.random() < shape.unbalanced or made > most):
                    continue
                lower[node], upper[node], inner[node] = len(lower), len(lower) + 1, True
                pair = [len(lower), len(lower) + 1]
                for child in pair:
                    assert child == len(lower)
                    _grow(lower, upper, inner, tree_of_node, tree)
                following += pair
                made += 2
            rng.shuffle(following)
            level = following
        for node in range(roots[-1], len(lower)):
            if not inner[node]:
                lower[node] = upper[node] = node
    is_inner, nodes = np.array(inner), len(inner)
    leaves = np.flatnonzero(~is_inner)
    counts = np.zeros(nodes, np.int64)
    if shape.leaf == "one":
        counts[leaves] = 1
        tree_target = rng.integers(0, shape.targets, shape.trees)
        targets = tree_target[np.array(tree_of_node)[leaves]]
    elif shape.leaf == "all":
        counts[leaves] = shape.targets
        targets = np.tile(np.arange(shape.targets), len(leaves))
    else:
        counts[leaves] = rng.integers(0, shape.targets + 2, len(leaves))
        targets = rng.integers(0, shape.targets, counts.sum())
    weights = rng.normal(size=len(targets)) * 10.0 ** rng.integers(-9, 4, len(targets))
    to_lower = {"never": np.zeros(nodes, np.bool_), "always": np.ones(nodes, np.bool_)}
    random = rng.random(nodes) < 0.5
    return Forest(
        roots=np.array(roots, np.int32),
        features=np.where(is_inner, rng.integers(0, shape.features, nodes), LEAF).astype(np.int32),
        thresholds=np.where(is_inner, values(rng, nodes), 0).astype(np.float32),
        lower=np.array(lower, np.int32),
        upper=np.array(upper, np.int32),
        nan_lower=is_inner & to_lower.get(shape.nan, random),
        equal=is_inner & shape.equal & (rng.random(nodes) < 0.3),
        leaf_starts=np.append(0, np.cumsum(counts)).astype(np.int64),
        leaf_targets=targets.astype(np.int32),
        leaf_weights=weights.astype(np.float32),
        base=rng.normal(size=shape.targets).astype(np.float32),
        aggregate=shape.aggregate,
    )


def _grow(lower: list[int], upper: list[int], inner: list[bool], trees: list[int], tree: int) -> None:
    """Add a leaf of a tree."""
    lower.append(len(lower))
    upper.append(len(upper))
    inner.append(False)
    trees.append(tree)


def rows_for(rng: np.random.Generator, forest: Forest, count: int, columns: int, nan: bool) -> NDArray[np.float32]:
    """Return rows of which most values are thresholds of their column, or a step beside; some are NaN if asked for."""
    rows = values(rng, count * columns).reshape(count, columns)
    tested = np.flatnonzero(forest.features != LEAF)
    if len(tested):
        chosen = rng.choice(tested, 4 * count)
        picked = forest.thresholds[chosen]
        with np.errstate(over="ignore"):
            picked = np.where(rng.random(4 * count) < 0.3, np.nextafter(picked, np.float32(np.inf)), picked)
            picked = np.where(rng.random(4 * count) < 0.3, np.nextafter(picked, np.float32(-np.inf)), picked)
        rows[np.repeat(np.arange(count), 4), forest.features[chosen]] = picked
    if nan:
        rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows
