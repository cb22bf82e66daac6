"""What each feature adds to a prediction: exact Shapley values, from the model file alone.

A contribution compares a row with the *background*, training rows that travel in the file. The game is the
interventional one (Janzing, Minorics and Bloebaum 2020): features that are not in a coalition take the values of a
background row, all of them of the same one. For a tree and one background row the Shapley values have a closed form
(Lundberg et al. 2020, algorithm 3): a leaf that is reached when the features of X are the row's and those of Z are the
background row's gives every feature of X its value times (x-1)! z! / (x+z)!, and takes from every feature of Z its
value times x! (z-1)! / (x+z)!, where x and z are their numbers. A linear model gives a feature its coefficient times
the difference of its value from the mean of the background. Values are exact up to the rounding of float64.
"""

from collections.abc import Sequence
from math import factorial

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.artifact import ArtifactError, ModelCard
from runtime.compiled.errors import MalformedGraph, UnsupportedGraph
from runtime.compiled.lowering import read_program
from runtime.compiled.program import (
    AVERAGE,
    LEAF,
    SUM,
    Apply,
    Arithmetic,
    Cast,
    Forest,
    Function,
    Linear,
    Operator,
    Pair,
    PairKind,
    Program,
    Trees,
)

PROBABILITY, LOG_ODDS = "probability", "log-odds"
"""What a score is."""

_LARGEST_ERROR = 1e-5  # of the probability that contributions add up to
_OPERATIONS = {
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
}

Matrix = NDArray[np.float32]


class Contributions(msgspec.Struct, frozen=True, kw_only=True):
    """How a score came about: `base` and all contributions add up to `score`.

    Attributes
    ----------
    label : str
        The class whose score it is.
    probability : float
        Its probability, as the engine gives it.
    scale : str
        What the score is: ``probability``, or ``log-odds`` where the model adds up on that scale.
    base : float
        The mean score of the background.
    score : float
        The score of the row.
    values : dict of str to float
        The row, by feature.
    contributions : dict of str to float
        What each feature adds, in the model's order.
    background_rows : int
        Number of training rows that it was compared with.
    """

    label: str
    probability: float
    scale: str
    base: float
    score: float
    values: dict[str, float]
    contributions: dict[str, float]
    background_rows: int


class Explainer:
    """Explains the predictions of one model file.

    Parameters
    ----------
    content : bytes
        A serialized ONNX model: scalers, then one tree ensemble or linear model, then at most a logistic function.
    card : ModelCard
        Names, labels and background of this file.

    Raises
    ------
    ArtifactError
        The file holds no background, or the graph is another one.
    """

    def __init__(self, content: bytes, card: ModelCard) -> None:
        if card.background is None:
            raise ArtifactError("the file holds no background rows: export the model again")
        features = len(card.feature_names)
        if not card.background or len(card.background) % (4 * features):
            raise ArtifactError(f"card: background: expected rows of {features} float32")
        self._card = card
        try:
            program = read_program(content)
        except (UnsupportedGraph, MalformedGraph) as error:
            raise ArtifactError(f"contributions: {error}") from None
        background = np.frombuffer(card.background, "<f4").astype(np.float32).reshape(-1, features)
        self._scaling, self._model, tail = _split(program)
        self._background = self._scale(background)
        self._signs, self.scale = _link(tail, self._model, len(card.labels))

    def explain(self, row: Matrix, label: int, probability: float) -> Contributions:
        """Return what each feature adds to the score of a class.

        Parameters
        ----------
        row : (features,) float32 array
            Finite.
        label : int
            The class, an index of the card's labels.
        probability : float
            What the engine gives this class for this row.

        Raises
        ------
        ArtifactError
            The contributions do not add up to the engine's probability.
        """
        target, sign = self._signs[label]
        scaled = self._scale(row[None])[0]
        if isinstance(self._model, Trees):
            found, means = tree_contributions(self._model, scaled, self._background)
        else:
            found, means = linear_contributions(self._model, scaled, self._background)
        contributions, base = sign * found[:, target], sign * float(means[target])
        if self.scale == PROBABILITY and sign < 0:
            base += 1.0
        score = base + float(contributions.sum())
        implied = score if self.scale == PROBABILITY else float(1 / (1 + np.exp(-score)))
        if not abs(implied - probability) <= _LARGEST_ERROR:
            raise ArtifactError(
                f"contributions: expected a sum of probability {probability:.7g} for {self._card.labels[label]}, "
                f"got {implied:.7g}"
            )
        names = self._card.feature_names
        return Contributions(
            label=self._card.labels[label],
            probability=probability,
            scale=self.scale,
            base=base,
            score=score,
            values=dict(zip(names, row.tolist(), strict=True)),
            contributions=dict(zip(names, contributions.tolist(), strict=True)),
            background_rows=len(self._background),
        )

    def _scale(self, rows: Matrix) -> Matrix:
        """Return rows as the trees or the linear model see them; every column depends on its feature alone."""
        values = rows
        with np.errstate(all="ignore"):
            for step in self._scaling:
                if isinstance(step, Cast):
                    values = values.astype(np.float64 if step.double else np.float32)
                elif step.constant_first:
                    values = _OPERATIONS[step.operator](step.constant, values)
                else:
                    values = _OPERATIONS[step.operator](values, step.constant)
        return values


def tree_contributions(step: Trees, row: Matrix, background: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the contributions, float64 (features, targets), and the mean scores, float64 (targets,), of a forest.

    Parameters
    ----------
    step : Trees
        Its trees are added up or averaged, and ask no node for equality.
    row : (features,) float32 array
        What to explain, as the trees see it.
    background : (n, features) float32 array
        What to compare it with.
    """
    forest = step.forest
    features, targets = len(row), forest.targets
    total, base = np.zeros((features, targets)), forest.base.astype(np.float64)
    gains, losses = _weights(features)
    divisor = len(forest.roots) if forest.aggregate == AVERAGE else 1
    for leaves, low, high in _boxes(forest, features):
        values = _leaf_values(forest, leaves) / divisor
        row_in = (low < row) & (row <= high)
        background_in = (low < background[:, None]) & (background[:, None] <= high)
        base += values.T @ background_in.all(axis=2).mean(axis=0)
        reached = (row_in | background_in).all(axis=2)
        which, leaf = np.nonzero(reached)
        ours = row_in[leaf] & ~background_in[which, leaf]
        theirs = ~row_in[leaf]
        x, z = ours.sum(axis=1), theirs.sum(axis=1)
        shares = ours * gains[x, z, None] - theirs * losses[x, z, None]
        total += shares.T @ values[leaf]
    return total / len(background), base


def linear_contributions(
    step: Linear, row: Matrix, background: Matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the contributions, float64 (features, targets), and the mean scores, float64 (targets,)."""
    coefficients, mean = step.coefficients.astype(np.float64), background.mean(axis=0, dtype=np.float64)
    return (coefficients * (row - mean)).T, coefficients @ mean + step.intercepts


def _split(program: Program) -> tuple[Sequence[Arithmetic | Cast], Trees | Linear, Sequence[Apply | Pair]]:
    """Return the steps before the one model in a program, the model, and those after it."""
    before: list[Arithmetic | Cast] = []
    after: list[Apply | Pair] = []
    model: Trees | Linear | None = None
    for index, step in enumerate(program.steps):
        kind = type(step).__name__
        if getattr(step, "source", -1) != index:
            raise _unsupported(f"{kind} of an earlier step")
        if isinstance(step, Trees | Linear) and model is None:
            model = step
        elif isinstance(step, Arithmetic | Cast) and model is None:
            before.append(step)
        elif isinstance(step, Apply | Pair) and model is not None:
            after.append(step)
        else:
            raise _unsupported(kind)
    if model is None:
        raise _unsupported("a graph without trees and linear model")
    if isinstance(model, Trees) and (model.forest.aggregate not in (SUM, AVERAGE) or model.forest.equal.any()):
        raise _unsupported("trees that are not added up, or that ask for equality")
    return before, model, after


def _link(tail: Sequence[Apply | Pair], model: Trees | Linear, classes: int) -> tuple[list[tuple[int, int]], str]:
    """Return for every class the target that is its score and its sign, and the scale of scores."""
    targets = model.forest.targets if isinstance(model, Trees) else len(model.intercepts)
    signs = [(0, -1), (0, 1)] if targets == 1 and classes == 2 else [(target, 1) for target in range(targets)]
    match tail:
        case [] if targets == classes:
            return signs, PROBABILITY
        case [Pair(kind=PairKind.COMPLEMENT)]:
            return signs, PROBABILITY
        case [Apply(function=Function.LOGISTIC)] if targets == classes == 2:
            return signs, LOG_ODDS
        case [Pair(kind=PairKind.OPPOSITE), Apply(function=Function.LOGISTIC)]:
            return signs, LOG_ODDS
    raise _unsupported("scores that become probabilities in another way than a logistic function of two classes")


def _unsupported(what: str) -> ArtifactError:
    return ArtifactError(
        f"contributions: expected scalers, then one forest, boosted trees or a linear model of two classes, got {what}"
    )


def _boxes(forest: Forest, features: int) -> list[tuple[NDArray[np.intp], Matrix, Matrix]]:
    """Return the leaves of every tree, and their boxes: above `low`, at most `high`, float32 (leaves, features)."""
    found = []
    for root in forest.roots:
        nodes = np.array([root])
        low, high = np.full((1, features), -np.inf, np.float32), np.full((1, features), np.inf, np.float32)
        leaves: list[tuple[NDArray[np.intp], Matrix, Matrix]] = []
        while len(nodes):
            ended = forest.features[nodes] == LEAF
            leaves.append((nodes[ended], low[ended], high[ended]))
            nodes, low, high = nodes[~ended], low[~ended], high[~ended]
            place = np.arange(len(nodes)), forest.features[nodes]
            thresholds = forest.thresholds[nodes]
            lower_high, upper_low = high.copy(), low.copy()
            lower_high[place] = np.minimum(high[place], thresholds)
            upper_low[place] = np.maximum(low[place], thresholds)
            nodes = np.concatenate([forest.lower[nodes], forest.upper[nodes]])
            low, high = np.concatenate([low, upper_low]), np.concatenate([lower_high, high])
        found.append(tuple(np.concatenate(parts) for parts in zip(*leaves, strict=True)))
    return found  # type: ignore[return-value]


def _leaf_values(forest: Forest, leaves: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return what each leaf adds to each target, float64 (leaves, targets)."""
    values = np.zeros((len(leaves), forest.targets))
    starts, stops = forest.leaf_starts[leaves], forest.leaf_starts[leaves + 1]
    counts = stops - starts
    owner = np.repeat(np.arange(len(leaves)), counts)
    weights = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    np.add.at(values, (owner, forest.leaf_targets[weights]), forest.leaf_weights[weights])
    return values


def _weights(features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (x-1)! z! / (x+z)! and x! (z-1)! / (x+z)!, each (features + 1, features + 1); 0 where x or z is."""
    gains = np.zeros((features + 1, features + 1))
    for x in range(1, features + 1):
        for z in range(features + 1 - x):
            gains[x, z] = factorial(x - 1) * factorial(z) / factorial(x + z)
    return gains, gains.T.copy()
