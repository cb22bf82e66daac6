"""What a graph computes, stripped of ONNX: steps over a block of float32 rows, in the order in which they run.

A program is the contract between the reader of graphs, which writes it, and the kernels, which run it.
`runtime.compiled.interpreter` runs it too, slowly and obviously, for the tests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAF = -1
"""In place of a node's feature: the node is a leaf."""

SUM, AVERAGE, MIN, MAX = range(4)
"""How the trees of a forest become one score a target."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees over the columns of the block, every test brought to one form.

    A row goes from an inner node to `lower` where its value is at most the threshold (where `equal` says so: is the
    threshold), to `upper` where it is not, and where it is NaN to `lower` or `upper` as `nan_lower` says. Every tree is
    a tree: no node is reached by two ways, none by itself, and all indices are within bounds.

    Attributes
    ----------
    roots : ndarray
        Nodes at which the trees begin, int32 (trees,).
    features : ndarray
        The column that a node tests, or `LEAF`, int32 (nodes,).
    thresholds : ndarray
        float32 (nodes,); 0 in leaves.
    lower, upper : ndarray
        The nodes that follow, int32 (nodes,); the leaf itself in leaves.
    nan_lower, equal : ndarray
        bool (nodes,).
    leaf_starts : ndarray
        Where the weights of a node begin, int64 (nodes + 1,); inner nodes have none, a leaf has any number.
    leaf_targets, leaf_weights : ndarray
        The targets to which a leaf adds, int32 (weights,), and how much, float32 (weights,).
    base : ndarray
        What every target begins with, float32 (targets,).
    aggregate : int
        `SUM`, `AVERAGE`, `MIN` or `MAX`. Sums are float64 and rounded to float32 once, the base included.
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
