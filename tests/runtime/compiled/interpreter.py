"""The slow, obvious twin of the kernels: a program run in NumPy, its trees walked row by row in plain Python."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.program import (
    AVERAGE,
    LEAF,
    MAX,
    MIN,
    Apply,
    Arithmetic,
    Cast,
    Clip,
    Columns,
    Combine,
    Concatenate,
    Forest,
    Function,
    Impute,
    Linear,
    Norm,
    Normalize,
    Operator,
    Pair,
    PairKind,
    Program,
    Step,
    Trees,
)

Block = NDArray[Any]

_OPERATIONS: dict[Operator, Callable[..., Block]] = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
}


def run(program: Program, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the last register of a program for rows, float32 (rows, features)."""
    registers: list[Block] = [rows]
    with np.errstate(all="ignore"):
        for step, register in zip(program.steps, program.registers[1:], strict=True):
            result = _run(step, registers)
            assert result.shape == (len(rows), register.columns)
            assert result.dtype == register.dtype
            registers.append(result)
    return registers[-1]


def _run(step: Step, registers: list[Block]) -> Block:
    match step:
        case Arithmetic():
            operands = (registers[step.source], step.constant)
            return _OPERATIONS[step.operator](*(operands[::-1] if step.constant_first else operands))
        case Combine():
            return _OPERATIONS[step.operator](registers[step.left], registers[step.right])
        case Cast():
            return registers[step.source].astype(np.float64 if step.double else np.float32)
        case Clip():
            return np.clip(registers[step.source], np.float32(step.lowest), np.float32(step.highest))
        case Impute():
            block = registers[step.source]
            missing = np.isnan(block) if math.isnan(step.replaced) else block == np.float32(step.replaced)
            return np.where(missing, step.values, block)
        case Normalize():
            return np.array([_normalized(row, step.norm) for row in registers[step.source]], np.float32).reshape(
                registers[step.source].shape
            )
        case Trees():
            scores = [forest_scores(step.forest, row) for row in registers[step.source]]
            return np.array(scores, np.float32).reshape(-1, step.forest.targets)
        case Linear():
            products = registers[step.source].astype(np.float64) @ step.coefficients.astype(np.float64).T
            return (products + step.intercepts).astype(np.float32)
        case Apply():
            return _FUNCTIONS[step.function](registers[step.source].astype(np.float64)).astype(np.float32)
        case Pair():
            (score,) = registers[step.source].T
            return np.stack([-score if step.kind == PairKind.OPPOSITE else np.float32(1) - score, score], axis=1)
        case Columns():
            return registers[step.source][:, step.indices]
        case Concatenate():
            return np.concatenate([registers[source] for source in step.sources], axis=1)


def leaves(forest: Forest, row: NDArray[np.float32]) -> list[int]:
    """Return the leaf at which every tree of a forest takes a row."""
    found = []
    for root in forest.roots.tolist():
        node, depth = root, 0
        while forest.features[node] != LEAF:
            value, threshold = row[forest.features[node]], forest.thresholds[node]
            if np.isnan(value):
                lower = forest.nan_lower[node]
            else:
                lower = value == threshold if forest.equal[node] else value <= threshold
            node = int(forest.lower[node] if lower else forest.upper[node])
            depth += 1
            assert depth <= forest.depth
        found.append(node)
    return found


def forest_scores(forest: Forest, row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores that a forest gives a row, float32 (targets,)."""
    scores: list[float | None] = [None] * forest.targets
    for leaf in leaves(forest, row):
        for place in range(forest.leaf_starts[leaf], forest.leaf_starts[leaf + 1]):
            target, weight = int(forest.leaf_targets[place]), float(forest.leaf_weights[place])
            score = scores[target]
            if score is None:
                scores[target] = weight
            elif forest.aggregate == MIN:
                scores[target] = min(score, weight)
            elif forest.aggregate == MAX:
                scores[target] = max(score, weight)
            else:
                scores[target] = score + weight
    divisor = len(forest.roots) if forest.aggregate == AVERAGE else 1
    return np.array(
        [
            base if score is None else score / divisor + base
            for score, base in zip(scores, forest.base.tolist(), strict=True)
        ],
        np.float64,
    ).astype(np.float32)


def _normalized(row: NDArray[np.float32], norm: Norm) -> NDArray[np.float32]:
    total = np.float32(0)
    if norm == Norm.MAX:
        total = np.fmax.reduce(row, initial=np.finfo(np.float32).min)
    for value in row:
        if norm == Norm.L1:
            total += np.abs(value)
        elif norm == Norm.L2:
            total += value * value
    if total == 0:
        return row
    if norm == Norm.L2:
        roots = np.sqrt(row * row / total)
        signed: NDArray[np.float32] = np.where(row < 0, -roots, roots)
        return signed
    result: NDArray[np.float32] = row / total
    return result


def _softmax(scores: Block) -> Block:
    powers: Block = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Block = powers / powers.sum(axis=1, keepdims=True)
    return result


def _softmax_zero(scores: Block) -> Block:
    largest = scores.max(axis=1, keepdims=True)
    zero = np.abs(scores) <= np.float32(1e-7)
    powers = np.where(zero, 0, np.exp(scores - largest))
    result: Block = np.where(zero, scores * np.exp(-largest), powers) / powers.sum(axis=1, keepdims=True)
    return result


_FUNCTIONS: dict[Function, Callable[[Block], Block]] = {
    Function.LOGISTIC: lambda scores: 1 / (1 + np.exp(-scores)),
    Function.EXPONENTIAL: np.exp,
    Function.SOFTMAX: _softmax,
    Function.SOFTMAX_ZERO: _softmax_zero,
}
