"""The commands `tickline serve` and `tickline verify`."""

import argparse
import os

from features_fast.terminal import paint
from runtime.prediction_commands import OF_MODELS, load_chosen
from runtime.settings import GROUPS, add_flag, read_settings


def _example(parser: argparse.ArgumentParser, text: str) -> None:
    parser.epilog = f"example:\n  {text}"


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline serve`."""
    _example(parser, "tickline serve --model-path models/ --port 5000 --workers 2")
    parser.usage = "%(prog)s [-h] [--model-path PATH] [--port N] [OPTION ...]"
    parser.description = (
        "Serve predictions over HTTP. Every flag has an environment variable of its name, --max-body-bytes has "
        "MAX_BODY_BYTES; the flag wins. In parentheses: the variable and the default."
    )
    for title, settings in GROUPS.items():
        group = parser.add_argument_group(title)
        for setting in settings:
            add_flag(group, setting)
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    settings = read_settings(options, os.environ)
    from runtime.server import serve

    return serve(settings)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline verify`."""
    _example(parser, "tickline verify models/model.onnx")
    parser.add_argument("path", nargs="?", metavar="MODEL", help="model file, or its folder; otherwise --model-path")
    for setting in OF_MODELS:
        add_flag(parser, setting)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> None:
    model = load_chosen(options, options.path)
    if options.json:
        import msgspec

        print(msgspec.json.encode({"status": "verified", **model.predictor.describe()}).decode())
        return
    from runtime.engine import name_of

    predictor = model.predictor
    choice, certificate = predictor.choice, predictor.certificate
    engine = name_of(predictor.engine)
    replay = predictor.replay
    replays = {engine: replay}
    if choice.agreement:
        replays[choice.agreement.reference] = choice.agreement.replay
    lines = [
        f"{paint('verified', 'green')}: {model.card.name} {model.card.version}, sha256 {predictor.sha256}",
        f"  engine     {engine}, {choice.reason}: {choice.detail}",
        f"  chunks     {predictor.chunk_rows:,} rows in {1e3 * predictor.chunk_rows * predictor.row_seconds:.2f} ms",
        f"  replayed   {replay.rows:,} golden rows of {certificate.reference} ({certificate.tolerance:.0e} allowed)",
        *(f"             {name}: {found}" for name, found in replays.items()),
        f"  at export  {certificate.compared_rows:,} rows",
        *(f"             {finding}" for finding in certificate.findings),
    ]
    print("\n".join(lines))
