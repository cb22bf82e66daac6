"""The tree operators give what onnxruntime gives, test by test and case by case."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from runtime.compiled.errors import MalformedGraph, UnsupportedGraph
from runtime.compiled.lowering import read_program
from tests.runtime.compiled.graphs import (
    AWKWARD,
    ML,
    MODES,
    Ensemble,
    answers,
    model,
    numbers,
    random_ensemble,
    rows_near,
    sixty_fourths,
    version_5,
)
from tests.runtime.compiled.interpreter import run

Vote = list[tuple[int, float]]


def assert_equal(proto: onnx.ModelProto, rows: np.ndarray[Any, np.dtype[np.float32]], bound: float = 0.0) -> None:
    """Assert that program and onnxruntime give the same probabilities."""
    content = proto.SerializeToString()
    expected = answers(content, rows)
    found = run(read_program(content), rows)
    assert found.dtype == expected.dtype
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    difference = np.abs(np.nan_to_num(found) - np.nan_to_num(expected)).max(initial=0.0)
    assert difference <= bound


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    trees=st.sampled_from([1, 2, 9, 40]),
    depth=st.sampled_from([0, 1, 3, 10, 40]),
    features=st.sampled_from([1, 2, 22, 500]),
    classes=st.sampled_from([2, 3, 5, 20]),
    modes=st.one_of(st.just(MODES), st.sampled_from(MODES).map(lambda mode: (mode,))),
    shuffled=st.booleans(),
    transform=st.sampled_from(["NONE", "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]),
    base=st.booleans(),
)
def test_a_random_classifier_decides_every_row_as_onnxruntime_does(
    seed: int,
    trees: int,
    depth: int,
    features: int,
    classes: int,
    modes: tuple[str, ...],
    shuffled: bool,
    transform: str,
    base: bool,
) -> None:
    rng = np.random.default_rng(seed)

    def votes(rng: np.random.Generator) -> Vote:
        if classes == 2:
            return [(0, sixty_fourths(rng))]
        chosen = rng.choice(classes, rng.integers(1, 4), replace=False)
        return [(int(target), sixty_fourths(rng)) for target in chosen]

    ensemble = random_ensemble(
        rng, trees=trees, depth=depth, features=features, votes=votes, modes=modes, shuffled=shuffled
    )
    attributes: dict[str, Any] = {"post_transform": transform}
    if base:
        attributes["base_values"] = [sixty_fourths(rng) for _ in range(1 if classes == 2 else classes)]
    # Sums of such weights are exact, hence equal; functions of them are rounded in other places.
    bound = 0.0 if transform == "NONE" else 3e-7
    assert_equal(ensemble.classifier(features, classes, **attributes), rows_near(rng, ensemble, 30, features), bound)


def stump(true: Vote, false: Vote, mode: str = "BRANCH_LEQ", threshold: float = 0.0, missing: int = 0) -> Ensemble:
    """Return one test of column 0."""
    ensemble = Ensemble()
    ensemble.inner(0, 0, 0, mode, threshold, 1, 2)
    ensemble.leaf(0, 1, true)
    ensemble.leaf(0, 2, false)
    ensemble.missing = [missing, 0, 0]
    return ensemble


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_decides_awkward_numbers_as_onnxruntime_does(mode: str, missing: int) -> None:
    with np.errstate(over="ignore"):
        beside = [np.nextafter(AWKWARD, np.float32(side)) for side in (-np.inf, np.inf)]
    rows = np.unique(np.concatenate([AWKWARD, *beside]))[:, None]
    for threshold in AWKWARD.tolist():
        ensemble = stump([(0, 0.25)], [(0, 0.75)], mode, threshold, missing)
        assert_equal(ensemble.classifier(1, 2), rows)


TWO_CLASSES: list[tuple[Vote, Vote]] = [
    ([(0, 0.3)], [(0, 0.7)]),
    ([(0, -0.3)], [(0, 0.7)]),
    ([(0, 0.0)], [(0, 0.0)]),
    ([(1, -0.3)], [(1, 0.7)]),
    ([(1, 0.3)], [(1, 0.7)]),
    ([(0, 0.3), (1, 0.7)], [(0, 0.6), (1, 0.4)]),
    ([(0, 0.3), (1, -0.7)], [(0, 0.6), (1, 0.4)]),
    ([(1, 0.7)], [(0, 0.6), (1, 0.4)]),
    ([(0, 0.3)], [(1, 0.7)]),
    ([(0, 0.3)], [(0, 0.6), (1, 0.4)]),
]


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"])
@pytest.mark.parametrize("base", [[], [0.25], [-0.25], [0.125, 0.25]])
@pytest.mark.parametrize("votes", TWO_CLASSES)
def test_two_classes_are_scored_as_onnxruntime_scores_them_or_not_at_all(
    votes: tuple[Vote, Vote], base: list[float], transform: str
) -> None:
    attributes = {"base_values": base} if base else {}
    proto = stump(*votes).classifier(1, 2, post_transform=transform, **attributes)
    votes_of = {target for leaf in votes for target, _ in leaf}
    always_second = all(any(target == 1 for target, _ in leaf) for leaf in votes)
    always_first = all(any(target == 0 for target, _ in leaf) for leaf in votes)
    clear = votes_of == {0} or (always_second and (votes_of == {1} or always_first or not base))
    if transform == "PROBIT" or len(base) == 2 or not clear:
        with pytest.raises(UnsupportedGraph, match="TreeEnsembleClassifier"):
            read_program(proto.SerializeToString())
    else:
        assert_equal(proto, np.array([[-1], [1]], np.float32), 2e-7)


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
def test_a_random_regressor_scores_as_onnxruntime_does(
    aggregate: str, targets: int, base: bool, transform: str
) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)

        def votes(rng: np.random.Generator) -> Vote:
            return [(target, sixty_fourths(rng)) for target in range(targets) if base or rng.random() < 0.7] or [
                (0, 0.5)
            ]

        ensemble = random_ensemble(rng, trees=8, depth=5, features=3, votes=votes)
        attributes: dict[str, Any] = {"base_values": [0.5, -0.25, 0.0][:targets]} if base else {}
        proto = ensemble.regressor(3, targets, aggregate_function=aggregate, post_transform=transform, **attributes)
        assert_equal(proto, rows_near(rng, ensemble, 40, 3), 0.0 if transform == "NONE" else 3e-7)


@pytest.mark.parametrize("targets", [1, 4])
@pytest.mark.parametrize("aggregate", range(4))
def test_the_operator_of_version_5_scores_as_onnxruntime_does(targets: int, aggregate: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        proto = version_5(rng, 4, targets, 9, aggregate_function=aggregate)
        assert_equal(proto, numbers(rng, 400).reshape(-1, 4))


def test_a_single_leaf_of_version_5_is_a_tree() -> None:
    node = helper.make_node(
        "TreeEnsemble",
        ["features"],
        ["probabilities"],
        domain=ML,
        n_targets=1,
        tree_roots=[0],
        nodes_featureids=[0],
        nodes_splits=onnx.numpy_helper.from_array(np.zeros(1, np.float32)),
        nodes_modes=onnx.numpy_helper.from_array(np.zeros(1, np.uint8)),
        nodes_truenodeids=[0],
        nodes_falsenodeids=[0],
        nodes_trueleafs=[1],
        nodes_falseleafs=[1],
        leaf_targetids=[0],
        leaf_weights=onnx.numpy_helper.from_array(np.array([0.5], np.float32)),
    )
    proto = model([node], 1, ml=5)
    assert_equal(proto, np.zeros((2, 1), np.float32))
    (forest,) = read_program(proto.SerializeToString()).forests
    assert len(forest.features) == 1


def test_numbers_may_stand_in_tensors() -> None:
    lists = stump([(0, 0.25)], [(0, 0.75)], threshold=0.5).attributes("class")
    for name in ("nodes_values", "class_weights"):
        values = np.array(lists.pop(name), np.float32)
        lists[f"{name}_as_tensor"] = onnx.numpy_helper.from_array(values)
    node = helper.make_node(
        *("TreeEnsembleClassifier", ["features"], ["label", "probabilities"]),
        **lists,
        domain=ML,
        classlabels_strings=["down", "up"],
        base_values_as_tensor=onnx.numpy_helper.from_array(np.array([0.125], np.float32)),
    )
    found = run(read_program(model([node], 1).SerializeToString()), np.array([[0], [1]], np.float32))
    assert found.tolist() == [[0.625, 0.375], [0.125, 0.875]]


def test_float64_tensors_are_not_supported() -> None:
    lists = stump([(0, 0.25)], [(0, 0.75)]).attributes("class")
    lists["nodes_values_as_tensor"] = onnx.numpy_helper.from_array(np.array(lists.pop("nodes_values")))
    node = helper.make_node(
        *("TreeEnsembleClassifier", ["features"], ["label", "probabilities"]),
        **lists,
        domain=ML,
        classlabels_int64s=[0, 1],
    )
    with pytest.raises(UnsupportedGraph, match="nodes_values_as_tensor is float64, not float32"):
        read_program(model([node], 1).SerializeToString())


def test_nodes_that_no_root_leads_to_are_left_out() -> None:
    ensemble = stump([(0, 0.25)], [(0, 0.75)])
    ensemble.inner(0, 3, 0, "BRANCH_LEQ", 1.0, 1, 4)
    ensemble.leaf(0, 4, [(0, 5.0)])
    proto = ensemble.classifier(1, 2)
    assert_equal(proto, np.array([[-1], [1]], np.float32))
    (forest,) = read_program(proto.SerializeToString()).forests
    assert len(forest.features) == 3


def test_weights_of_inner_nodes_are_left_out() -> None:
    ensemble = stump([(0, 0.25)], [(0, 0.75)])
    ensemble.weight_trees.append(0)
    ensemble.weight_ids.append(0)
    ensemble.targets.append(0)
    ensemble.weights.append(9.0)
    assert_equal(ensemble.classifier(1, 2), np.array([[-1], [1]], np.float32))


def change(name: str, values: Any) -> Callable[[Ensemble], None]:
    """Return what replaces one list of an ensemble."""
    return lambda ensemble: setattr(ensemble, name, values)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (change("true", [0, 0, 0]), "cycles or deeper ones"),
        (change("true", [2, 0, 0]), "a node that is reached by two ways"),
        (change("true", [5, 0, 0]), "nodes_truenodeids: no node 5 in tree 0"),
        (change("false", [-1, 0, 0]), "nodes_falsenodeids: no node -1 in tree 0"),
        (change("false", [2**40, 0, 0]), "nodes_falsenodeids: no node 1099511627776 in tree 0"),
        (change("ids", [0, 1, 1]), "one node 1 in tree 0, got two"),
        (change("ids", [0, 1, -2]), "expected numbers of nodes from 0"),
        (change("trees", [0, 1, 0]), "expected the nodes of a tree to stand together"),
        (change("trees", [0, 0, 2**40]), "expected numbers of trees from 0"),
        (change("trees", [0, 0, 1]), "no node 2 in tree 0"),
        (change("features", [1, 0, 0]), "expected tests of columns below 1, got 1"),
        (change("features", [-1, 0, 0]), "expected a column that a node tests, got -1"),
        (change("features", [2**33, 0, 0]), "expected a column that a node tests, got 8589934592"),
        (change("features", [0, 0]), "nodes_featureids: expected 3 entries, got 2"),
        (change("thresholds", [0.0]), "nodes_values: expected 3 entries, got 1"),
        (change("missing", [0, 1]), "nodes_missing_value_tracks_true: expected 3 entries, got 2"),
        (change("modes", ["BRANCH_LEQ", "LEAF", "LEAVES"]), "nodes_modes.*: expected BRANCH_LEQ.*, got LEAVES"),
        (change("weight_ids", [1, 7]), "class_nodeids: no node 7 in tree 0"),
        (change("weight_ids", [1]), "class_nodeids: expected 2 entries, got 1"),
        (change("weights", [0.1]), "class_weights: expected 2 entries, got 1"),
        (change("weights", [0.1, np.inf]), "leaf_weights: expected finite numbers, got inf"),
        (change("targets", [0, 5]), "expected weights of targets 0 to 2, got 0 to 5"),
        (change("targets", [0, -1]), "expected weights of targets 0 to 2, got -1 to 0"),
    ],
)
def test_what_is_no_forest_is_refused(broken: Callable[[Ensemble], None], reason: str) -> None:
    ensemble = stump([(0, 0.25)], [(0, 0.75)])
    broken(ensemble)
    with pytest.raises(MalformedGraph, match=rf"^model\.graph\[0\]\.node\[0\] \(TreeEnsembleClassifier\).*{reason}"):
        read_program(ensemble.classifier(1, 3).SerializeToString())


def test_a_cycle_that_no_root_leads_to_is_refused() -> None:
    ensemble = stump([(0, 0.25)], [(0, 0.75)])
    ensemble.inner(0, 3, 0, "BRANCH_LEQ", 1.0, 3, 4)
    ensemble.leaf(0, 4, [(0, 5.0)])
    with pytest.raises(MalformedGraph, match="expected all to be reached from the roots, got 2 in cycles"):
        read_program(ensemble.classifier(1, 2).SerializeToString())


@pytest.mark.parametrize("depth", [4096, 4097])
def test_a_tree_may_be_deep_but_not_without_end(depth: int) -> None:
    ensemble = Ensemble()
    for level in range(depth):
        ensemble.inner(0, 2 * level, 0, "BRANCH_LEQ", float(level), 2 * level + 1, 2 * level + 2)
        ensemble.leaf(0, 2 * level + 1, [(0, level / 4096)])
    ensemble.leaf(0, 2 * depth, [(0, 0.5)])
    content = ensemble.classifier(1, 2).SerializeToString()
    if depth > 4096:
        with pytest.raises(MalformedGraph, match="expected trees of at most 4096 levels"):
            read_program(content)
    else:
        rows = np.array([[-1], [4000], [5000]], np.float32)
        program = read_program(content)
        assert program.forests[0].depth == depth
        assert np.array_equal(run(program, rows), answers(content, rows))


@pytest.mark.parametrize("targets", [0, -1, 2**40])
def test_targets_without_bound_are_refused(targets: int) -> None:
    proto = stump([(0, 0.25)], [(0, 0.75)]).regressor(1, targets)
    with pytest.raises((MalformedGraph, UnsupportedGraph), match="target"):
        read_program(proto.SerializeToString())
