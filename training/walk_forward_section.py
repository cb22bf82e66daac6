"""The section of the training report on a walk-forward evaluation: folds, intervals, and what it would have earned."""

from html import escape

import numpy as np

from training.charts import Series, intervals, plot
from training.markup import table
from training.walk_forward import BUY_AND_HOLD, MODEL, WalkForward
from training.walk_forward_words import (
    CONFIDENT,
    FOLDS_TITLE,
    account_table,
    account_title,
    fold_table,
    forecast_verdict,
    money_verdict,
    plain,
)

_SHOWN_POINTS = 250  # of a curve
_MOST_YEARS = 6  # with a text below the axis
_STYLES = {BUY_AND_HOLD: "third", "persistence": "second", MODEL: "model"}


def render_walk_forward_section(found: WalkForward) -> str:
    """Return the content of the section as HTML."""
    summary, plan = found.summary(), found.plan
    past = "all of the past" if plan.window is None else f"the {plan.window:,} dates before"
    chosen = f" Each fold chose its model by {plan.search} trials on its own training rows." if plan.search else ""
    baseline = summary["baseline"]
    gains = [
        (f"fold {number}", *(fold["log_loss_gain"][baseline][bound] for bound in ("estimate", "low", "high")))
        for number, fold in enumerate(summary["folds"], 1)
    ]
    return (
        f"<p>Fitted {len(gains)} times on {past}, and tested on what followed, with {plan.embargo} dates left out "
        f"between.{chosen} These are {FOLDS_TITLE}.</p>"
        + table(*fold_table(summary), left=(1, 4), kind="wide dense")
        + _conclude(forecast_verdict(summary))
        + f"<figure>{intervals('gain in log loss by fold', gains, 0.0, 'no gain')}"
        f"<figcaption>Gain in log loss over {escape(plain(baseline))} by fold, in nats, with {CONFIDENT} intervals; "
        "to the right of the line the model is better.</figcaption></figure>"
        + f"<h3>Backtest: {escape(account_title(summary))}</h3>"
        + table(*account_table(summary))
        + _conclude(money_verdict(summary))
        + f"<figure>{_values(found)}<figcaption>What one unit of capital became, after costs.</figcaption></figure>"
        '<p class="note">An account, not a market: traded at the close that the signal is computed from, all tickers '
        "of a date alike. Look at the interval and at the break-even cost, not at the curve.</p>"
    )


def _conclude(text: str) -> str:
    return f'<p class="conclusion">{escape(text)}</p>'


def _values(found: WalkForward) -> str:
    """Return the value of every account over time."""
    accounts = found.accounts()
    dates = accounts[MODEL].dates
    years = dates.astype("datetime64[D]").astype(np.float64)
    chosen = np.unique(np.linspace(0, len(dates) - 1, _SHOWN_POINTS).round().astype(int))
    series = []
    for name, style in _STYLES.items():
        value = accounts[name].value
        line = list(zip(years[chosen].tolist(), value[chosen].tolist(), strict=True))
        series.append(Series(f"{plain(name)}, {value[-1] - 1:+.1%}", style, line))
    values = [value for one in series for _, value in one.line]
    margin = 0.05 * (max(values) - min(values)) or 0.01
    return plot(
        "value of each account",
        "date",
        "value of 1",
        series,
        (float(years[0]), float(years[-1])),
        (min(values) - margin, max(values) + margin),
        x_ticks=_date_ticks(dates[0], dates[-1]),
    )


def _date_ticks(first: np.datetime64, last: np.datetime64) -> dict[float, str]:
    """Return the beginnings of years between two dates, at most six; both dates where no year begins."""
    years = np.arange(first.astype("datetime64[Y]") + 1, last.astype("datetime64[Y]") + 1)
    shown = years[:: -(-len(years) // _MOST_YEARS)] if len(years) else np.array([first, last], "datetime64[D]")
    return {float(day.astype("datetime64[D]").astype(np.float64)): str(day) for day in shown}
