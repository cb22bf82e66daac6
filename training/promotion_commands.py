"""The command `tickline promote`."""

import argparse
import json

from runtime.registry import REGISTERED_MODEL, TRACKING_URI, Server, tracking_uri
from training.defaults import CONFIDENCE, LOSS_NAMES


def add_promote(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline promote`."""
    parser.description = (
        "Make the challenger of the MLflow registry its champion, if its certificate holds and it loses less than the\n"
        "champion on the later test rows of both, by more than a margin in the whole interval of a block bootstrap.\n"
        "A first champion has to win over the forecasts that need no model. Otherwise: exit status 1 and the reason."
    )
    parser.epilog = "example:\n  tickline export --track && tickline promote --metric log_loss --margin 0.001"
    parser.add_argument("--name", default=REGISTERED_MODEL, help="registered model (%(default)s)")
    parser.add_argument(
        "--metric",
        choices=LOSS_NAMES,
        default=LOSS_NAMES[0],
        help="loss that is compared; error is the share of wrong labels (%(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.0,
        metavar="M",
        help="by how much less the challenger must lose, in units of the metric (%(default)s)",
    )
    parser.add_argument(
        "--confidence", type=float, default=CONFIDENCE, metavar="C", help="of the interval, 0 to 1 (%(default)s)"
    )
    parser.add_argument(
        "--accept-first", action="store_true", help="where there is no champion yet, take a challenger without skill"
    )
    parser.add_argument(
        "--tracking-uri",
        metavar="URL",
        help=f"address of the MLflow server (environment: MLFLOW_TRACKING_URI; otherwise {TRACKING_URI})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_promote)


def run_promote(options: argparse.Namespace) -> int:
    """Judge the challenger, and say how; 1 where it does not become the champion."""
    from dataclasses import asdict

    from training.promotion import promote

    promotion = promote(
        Server(options.tracking_uri or tracking_uri()),
        options.name,
        loss=options.metric,
        margin=options.margin,
        confidence=options.confidence,
        accept_first=options.accept_first,
    )
    if options.json:
        print(json.dumps(asdict(promotion)))
    else:
        verdict = "is the champion now" if promotion.promoted else "stays the challenger"
        print(f"version {promotion.version} of {options.name} {verdict}: {promotion.reason}")
    return 0 if promotion.promoted else 1
