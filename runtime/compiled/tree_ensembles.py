"""The tree operators: `TreeEnsembleClassifier`, `TreeEnsembleRegressor`, and `TreeEnsemble` of version 5.

Where the specification leaves a choice, the answer is that of onnxruntime
(https://github.com/microsoft/onnxruntime/tree/main/onnxruntime/core/providers/cpu/ml), whose programs these graphs are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.errors import Unsupported
from runtime.compiled.operation import Handler, Operation, Value
from runtime.compiled.post_transforms import post_transform, transformed
from runtime.compiled.program import AVERAGE, MAX, MAX_COLUMNS, MIN, SUM, Pair, PairKind, Trees
from runtime.compiled.tree_nodes import MODES, NodeIndex, Nodes, Votes, make_forest

_FIRST_VERSION = 5
"""Of `TreeEnsemble`."""

_AGGREGATES = {"SUM": SUM, "AVERAGE": AVERAGE, "MIN": MIN, "MAX": MAX}
_AGGREGATE_NUMBERS = (AVERAGE, SUM, MIN, MAX)
_NODE_ATTRIBUTES = (
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_hitrates_as_tensor",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_nodeids",
    "nodes_treeids",
    "nodes_truenodeids",
    "nodes_values",
    "nodes_values_as_tensor",
    "base_values",
    "base_values_as_tensor",
    "post_transform",
)


def classifier(operation: Operation) -> Value:
    """`TreeEnsembleClassifier`: scores of classes; of two, often the second one's alone."""
    operation.expect(
        *_NODE_ATTRIBUTES,
        "class_ids",
        "class_nodeids",
        "class_treeids",
        "class_weights",
        "class_weights_as_tensor",
        "classlabels_int64s",
        "classlabels_strings",
        output=1,
    )
    classes = len(operation.integers("classlabels_int64s"))
    strings = operation.attribute("classlabels_strings")
    if strings is not None:
        classes = len(strings.texts()) or classes
    transform = post_transform(operation)
    base = _floats(operation, "base_values")
    nodes, votes = _read(operation, "class")
    if classes > 2:
        if len(base) not in (0, classes):
            operation.fail(f"base_values: expected none or {classes}, got {len(base)}")
        return transformed(operation, _scores(operation, nodes, votes, classes, base, SUM), transform)
    if classes != 2:
        raise Unsupported(f"{classes} classes, where 2 and more are supported")
    return _two_classes(operation, nodes, votes, base, transform)


def _two_classes(operation: Operation, nodes: Nodes, votes: Votes, base: NDArray[np.float32], transform: str) -> int:
    """Add the steps of a classifier of two classes.

    onnxruntime takes a row whose leaves say nothing of class 1 for one with a single score, and two base values for
    something else; a graph where that depends on the row is not supported.
    """
    if len(base) > 1:
        raise Unsupported("two base values for two classes")
    if not len(votes.targets):
        operation.fail("class_ids: expected some, got none")
    if (votes.targets == 0).all():
        score = _scores(operation, nodes, votes, 1, base, SUM)
        if transform == "LOGISTIC":
            return transformed(operation, operation.add(Pair(score, PairKind.OPPOSITE)), transform)
        negative = (votes.weights < 0).any()
        return operation.add(Pair(score, PairKind.OPPOSITE if negative else PairKind.COMPLEMENT))
    always = votes.always(nodes)
    if 1 not in always:
        raise Unsupported("some rows may get a score of class 1 and others none")
    if (votes.targets == 1).all():
        base = base[:0]  # as class 0 has no score
    elif base.any() and 0 not in always:
        raise Unsupported("some rows may get a score of class 0 and others none, and there is a base value")
    both = np.array([base[0], 0], np.float32) if len(base) else base
    return transformed(operation, _scores(operation, nodes, votes, 2, both, SUM), transform)


def regressor(operation: Operation) -> Value:
    """`TreeEnsembleRegressor`."""
    operation.expect(
        *_NODE_ATTRIBUTES,
        "aggregate_function",
        "n_targets",
        "target_ids",
        "target_nodeids",
        "target_treeids",
        "target_weights",
        "target_weights_as_tensor",
    )
    name = operation.text("aggregate_function", "SUM")
    if name not in _AGGREGATES:
        operation.fail(f"aggregate_function: expected {', '.join(_AGGREGATES)}, got {name}")
    base = _floats(operation, "base_values")
    nodes, votes = _read(operation, "target")
    targets, transform = operation.integer("n_targets", 0), post_transform(operation)
    if len(base) not in (0, targets):
        operation.fail(f"base_values: expected none or {targets}, got {len(base)}")
    return _targets(operation, nodes, votes, targets, base, _AGGREGATES[name], transform)


def ensemble(operation: Operation) -> Value:
    """`TreeEnsemble`, where inner nodes and leaves are two lists."""
    operation.expect(
        "aggregate_function",
        "leaf_targetids",
        "leaf_weights",
        "membership_values",
        "n_targets",
        "nodes_falseleafs",
        "nodes_falsenodeids",
        "nodes_featureids",
        "nodes_hitrates",
        "nodes_missing_value_tracks_true",
        "nodes_modes",
        "nodes_splits",
        "nodes_trueleafs",
        "nodes_truenodeids",
        "post_transform",
        "tree_roots",
    )
    if operation.version < _FIRST_VERSION:
        raise Unsupported(f"it is an operator of version {_FIRST_VERSION}")
    aggregate, transform = operation.integer("aggregate_function", 1), post_transform(operation, by_number=True)
    if not 0 <= aggregate < len(_AGGREGATE_NUMBERS):
        operation.fail(f"aggregate_function: expected 0 to 3, got {aggregate}")
    nodes, votes = _read_leaves(operation)
    targets, none = operation.integer("n_targets", 0), np.empty(0, np.float32)
    return _targets(operation, nodes, votes, targets, none, _AGGREGATE_NUMBERS[aggregate], transform)


def _targets(
    operation: Operation,
    nodes: Nodes,
    votes: Votes,
    targets: int,
    base: NDArray[np.float32],
    aggregate: int,
    transform: str,
) -> int:
    """Add the steps of a regressor; onnxruntime transforms no single target, and adds no base to one without votes."""
    if targets == 1:
        if (np.bincount(votes.nodes) > 1).any():
            raise Unsupported("a leaf with several weights for one target")
        return _scores(operation, nodes, votes, 1, base, aggregate)
    if not set(np.flatnonzero(base).tolist()) <= votes.always(nodes):
        raise Unsupported("some rows may get no score of a target that has a base value")
    return transformed(operation, _scores(operation, nodes, votes, targets, base, aggregate), transform)


def _scores(
    operation: Operation, nodes: Nodes, votes: Votes, targets: int, base: NDArray[np.float32], aggregate: int
) -> int:
    """Add the step of a forest."""
    operation.single()
    if targets < 1:
        operation.fail(f"expected one target at least, got {targets}")
    if targets > MAX_COLUMNS:
        raise Unsupported(f"{targets} targets, where {MAX_COLUMNS} are supported")
    start = base if len(base) else np.zeros(targets, np.float32)
    return operation.add(Trees(operation.register(), make_forest(nodes, votes, start, aggregate)))


def _floats(operation: Operation, name: str) -> NDArray[np.float32]:
    """Return numbers that stand in one of two attributes, as a list or as a tensor."""
    values, tensor = operation.floats(name), operation.tensor_floats(f"{name}_as_tensor")
    if len(values) and len(tensor):
        operation.fail(f"{name}: expected a list or a tensor, got both")
    return tensor if len(tensor) else values


def _read(operation: Operation, what: str) -> tuple[Nodes, Votes]:
    """Return what the operators before version 5 list; there, a leaf is a node like any other."""
    attribute = operation.attribute("nodes_modes")
    if attribute is None:
        operation.fail("expected nodes_modes, got none")
    words, indices = attribute.words()
    unknown = sorted(set(words).difference(MODES, ["LEAF"]))
    if unknown:
        attribute.fail(f"expected {', '.join(MODES)} or LEAF, got {', '.join(unknown)}")
    modes = np.array([-1 if word == "LEAF" else MODES.index(word) for word in words], np.int64)[indices]
    lists: dict[str, NDArray[Any]] = {
        f"nodes_{name}ids": operation.integers(f"nodes_{name}ids")
        for name in ("tree", "node", "feature", "truenode", "falsenode")
    }
    thresholds = _floats(operation, "nodes_values")
    _expect_length(operation, len(modes), nodes_values=thresholds, **lists)
    path, trees = operation.node.path, lists["nodes_treeids"]
    index = NodeIndex(path, trees, lists["nodes_nodeids"])
    inner = np.flatnonzero(modes >= 0)
    true, false = np.zeros((2, len(modes)), np.int64)
    true[inner] = index.find("nodes_truenodeids", trees[inner], lists["nodes_truenodeids"][inner])
    false[inner] = index.find("nodes_falsenodeids", trees[inner], lists["nodes_falsenodeids"][inner])
    missing = _missing(operation, len(modes))
    targets, weights = operation.integers(f"{what}_ids"), _floats(operation, f"{what}_weights")
    ids = operation.integers(f"{what}_nodeids")
    of_trees = operation.integers(f"{what}_treeids")
    of_weights: dict[str, NDArray[Any]] = {
        f"{what}_nodeids": ids,
        f"{what}_treeids": of_trees,
        f"{what}_weights": weights,
    }
    _expect_length(operation, len(targets), **of_weights)
    votes = Votes(index.find(f"{what}_nodeids", of_trees, ids), targets, weights)
    return Nodes(path, index.roots, lists["nodes_featureids"], thresholds, modes, true, false, missing), votes


def _read_leaves(operation: Operation) -> tuple[Nodes, Votes]:
    """Return what the operator of version 5 lists: inner nodes, and leaves of their own.

    Leaves follow the inner nodes, once for every node that leads to them.
    """
    attribute = operation.attribute("nodes_modes")
    modes = np.empty(0, np.uint8) if attribute is None else attribute.tensor().ravel()
    if modes.dtype != np.uint8 or modes.max(initial=0) > len(MODES):
        operation.fail(f"nodes_modes: expected uint8, 0 to {len(MODES)}")
    if (modes == len(MODES)).any():
        raise Unsupported("BRANCH_MEMBER")
    count = len(modes)
    features, thresholds = operation.integers("nodes_featureids"), operation.tensor_floats("nodes_splits")
    targets, weights = operation.integers("leaf_targetids"), operation.tensor_floats("leaf_weights")
    follow = {}
    for way in ("true", "false"):
        ids, leaves = operation.integers(f"nodes_{way}nodeids"), operation.integers(f"nodes_{way}leafs") != 0
        _expect_length(operation, count, **{f"nodes_{way}nodeids": ids, f"nodes_{way}leafs": leaves})
        if (ids < 0).any() or (ids >= np.where(leaves, len(targets), count)).any():
            operation.fail(f"nodes_{way}nodeids: expected nodes below {count} and leaves below {len(targets)}")
        follow[way] = ids, leaves
    _expect_length(operation, count, nodes_featureids=features, nodes_splits=thresholds)
    _expect_length(operation, len(targets), leaf_weights=weights)
    roots = operation.integers("tree_roots")
    if not len(roots) or roots.min() < 0 or roots.max() >= count:
        operation.fail(f"tree_roots: expected nodes below {count}")
    (true, true_leaves), (false, false_leaves) = follow["true"], follow["false"]
    leaf_of = np.concatenate([true[true_leaves], false[false_leaves]])
    places = count + np.arange(len(leaf_of))
    single = (true_leaves & false_leaves & (true == false))[roots]
    if (true[roots][single] != roots[single]).any():
        raise Unsupported("a root that is a leaf by another number")
    true, false = true.copy(), false.copy()
    true[true_leaves], false[false_leaves] = np.split(places, [np.count_nonzero(true_leaves)])
    zeros = np.zeros(len(leaf_of), np.int64)
    nodes = Nodes(
        operation.node.path,
        roots=np.where(single, true[roots], roots),
        features=np.concatenate([features, zeros]),
        thresholds=np.concatenate([thresholds, zeros.astype(np.float32)]),
        modes=np.concatenate([modes.astype(np.int64), zeros - 1]),
        true=np.concatenate([true, zeros]),
        false=np.concatenate([false, zeros]),
        missing_true=np.concatenate([_missing(operation, count), zeros.astype(np.bool_)]),
    )
    return nodes, Votes(places, targets[leaf_of], weights[leaf_of])


def _missing(operation: Operation, count: int) -> NDArray[np.bool_]:
    """Return for every node whether NaN takes the way of a test that is true."""
    tracks = operation.integers("nodes_missing_value_tracks_true")
    if not len(tracks):
        return np.zeros(count, np.bool_)
    _expect_length(operation, count, nodes_missing_value_tracks_true=tracks)
    result: NDArray[np.bool_] = tracks == 1
    return result


def _expect_length(operation: Operation, count: int, **lists: NDArray[Any]) -> None:
    """Fail unless all lists have so many entries."""
    for name, entries in lists.items():
        if len(entries) != count:
            operation.fail(f"{name}: expected {count} entries, got {len(entries)}")


HANDLERS: dict[tuple[str, str], Handler] = {
    ("ai.onnx.ml", "TreeEnsembleClassifier"): classifier,
    ("ai.onnx.ml", "TreeEnsembleRegressor"): regressor,
    ("ai.onnx.ml", "TreeEnsemble"): ensemble,
}
"""Domain and operator -> what turns such a node into steps."""
