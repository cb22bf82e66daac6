"""The report on a training run as one page: no script, nothing from elsewhere, for light, dark and phones."""

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from features_fast import FEATURE_NAMES
from training.charts import Series, bars, intervals, plot
from training.dataset import PARTS, Dataset, Part
from training.evidence import RESAMPLES, Evidence, gather_evidence
from training.markup import section, table
from training.metrics import baseline_predictions
from training.predictor import LABELS, StockPredictor
from training.report import calibration, feature_importance
from training.resampling import Interval
from training.walk_forward import WalkForward
from training.walk_forward_section import render_walk_forward_section
from training.walk_forward_words import CONFIDENT, plain

PAGE_FILE = "index.html"
STYLE = (Path(__file__).parent / "report.css").read_text()

_SHOWN_POINTS = 200  # of a curve
_NAMES = {"roc_auc": "ROC AUC", "f1": "F1"}


def write_page(
    path: Path,
    predictor: StockPredictor,
    dataset: Dataset,
    version: str,
    facts: dict[str, Any],
    evaluation: WalkForward | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    predictor : StockPredictor
        A trained model.
    dataset : Dataset
        The rows that it was trained on, with validation and test.
    version : str
        Which model this is.
    facts : dict
        ``data``, ``split``, ``metrics``, ``baselines`` and ``skill`` of its metadata.
    evaluation : WalkForward, optional
        A walk-forward evaluation of the same bars.
    """
    evidence = {name: _evidence(predictor, dataset, getattr(dataset, name)) for name in ("validation", "test")}
    sections = [
        _header(predictor, version, evidence["test"], facts),
        section("Data and split", _data(facts)),
        section("Metrics", _metrics(evidence, facts)),
        *([section("Walking forward", render_walk_forward_section(evaluation))] if evaluation else []),
        section("Pictures", _pictures(predictor, dataset)),
        section("Certificate", CERTIFICATE_BEGIN + _NO_CERTIFICATE + CERTIFICATE_END),
        section("Model card", _card(predictor, facts)),
    ]
    title = escape(f"{predictor.model_type} {version}: training report")
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{STYLE}</style></head>\n<body><main>\n" + "\n".join(sections) + "\n</main></body></html>\n",
        encoding="utf-8",
    )


CERTIFICATE_BEGIN, CERTIFICATE_END = "<!-- certificate -->", "<!-- end of certificate -->"
"""`tickline export` puts what it found between these."""

_NO_CERTIFICATE = (
    "<p>Not exported yet. <code>tickline export</code> compares the served graph with scikit-learn and writes here "
    "what it found.</p>"
)


def _evidence(predictor: StockPredictor, dataset: Dataset, part: Part) -> Evidence:
    baselines = baseline_predictions(dataset.train.y, part.X)
    return gather_evidence(part, predictor.predict(part.X), predictor.predict_proba(part.X)[:, 1], baselines)


def _header(predictor: StockPredictor, version: str, test: Evidence, facts: dict[str, Any]) -> str:
    name, gain = min(test.gains.items(), key=lambda item: item[1].estimate)
    shown = f"{_points(gain)} against {plain(name)}"
    if gain.low > 0:
        kind, verdict = "good", f"On the test rows the model is more accurate than both baselines: {shown}."
    else:
        kind, verdict = "bad", f"On the test rows the model shows no skill over the better baseline: {shown}."
    data = facts["data"]
    tickers = ", ".join(data["tickers"][:5]) + (" and others" if len(data["tickers"]) > 5 else "")
    return (
        f"<header><p>Tickline training report</p><h1>{escape(plain(predictor.model_type))} "
        f"<span>{escape(version)}</span></h1><p>{escape(tickers)}, {escape(data['first_date'])} to "
        f'{escape(data["last_date"])}</p><p class="verdict {kind}">{escape(verdict)}</p></header>'
    )


def _data(facts: dict[str, Any]) -> str:
    data, split = facts["data"], facts["split"]
    total = sum(split[name]["rows"] for name in PARTS)
    shares = "".join(
        f'<span class="{name}" style="flex-grow:{split[name]["rows"]}">{name}<br>'
        f"{split[name]['rows'] / total:.0%}</span>"
        for name in PARTS
    )
    rows = [[name, f"{split[name]['rows']:,}", split[name]["first_date"], split[name]["last_date"]] for name in PARTS]
    return (
        f"<p>{data['bars']:,} daily bars from {escape(data['source'])}. Parts follow each other in time and are never "
        "shuffled; the last row before a boundary is left out, because its target reads a bar of the next part.</p>"
        f'<div class="split" role="img" aria-label="shares of the parts in time">{shares}</div>'
        + table(["part", "rows", "first bar", "last bar"], rows)
        + f'<p class="note">SHA-256 of the bars: <code>{escape(data["sha256"])}</code></p>'
    )


def _metrics(evidence: dict[str, Evidence], facts: dict[str, Any]) -> str:
    text = []
    for part, found in evidence.items():
        baselines = facts["baselines"][part]
        rows = [
            [_NAMES.get(metric, metric), _interval(interval)] + [_number(baselines[name][metric]) for name in baselines]
            for metric, interval in found.metrics.items()
        ]
        heads = ["metric", f"model, {CONFIDENT} interval", *(plain(name) for name in baselines)]
        gains = []
        for name, gain in found.gains.items():
            shown = (100 * gain.estimate, 100 * gain.low, 100 * gain.high)
            gains.append((plain(name), *shown))
        text.append(
            f"<h3>{part.capitalize()}</h3>{table(heads, rows, kind='wide narrow')}<figure>"
            + intervals(f"gain in accuracy, {part}", gains, 0.0, "no gain")
            + f"<figcaption>Gain in accuracy over each baseline in percentage points, with {CONFIDENT} intervals: "
            + "; ".join(f"{name} {value:+.1f} ({low:+.1f} to {high:+.1f})" for name, value, low, high in gains)
            + ".</figcaption></figure>"
        )
    text.append(
        f'<p class="note">Intervals come from {RESAMPLES:,} resamples of blocks of consecutive dates (circular block '
        "bootstrap), because neighbouring days are alike. Validation rows may have been used to choose parameters; "
        "judge by the test rows, once.</p>"
    )
    return "".join(text)


def _pictures(predictor: StockPredictor, dataset: Dataset) -> str:
    test = dataset.test
    probability = predictor.predict_proba(test.X)[:, 1]
    figures = [
        (_roc(predictor, dataset), "ROC on the test and the validation rows; on the diagonal there is no skill."),
        (
            _calibration(test.y, probability),
            "How often UP came for each predicted probability, in groups of equal size, with 95 % intervals of each.",
        ),
        (_importance(predictor), f"Feature importance ({feature_importance(predictor)[1]}); the line: all equal."),
        (_confusion(test.y, predictor.predict(test.X)), "What was predicted and what happened on the test rows."),
    ]
    drawn = "".join(
        f"<figure>{figure}<figcaption>{escape(caption)}</figcaption></figure>" for figure, caption in figures
    )
    return f'<div class="pictures">{drawn}</div>'


def _roc(predictor: StockPredictor, dataset: Dataset) -> str:
    series = [Series("no skill, area 0.500", "baseline", [(0.0, 0.0), (1.0, 1.0)])]
    for name, style in (("validation", "second"), ("test", "model")):
        part: Part = getattr(dataset, name)
        if len(np.unique(part.y)) == 2:
            probability = predictor.predict_proba(part.X)[:, 1]
            wrong, right, _ = roc_curve(part.y, probability)
            chosen = np.unique(np.linspace(0, len(wrong) - 1, _SHOWN_POINTS).round().astype(int))
            line = list(zip(wrong[chosen].tolist(), right[chosen].tolist(), strict=True))
            series.append(Series(f"{name}, area {roc_auc_score(part.y, probability):.3f}", style, line))
    return plot("ROC curves", "DOWN called UP, share", "UP called UP, share", series, (0.0, 1.0), (0.0, 1.0))


def _calibration(y: NDArray[np.int64], probability: NDArray[np.float64]) -> str:
    predicted, observed, error = calibration(y, probability)
    low, high = float(probability.min()), float(probability.max())
    margin = 0.05 * (high - low) + 0.01
    across = max(0.0, low - margin), min(1.0, high + margin)
    rate = float(y.mean())
    marks = [
        (x, up, up - half, up + half)
        for x, up, half in zip(predicted.tolist(), observed.tolist(), error.tolist(), strict=True)
    ]
    series = [
        Series("perfectly calibrated", "second", [(across[0], across[0]), (across[1], across[1])]),
        Series(f"always {rate:.3f}", "baseline", [(across[0], rate), (across[1], rate)]),
        Series("model", "model", marks=marks),
    ]
    return plot("calibration", "predicted probability of UP", "share of UP", series, across, (0.0, 1.0))


def _confusion(y: NDArray[np.int64], predicted: NDArray[np.int64]) -> str:
    matrix = confusion_matrix(y, predicted, labels=[0, 1])
    heads = ["happened", *(f"predicted {label}" for label in LABELS)]
    rows = [
        [label, *(f"{matrix[row, column]:,} ({matrix[row, column] / len(y):.1%})" for column in range(2))]
        for row, label in enumerate(LABELS)
    ]
    return table(heads, rows, kind="wide narrow")


def _importance(predictor: StockPredictor) -> str:
    importance, _ = feature_importance(predictor)
    order = np.argsort(-importance, kind="stable")
    values = [(FEATURE_NAMES[feature], float(importance[feature])) for feature in order]
    return bars("feature importance", values, 1 / len(FEATURE_NAMES))


def _card(predictor: StockPredictor, facts: dict[str, Any]) -> str:
    params = ", ".join(f"{name} = {value}" for name, value in predictor.params.items())
    entries = {
        "What it is": f"A {plain(predictor.model_type)} of scikit-learn over 22 standardized features of "
        f"daily bars ({params}; seed {predictor.seed}). It gives the probability that the next bar closes higher.",
        "What it is for": "Measuring, testing and operating an inference server with a model on real data; research on "
        "daily bars, beside baselines; a template for models of your own.",
        "What it is not for": "Trading, advice to anybody, or any decision about money. It knows no costs, no spreads, "
        "no dividends, no news and no size of a move, and a probability near one half says nothing.",
        "No promise": "Nothing here promises a profit. Past prices of "
        f"{', '.join(facts['data']['tickers'][:5])} say little about later ones, and less about other markets.",
        "Trained on": f"Bars up to {facts['split']['train']['last_date']}. What came later it has not seen; markets "
        "change, and the server's drift metrics say when inputs no longer look like the training rows.",
        "Known limits": "Features of the same prices move together, so that no single importance is a cause. The split "
        "is one split: another span of years gives other figures, within and beyond the intervals above.",
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in entries.items()) + "</dl>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(found: Interval) -> str:
    if np.isnan(found.estimate):
        return "-"
    # Spaces that do not break keep the bounds together.
    return f"{found.estimate:.3f} ({found.low:.3f}\u00a0to\u00a0{found.high:.3f})"


def _points(gain: Interval) -> str:
    return f"{100 * gain.estimate:+.1f} points of accuracy ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
