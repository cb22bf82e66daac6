"""The options of `tickline train` that judge and choose beyond one split, and what they print."""

import argparse
from typing import TYPE_CHECKING, Any

from features_fast.terminal import render_table
from training.defaults import EMBARGO, FOLDS, TRADE_COST
from training.errors import DataError
from training.walk_forward_words import (
    FOLDS_TITLE,
    account_table,
    account_title,
    fold_table,
    forecast_verdict,
    money_verdict,
)

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
    folds = render_table(*fold_table(summary), title=f"walk-forward, {FOLDS_TITLE}", left=(1, 4))
    accounts = render_table(*account_table(summary), title=account_title(summary))
    return "\n".join((folds, forecast_verdict(summary), "", accounts, money_verdict(summary)))
