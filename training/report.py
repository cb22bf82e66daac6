"""Four pictures of a trained model on the test rows, each with what no skill would look like."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from features_fast import FEATURE_NAMES
from training.dataset import Dataset
from training.metrics import baseline_predictions
from training.predictor import LABELS, StockPredictor

_MODEL, _SECOND, _BASELINE = "#1f5fa8", "#8fb4dc", "#c2571a"
_CALIBRATION_BINS = 10


def write_report(directory: Path, predictor: StockPredictor, dataset: Dataset) -> None:
    """Draw ROC, calibration, confusion and feature importance as PNG files.

    Parameters
    ----------
    directory : Path
        Made where it does not exist.
    predictor : StockPredictor
        A trained model.
    dataset : Dataset
        The rows that it was trained on, with validation and test.
    """
    directory.mkdir(parents=True, exist_ok=True)
    test = dataset.test
    title = (
        f"{predictor.model_type.replace('_', ' ')}, test rows {test.first_date:%Y-%m-%d} to {test.last_date:%Y-%m-%d} "
        f"({len(test.y):,})"
    )
    probabilities = {
        "validation": predictor.predict_proba(dataset.validation.X)[:, 1],
        "test": predictor.predict_proba(test.X)[:, 1],
    }
    pictures: dict[str, Callable[[Figure], None]] = {
        "roc": lambda figure: _draw_roc(figure, dataset, probabilities),
        "calibration": lambda figure: _draw_calibration(figure, test.y, probabilities["test"]),
        "confusion": lambda figure: _draw_confusion(figure, dataset, predictor.predict(test.X)),
        "feature_importance": lambda figure: _draw_importance(figure, predictor),
    }
    for name, draw in pictures.items():
        figure = Figure(figsize=(7.2, 6.4), dpi=120, layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
        FigureCanvasAgg(figure)
        draw(figure)
        figure.suptitle(title, fontsize=11)
        figure.savefig(directory / f"{name}.png")


def feature_importance(predictor: StockPredictor) -> tuple[NDArray[np.float64], str]:
    """Return how much each feature matters, and what that number is.

    Returns
    -------
    importance : (22,) float64
        Shares that add up to 1. For trees the mean decrease in impurity, for the logistic model the absolute
        coefficient of the standardized feature.
    meaning : str
        Which of the two it is.
    """
    if predictor.model_type == "logistic":
        weights = np.abs(np.asarray(predictor.classifier.coef_[0], dtype=np.float64))
        return weights / (weights.sum() or 1.0), "absolute coefficient of the standardized feature, share of the sum"
    return np.asarray(predictor.classifier.feature_importances_, dtype=np.float64), "mean decrease in impurity, share"


def calibration(
    y: NDArray[np.int64], probability: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how often UP came in groups of rows of about equal size, by predicted probability.

    Returns
    -------
    predicted, observed, error : (groups,) float64
        Mean predicted probability, share of UP, and half the width of its 95 % interval.
    """
    groups = np.array_split(np.argsort(probability, kind="stable"), min(_CALIBRATION_BINS, len(y)))
    predicted = np.array([probability[rows].mean() for rows in groups])
    observed = np.array([y[rows].mean() for rows in groups])
    error = 1.96 * np.sqrt([y[rows].var() / len(rows) for rows in groups])
    return predicted, observed, np.asarray(error, np.float64)


def _draw_roc(figure: Figure, dataset: Dataset, probabilities: dict[str, NDArray[np.float64]]) -> None:
    """Draw the ROC curves of test and validation, with chance and persistence."""
    axes = figure.subplots()
    for name, part, color, width in (
        ("validation", dataset.validation, _SECOND, 1.2),
        ("test", dataset.test, _MODEL, 2.2),
    ):
        if len(np.unique(part.y)) == 2:
            false_positives, true_positives, _ = roc_curve(part.y, probabilities[name])
            label = f"{name}, area {roc_auc_score(part.y, probabilities[name]):.3f}"
            axes.plot(false_positives, true_positives, color=color, linewidth=width, label=label)
    axes.plot([0, 1], [0, 1], color=_BASELINE, linestyle="--", linewidth=1, label="majority class (chance), area 0.500")
    guess = baseline_predictions(dataset.train.y, dataset.test.X)["persistence"]
    matrix = confusion_matrix(dataset.test.y, guess, labels=[0, 1])
    rates = matrix[:, 1] / np.maximum(matrix.sum(axis=1), 1)
    axes.plot(*rates, color=_BASELINE, marker="D", linestyle="none", label="persistence, test")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title="ROC")
    axes.set(xlabel="false positive rate (DOWN called UP)", ylabel="true positive rate (UP called UP)")
    _finish(axes)
    axes.legend(loc="lower right", facecolor="white", edgecolor="none", framealpha=0.9)


def _draw_calibration(figure: Figure, y: NDArray[np.int64], probability: NDArray[np.float64]) -> None:
    """Draw how often UP came for each predicted probability, with the spread of the predictions below."""
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    predicted, observed, error = calibration(y, probability)
    rate = float(y.mean())
    brier, naive = float(np.mean((probability - y) ** 2)), rate * (1 - rate)
    axes.plot([0, 1], [0, 1], color="#777777", linestyle=":", label="perfectly calibrated")
    axes.axhline(rate, color=_BASELINE, linestyle="--", label=f"always {rate:.3f}, Brier score {naive:.4f}")
    axes.errorbar(
        predicted,
        observed,
        yerr=error,
        color=_MODEL,
        marker="o",
        capsize=3,
        label=f"model, Brier score {brier:.4f} (lower is better)",
    )
    # Probabilities of daily moves crowd around one half: the axes show where they are.
    low, high = float(probability.min()), float(probability.max())
    margin = 0.05 * (high - low) + 0.01
    axes.set(ylim=(0, 1), ylabel="share of UP (95 % interval)", title="Calibration, groups of equal size")
    _finish(axes)
    axes.legend(loc="upper left", facecolor="white", edgecolor="none", framealpha=0.9)
    counts.hist(probability, bins=40, color=_SECOND)
    counts.set(xlim=(max(0, low - margin), min(1, high + margin)), xlabel="predicted probability of UP", ylabel="rows")
    _finish(counts)


def _draw_confusion(figure: Figure, dataset: Dataset, predicted: NDArray[np.int64]) -> None:
    """Draw the confusion matrix in counts and shares, with the accuracy of the baselines."""
    axes = figure.subplots()
    y = dataset.test.y
    matrix = confusion_matrix(y, predicted, labels=[0, 1])
    shares = matrix / len(y)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.5, float(shares.max())))
    for row in range(2):
        for column in range(2):
            color = "white" if shares[row, column] > 0.3 else "black"
            text = f"{matrix[row, column]:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=16)
    accuracies = {"model": np.mean(predicted == y)}
    guesses = baseline_predictions(dataset.train.y, dataset.test.X)
    accuracies |= {name.replace("_", " "): np.mean(guess == y) for name, guess in guesses.items()}
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=LABELS, yticklabels=LABELS, ylabel="what happened")
    axes.set_title("Accuracy: " + ", ".join(f"{name} {accuracy:.3f}" for name, accuracy in accuracies.items()))
    axes.set_xlabel("what was predicted")


def _draw_importance(figure: Figure, predictor: StockPredictor) -> None:
    """Draw the importance of every feature, with what equal importance would be."""
    axes = figure.subplots()
    importance, meaning = feature_importance(predictor)
    order = np.argsort(importance, kind="stable")
    axes.barh([FEATURE_NAMES[feature] for feature in order], importance[order], color=_MODEL)
    even = 1 / len(FEATURE_NAMES)
    axes.axvline(even, color=_BASELINE, linestyle="--", label=f"all equal, {even:.3f}")
    axes.set(xlabel=meaning, title="Feature importance, from the training rows")
    axes.margins(y=0.01)
    _finish(axes)
    axes.legend(loc="lower right", facecolor="white", edgecolor="none", framealpha=0.9)


def _finish(axes: Axes) -> None:
    """Take away the ink that says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
