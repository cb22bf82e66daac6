"""What a walk-forward evaluation says, in the same tables and sentences in a terminal and in the report."""

from typing import Any

from training.defaults import CONFIDENCE

Table = tuple[list[str], list[list[str]]]
"""Heads, and rows of cells."""

CONFIDENT = f"{100 * CONFIDENCE:.0f} %"
"""What intervals are of, in words."""

FOLDS_TITLE = "rows that the fitted model had not seen"

_ACCOUNT_FIGURES = {
    "total_return": ("total", "+.1%"),
    "yearly_return": ("a year", "+.1%"),
    "yearly_volatility": ("volatility", ".1%"),
    "sharpe": ("Sharpe", "+.2f"),
    "max_drawdown": ("drawdown", ".1%"),
    "yearly_turnover": ("turnover", ".1f"),
    "exposure": ("exposure", ".0%"),
}


def plain(name: str) -> str:
    """Return the name of a baseline, a strategy or a type of model as readers write it."""
    return name.replace("_", " ")


def fold_table(summary: dict[str, Any]) -> Table:
    """Return each fold with its loss beside that of the baseline."""
    baseline = summary["baseline"]
    heads = ["fold", "test window", "train", "test", "model", "accuracy", "log loss", f"that of {plain(baseline)}"]
    rows = [
        [
            f"{number}",
            f"{fold['first_date']} to {fold['last_date']}",
            f"{fold['train_rows']:,}",
            f"{fold['test_rows']:,}",
            fold["model_type"],
            f"{fold['accuracy']['model']:.3f}",
            f"{fold['log_loss']['model']:.4f}",
            f"{fold['log_loss'][baseline]:.4f}",
            _interval(fold["log_loss_gain"][baseline], 4),
        ]
        for number, fold in enumerate(summary["folds"], 1)
    ]
    return [*heads, f"gain, {CONFIDENT} interval"], rows


def account_title(summary: dict[str, Any]) -> str:
    """Return what the accounts assume."""
    return f"long or out of the market, {summary['backtest']['cost']:g} basis points a trade"


def account_table(summary: dict[str, Any]) -> Table:
    """Return what each strategy would have earned."""
    rows = [
        [plain(name), *(_cell(figures[figure], form) for figure, (_, form) in _ACCOUNT_FIGURES.items())]
        for name, figures in summary["backtest"]["accounts"].items()
    ]
    return ["strategy", *(head for head, _ in _ACCOUNT_FIGURES.values())], rows


def forecast_verdict(summary: dict[str, Any]) -> str:
    """Return in one sentence whether the forecasts are better than those without a model."""
    gain = summary["log_loss_gain"]
    found = "skill" if gain["low"] > 0 else "no skill"
    rows, interval = f"{summary['rows']:,} rows", _interval(gain, 4)
    return f"Walking forward shows {found}: gain in log loss over {plain(summary['baseline'])} on {rows}: {interval}."


def money_verdict(summary: dict[str, Any]) -> str:
    """Return in one sentence whether the signals are worth their trades."""
    gain, cost = summary["backtest"]["yearly_gain"], summary["backtest"]["break_even_cost"]
    worth = "more than" if gain["low"] > 0 else "less than" if gain["high"] < 0 else "neither surely more nor less than"
    percent = {name: 100 * value for name, value in gain.items()}
    even = "" if cost is None else f"; the two are even at {cost:.1f} basis points a trade"
    return f"The signals earn {worth} holding: {_interval(percent, 1)} points a year{even}."


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _interval(values: dict[str, float], digits: int) -> str:
    """Return an estimate with its bounds."""
    estimate, low, high = (f"{values[name]:+.{digits}f}" for name in ("estimate", "low", "high"))
    return f"{estimate} ({low} to {high})"
