"""ONNX models made by the onnx package itself, and what onnxruntime answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

ML = "ai.onnx.ml"
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")

_ERRORS_ONLY = 4


def model(
    nodes: Sequence[onnx.NodeProto],
    features: int,
    *,
    constants: dict[str, NDArray[Any]] | None = None,
    columns: int | str = "columns",
    ml: int = 3,
    main: int = 21,
) -> onnx.ModelProto:
    """Return a model from `features` to `probabilities`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", columns])],
        [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", main), helper.make_opsetid(ML, ml)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def answers(content: bytes, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return onnxruntime's probabilities."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(["probabilities"], {"features": rows})[0]
    return result


@dataclass
class Ensemble:
    """Trees in lists, as `TreeEnsembleClassifier` and `TreeEnsembleRegressor` have them."""

    trees: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    weight_trees: list[int] = field(default_factory=list)
    weight_ids: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def inner(self, tree: int, node: int, feature: int, mode: str, threshold: float, true: int, false: int) -> None:
        """Append an inner node."""
        self._node(tree, node, feature, mode, threshold, true, false)

    def leaf(self, tree: int, node: int, votes: Sequence[tuple[int, float]]) -> None:
        """Append a leaf with the targets that it adds to, and how much."""
        self._node(tree, node, 0, "LEAF", 0.0, 0, 0)
        for target, weight in votes:
            self.weight_trees.append(tree)
            self.weight_ids.append(node)
            self.targets.append(target)
            self.weights.append(weight)

    def _node(self, tree: int, node: int, feature: int, mode: str, threshold: float, true: int, false: int) -> None:
        for values, value in zip(
            (self.trees, self.ids, self.features, self.modes, self.thresholds, self.true, self.false, self.missing),
            (tree, node, feature, mode, threshold, true, false, 0),
            strict=True,
        ):
            values.append(value)  # type: ignore[attr-defined]

    def attributes(self, what: str) -> dict[str, Any]:
        """Return the attributes of a classifier (`class`) or a regressor (`target`)."""
        return {
            "nodes_treeids": self.trees,
            "nodes_nodeids": self.ids,
            "nodes_featureids": self.features,
            "nodes_modes": self.modes,
            "nodes_values": self.thresholds,
            "nodes_truenodeids": self.true,
            "nodes_falsenodeids": self.false,
            "nodes_missing_value_tracks_true": self.missing,
            f"{what}_treeids": self.weight_trees,
            f"{what}_nodeids": self.weight_ids,
            f"{what}_ids": self.targets,
            f"{what}_weights": self.weights,
        }

    def classifier(self, features: int, classes: int, **attributes: Any) -> onnx.ModelProto:
        """Return a model that is one classifier."""
        node = helper.make_node(
            "TreeEnsembleClassifier",
            ["features"],
            ["label", "probabilities"],
            domain=ML,
            **self.attributes("class"),
            classlabels_int64s=list(range(classes)),
            **attributes,
        )
        return model([node], features)

    def regressor(self, features: int, targets: int, **attributes: Any) -> onnx.ModelProto:
        """Return a model that is one regressor."""
        node = helper.make_node(
            "TreeEnsembleRegressor",
            ["features"],
            ["probabilities"],
            domain=ML,
            **self.attributes("target"),
            n_targets=targets,
            **attributes,
        )
        return model([node], features)


AWKWARD = np.array(
    [
        *(0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, -1.1754944e-38, 3.4028235e38, -3.4028235e38),
        *(np.inf, -np.inf, 1.0, -1.0, 0.1, 16777216.0, 3.0, 7.0, np.nan),
    ],
    np.float32,
)
"""Zeros, denormals, the largest numbers, infinities, NaN, small integers and numbers between."""


def numbers(rng: np.random.Generator, count: int, nan: bool = True) -> NDArray[np.float32]:
    """Return float32 numbers, awkward ones half of the time, and many of them equal."""
    plain = rng.normal(size=count).round(1).astype(np.float32)
    awkward = rng.choice(AWKWARD if nan else AWKWARD[~np.isnan(AWKWARD)], count)
    return np.where(rng.random(count) < 0.5, awkward, plain)


def sixty_fourths(rng: np.random.Generator) -> float:
    """Return a weight such that sums of many are exact in float32."""
    return float(rng.integers(-64, 65)) / 64


def random_ensemble(
    rng: np.random.Generator,
    *,
    trees: int,
    depth: int,
    features: int,
    votes: Any,
    modes: Sequence[str] = MODES,
    most_nodes: int = 200,
    shuffled: bool = False,
) -> Ensemble:
    """Return an ensemble of random trees of at most so many levels; `votes(rng)` makes those of a leaf."""
    result = Ensemble()
    for tree in range(trees):
        kinds: list[tuple[int, int] | None] = [None]
        levels, left = [0], [0]
        while left and len(kinds) < most_nodes:
            node = left.pop(int(rng.integers(len(left))))
            if levels[node] < depth and (node == 0 or rng.random() < 0.8):
                kinds[node] = (len(kinds), len(kinds) + 1)
                left += kinds[node] or ()
                kinds += [None, None]
                levels += [levels[node] + 1] * 2
        ids = rng.permutation(len(kinds)).tolist() if shuffled else list(range(len(kinds)))
        thresholds = numbers(rng, len(kinds))
        for node, kind in enumerate(kinds):
            number = 3 * tree + 1 if shuffled else tree
            if kind is None:
                result.leaf(number, ids[node], votes(rng))
            else:
                way = kind if rng.random() < 0.5 else kind[::-1]
                result.inner(
                    *(number, ids[node], int(rng.integers(features)), str(rng.choice(list(modes)))),
                    *(float(thresholds[node]), ids[way[0]], ids[way[1]]),
                )
    if rng.random() < 0.7:
        result.missing = rng.integers(0, 2, len(result.modes)).tolist()
    return result


def rows_near(rng: np.random.Generator, ensemble: Ensemble, count: int, features: int) -> NDArray[np.float32]:
    """Return rows of awkward numbers, of thresholds, and of the float32 beside them."""
    rows = numbers(rng, count * features)
    thresholds = np.array(ensemble.thresholds, np.float32)
    inner = np.array([mode != "LEAF" for mode in ensemble.modes], np.bool_)
    if inner.any():
        near = rng.choice(thresholds[inner], len(rows))
        with np.errstate(all="ignore"):
            beside = np.nextafter(near, rng.choice(np.array([-np.inf, np.inf], np.float32), len(rows)))
        choice = rng.random(len(rows))
        rows = np.where(choice < 0.4, near, np.where(choice < 0.7, beside, rows))
    return rows.reshape(count, features)


def version_5(rng: np.random.Generator, features: int, targets: int, trees: int, **attributes: Any) -> onnx.ModelProto:
    """Return a model that is one `TreeEnsemble` of complete trees of two levels, some of them single leaves."""
    splits: list[float] = []
    weights: list[float] = []
    modes, ids, leaf_targets, roots = [], [], [], []
    follow: dict[str, list[int]] = {"true": [], "false": []}
    leafs: dict[str, list[int]] = {"true": [], "false": []}
    for _ in range(trees):
        root = len(splits)
        roots.append(root)
        for node in range(3):
            splits.append(float(numbers(rng, 1, nan=False)[0]))
            modes.append(int(rng.integers(6)))
            ids.append(int(rng.integers(features)))
            for way, child in (("true", 1), ("false", 2)):
                leaf = node > 0 or rng.random() < 0.2
                leafs[way].append(int(leaf))
                follow[way].append(len(weights) if leaf else root + child)
                if leaf:
                    leaf_targets.append(int(rng.integers(targets)))
                    weights.append(sixty_fourths(rng))
    node = helper.make_node(
        "TreeEnsemble",
        ["features"],
        ["probabilities"],
        domain=ML,
        n_targets=targets,
        tree_roots=roots,
        nodes_featureids=ids,
        nodes_splits=onnx.numpy_helper.from_array(np.array(splits, np.float32)),
        nodes_modes=onnx.numpy_helper.from_array(np.array(modes, np.uint8)),
        nodes_truenodeids=follow["true"],
        nodes_falsenodeids=follow["false"],
        nodes_trueleafs=leafs["true"],
        nodes_falseleafs=leafs["false"],
        nodes_missing_value_tracks_true=rng.integers(0, 2, len(splits)).tolist(),
        leaf_targetids=leaf_targets,
        leaf_weights=onnx.numpy_helper.from_array(np.array(weights, np.float32)),
        **attributes,
    )
    return model([node], features, ml=5)
