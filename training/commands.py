"""The commands `tickline data`, `tickline features` and `tickline train`."""

import argparse
import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features_fast.terminal import Progress, paint, render_table
from training.defaults import BUNDLED_SOURCES, DATA_FILE, DAYS, MODEL_TYPES, MODEL_VERSION, SEED, TICKER
from training.errors import ModelError
from training.walk_forward_commands import add_walk_forward, plan_of, render_walk_forward

if TYPE_CHECKING:
    import pandas as pd

# Pandas and scikit-learn are imported where a command runs, so that `--help` answers at once.
SOURCES: tuple[str, ...] = ("synthetic", *BUNDLED_SOURCES)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Make a parser that of `tickline data`."""
    _describe(
        parser,
        "Write daily bars to a CSV or Parquet file: synthetic ones, or real ones of an index, 1999 to 2018.",
        "tickline data --source synthetic --days 3000 --seed 7 --output bars.csv",
    )
    parser.add_argument("--source", choices=SOURCES, default="synthetic", help="where bars come from (%(default)s)")
    _add_synthetic(parser)
    parser.add_argument("--ticker", help=f"name of the ticker ({TICKER}, SP500 or NASDAQ)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(DATA_FILE),
        metavar="FILE",
        help="file to write, .csv or .parquet (%(default)s)",
    )
    parser.set_defaults(run=run_data)


def add_features(parser: argparse.ArgumentParser) -> None:
    """Make a parser that of `tickline features`."""
    _describe(
        parser,
        "Compute the 22 features of every bar in a file, each ticker by itself.",
        "tickline features data/raw/stock_data.csv features.parquet --drop-warm-up",
    )
    parser.add_argument("input", type=Path, metavar="IN", help="bars, .csv or .parquet")
    parser.add_argument("output", type=Path, metavar="OUT", help="file to write, .csv or .parquet")
    parser.add_argument(
        "--drop-warm-up", action="store_true", help="leave out the first 49 bars of each ticker, which have no features"
    )
    parser.set_defaults(run=run_features)


def add_train(parser: argparse.ArgumentParser) -> None:
    """Make a parser that of `tickline train`."""
    _describe(
        parser,
        "Train a model and judge it beside two forecasts that need none. Without --source and --data it reads\n"
        f"{DATA_FILE}, or generates synthetic bars and writes them there.",
        "tickline train --source sp500 --model gradient_boosting --set n_estimators=200\n"
        "  tickline train --source sp500 --search 30 --walk-forward",
    )
    bars = parser.add_mutually_exclusive_group()
    bars.add_argument("--source", choices=SOURCES, help="train on synthetic bars or on an index, 1999 to 2018")
    bars.add_argument("--data", type=Path, metavar="FILE", help="train on the bars in a file, .csv or .parquet")
    _add_synthetic(parser)
    parser.add_argument("--model", choices=MODEL_TYPES, help=f"type of model ({MODEL_TYPES[0]})")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        dest="params",
        help="parameter of the scikit-learn classifier, such as n_estimators=200; may be repeated",
    )
    parser.add_argument(
        "--model-path",
        type=Path,
        default=Path(os.environ.get("MODEL_PATH") or "models/"),
        metavar="DIR",
        help="directory to write (environment: MODEL_PATH; now %(default)s)",
    )
    parser.add_argument(
        "--model-version", default=MODEL_VERSION, metavar="V", help="version of the model (%(default)s)"
    )
    add_walk_forward(parser)
    parser.add_argument("--json", action="store_true", help="print the metadata as JSON instead of tables")
    parser.set_defaults(run=run_train)


def run_data(args: argparse.Namespace) -> None:
    """Write bars to a file and say what they are."""
    from training.data import check_table, write_table

    check_table(args.output)
    bars = _bars(args.source, args.days, args.seed, args.ticker)
    write_table(bars, args.output)
    print(f"{paint('wrote', 'green')} {args.output}: {_summary(bars)}")


def run_features(args: argparse.Namespace) -> None:
    """Write the features of a file of bars."""
    from features_fast import FEATURE_NAMES
    from training.data import check_table, write_table
    from training.features import create_features
    from training.reader import read_bars

    check_table(args.output)
    with Progress() as progress:
        progress.begin("reading")
        bars = read_bars(args.input)
        progress.begin("computing", bars["Ticker"].nunique())
        frame = create_features(bars, on_ticker=lambda _: progress.advance())
        frame = frame[["Date", "Ticker", *FEATURE_NAMES]]
        if args.drop_warm_up:
            frame = frame[frame[FEATURE_NAMES[-1]].notna()]
        progress.begin("writing")
        write_table(frame, args.output)
    print(f"{paint('wrote', 'green')} {args.output}: {_summary(frame, 'rows')}, {len(FEATURE_NAMES)} features")


def run_train(args: argparse.Namespace) -> None:
    """Train a model, write it and show what it is worth."""
    if args.search and args.params:
        raise ModelError("--set: expected no --search beside it, which chooses the parameters")
    plan = plan_of(args)
    chosen = {"model_type": args.model or MODEL_TYPES[0], "params": dict(args.params), "seed": args.seed}
    chosen["search_types"] = (args.model,) if args.model else MODEL_TYPES
    with Progress() as progress:
        progress.begin("libraries")
        from runtime.artifact import check_text
        from training.workflow import check_model_path, train_model

        check_text("--model-version", args.model_version)
        check_model_path(args.model_path)
        progress.begin("bars")
        if args.source:
            bars, source = _bars(args.source, args.days, args.seed), args.source
        elif args.data:
            from training.reader import read_bars

            bars, source = read_bars(args.data), args.data.name
        else:
            from training.data import load_or_generate_data

            source = Path(DATA_FILE).name if Path(DATA_FILE).exists() else "synthetic"
            bars = load_or_generate_data(DATA_FILE, args.days, args.seed)
        evaluation = None
        if plan:
            from training.walk_forward import walk_forward

            progress.begin("walk-forward", plan.fits)
            evaluation = walk_forward(bars, plan, on_fit=progress.advance, **chosen)
        metadata = train_model(
            bars,
            args.model_path,
            source=source,
            version=args.model_version,
            trials=args.search,
            evaluation=evaluation,
            on_stage=lambda stage: progress.begin(stage, args.search if stage == "search" else 0),
            on_trial=progress.advance,
            **chosen,
        )
    if args.json:
        import json

        print(json.dumps(metadata, indent=2))
    else:
        _show(metadata, args.model_path, _summary(bars))


def _describe(parser: argparse.ArgumentParser, description: str, example: str) -> None:
    """Give a parser its description and an example."""
    parser.description = description
    parser.epilog = f"example:\n  {example}"


def _add_synthetic(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that generated bars depend on."""
    parser.add_argument("--days", type=int, default=DAYS, metavar="N", help="number of synthetic bars (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="same seed, same result (%(default)s)")


def _parameter(text: str) -> tuple[str, object]:
    """Parse NAME=VALUE; a value is a Python literal or else text."""
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # as `ast.literal_eval` documents
        return name.strip(), value.strip()


def _bars(source: str, days: int, seed: int, ticker: str | None = None) -> "pd.DataFrame":
    """Return the bars of a source."""
    from training.data import generate_synthetic_stock_data, load_bundled_data

    if source == "synthetic":
        return generate_synthetic_stock_data(days, TICKER if ticker is None else ticker, seed)
    bars = load_bundled_data(source)
    return bars if ticker is None else bars.assign(Ticker=ticker)


def _summary(frame: "pd.DataFrame", rows: str = "bars") -> str:
    """Return in one line how many rows there are, of what and when."""
    tickers = frame["Ticker"].unique()
    names = ", ".join(tickers[:3]) + (f" and {len(tickers) - 3} more" if len(tickers) > 3 else "")
    when = f" from {frame['Date'].min():%Y-%m-%d} to {frame['Date'].max():%Y-%m-%d}" if len(frame) else ""
    return f"{len(frame):,} {rows} of {names or 'no ticker'}{when}"


def _show(metadata: dict[str, Any], model_path: Path, summary: str) -> None:
    """Print the metrics beside both baselines, what they are worth, and the paths written."""
    print(f"{metadata['name']} {metadata['version']}, trained on {summary}")
    for part in ("validation", "test"):
        print(f"\n{_table(metadata, part)}")
    print(f"\n{_verdict(metadata['skill']['test'])}")
    if "walk_forward" in metadata:
        print(f"\n{render_walk_forward(metadata['walk_forward'])}\n")
    for name in ("model.joblib", "scaler.joblib", "metadata.json", "datasets.npz", "report/index.html"):
        print(f"{paint('wrote', 'green')} {model_path / name}")


def _table(metadata: dict[str, Any], part: str) -> str:
    """Return the metrics of one part as a table."""
    split = metadata["split"][part]
    title = f"{part}: {split['rows']:,} rows, {split['first_date']} to {split['last_date']}"
    rows = {metadata["name"]: metadata["metrics"][part], **metadata["baselines"][part]}
    heads = [metric.replace("_", " ") for metric in metadata["metrics"][part]]
    cells = [
        [name.replace("_", " "), *("-" if value is None else f"{value:.3f}" for value in metrics.values())]
        for name, metrics in rows.items()
    ]
    return render_table(["", *heads], cells, title=title)


def _verdict(skill: dict[str, Any]) -> str:
    """Return in one sentence whether the test shows any skill."""
    from training.metrics import certain_gain

    gain, error = skill["accuracy_gain"], skill["standard_error"]
    baseline = skill["baseline"].replace("_", " ")
    measured = f"{100 * gain:+.1f} points of accuracy against {baseline}, standard error {100 * error:.1f}"
    if certain_gain(gain, error) > 0:
        return f"The test shows skill: {measured}."
    return f"The test shows no skill: {measured}."
