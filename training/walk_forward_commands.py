"""The options of `tickline train` that judge and choose beyond one split, and what they print."""

import argparse
from typing import TYPE_CHECKING, Any

from features_fast.terminal import render_table
from training.defaults import EMBARGO, FOLDS, TRADE_COST
from training.errors import DataError

if TYPE_CHECKING:
    from training.walk_forward import Plan


def add_walk_forward(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of a walk-forward evaluation and of a search."""
    parser.add_argument(
        "--search",
        type=int,
        default=0,
        metavar="N",
        help="choose type and parameters by N random trials on folds of the training rows; with --model of that type",
    )
    group = parser.add_argument_group("walk-forward evaluation")
    group.add_argument(
        "--walk-forward",
        nargs="?",
        type=int,
        const=FOLDS,
        default=0,
        metavar="FOLDS",
        help=f"first fit on the past and test on what follows, again and again ({FOLDS} folds), with a backtest",
    )
    group.add_argument("--window", type=int, metavar="DATES", help="train on so many dates alone (all of the past)")
    group.add_argument(
        "--embargo", type=int, default=EMBARGO, metavar="DATES", help="left out before each test window (%(default)s)"
    )
    group.add_argument(
        "--cost", type=float, default=TRADE_COST, metavar="BP", help="of a trade, in basis points (%(default)s)"
    )


def plan_of(args: argparse.Namespace) -> "Plan | None":
    """Return how to walk; None where the command does not ask for it."""
    if not args.walk_forward:
        if (args.window, args.embargo, args.cost) != (None, EMBARGO, TRADE_COST):
            raise DataError("--window, --embargo, --cost: expected --walk-forward beside them")
        return None
    from training.walk_forward import Plan

    return Plan(args.walk_forward, args.window, args.embargo, args.search, args.cost)


def render_walk_forward(summary: dict[str, Any]) -> str:
    """Return a walk-forward evaluation as tables with a verdict below each."""
    baseline = summary["baseline"]
    named = baseline.replace("_", " ")
    folds = [
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
    heads = [
        "fold",
        "test window",
        "train",
        "test",
        "model",
        "accuracy",
        "log loss",
        f"that of {named}",
        "gain, 95 % interval",
    ]
    accounts = [
        [
            name.replace("_", " "),
            *(
                "-" if figures[figure] is None else f"{figures[figure]:{form}}"
                for figure, form in (
                    ("total_return", "+.1%"),
                    ("yearly_return", "+.1%"),
                    ("yearly_volatility", ".1%"),
                    ("sharpe", "+.2f"),
                    ("max_drawdown", ".1%"),
                    ("yearly_turnover", ".1f"),
                    ("exposure", ".0%"),
                )
            ),
        ]
        for name, figures in summary["backtest"]["accounts"].items()
    ]
    money = ["", "total", "a year", "volatility", "Sharpe", "drawdown", "turnover", "exposure"]
    title = f"long or out of the market, {summary['backtest']['cost']:g} basis points a trade"
    return "\n".join(
        (
            render_table(heads, folds, title="walk-forward, rows that the fitted model had not seen", left=(1, 4)),
            _verdict_on_forecasts(summary, named),
            "",
            render_table(money, accounts, title=title),
            _verdict_on_money(summary["backtest"]),
        )
    )


def _verdict_on_forecasts(summary: dict[str, Any], baseline: str) -> str:
    """Return in one sentence whether the forecasts are better than those without a model."""
    gain = summary["log_loss_gain"]
    found = "skill" if gain["low"] > 0 else "no skill"
    rows, interval = f"{summary['rows']:,} rows", _interval(gain, 4)
    return f"Walking forward shows {found}: gain in log loss over {baseline} on {rows}: {interval}."


def _verdict_on_money(backtest: dict[str, Any]) -> str:
    """Return in one sentence whether the signals are worth their trades."""
    gain, cost = backtest["yearly_gain"], backtest["break_even_cost"]
    worth = "more than" if gain["low"] > 0 else "less than" if gain["high"] < 0 else "neither surely more nor less than"
    percent = {name: 100 * value for name, value in gain.items()}
    even = "" if cost is None else f"; the two are even at {cost:.1f} basis points a trade"
    return f"The signals earn {worth} holding: {_interval(percent, 1)} points a year{even}."


def _interval(values: dict[str, float], digits: int) -> str:
    """Return an estimate with its bounds."""
    estimate, low, high = (f"{values[name]:+.{digits}f}" for name in ("estimate", "low", "high"))
    return f"{estimate} ({low} to {high})"
