"""Ties: a forest whose trees vote half and half must name the class that scikit-learn names."""

import numpy as np
import onnx


def settle_ties(graph: onnx.GraphProto) -> None:
    """Let a forest's tied vote go to the first class, as in scikit-learn.

    skl2onnx stores for two classes the second one's share alone, each leaf's over the number of trees. When half of
    the trees vote for the second class by pure leaves, scikit-learn's two sums are equal and the first class
    wins. In float32 the sum of, for example, ten times 1/20 ends one step above 0.5, and every tie (a tenth of
    all rows, for such a forest) flips. The leaves are then lowered together by as many float32 steps as it takes.
    """
    for node in graph.node:
        if node.op_type != "TreeEnsembleClassifier":
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if attributes["post_transform"].s != b"NONE" or len(set(attributes["class_ids"].ints)) != 1:
            continue
        trees = len(set(attributes["nodes_treeids"].ints))
        vote = np.float32(1.0 / trees)
        lowered = vote
        while trees % 2 == 0 and _sum_in_turn(lowered, trees // 2) > 0.5:
            lowered = np.nextafter(lowered, np.float32(0.0))
        if lowered < vote:
            weights = np.array(attributes["class_weights"].floats, np.float32) * np.float64(lowered / np.float64(vote))
            attributes["class_weights"].floats[:] = weights.astype(np.float32).tolist()


def _sum_in_turn(value: np.float32, count: int) -> np.float32:
    """Add a value up in float32, one after the other, as an engine adds trees."""
    total: np.float32 = np.add.accumulate(np.full(count, value, np.float32))[-1]
    return total
