"""The commands that need a model file: serve, verify, predict."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from features_fast.errors import TicklineError
from runtime.settings import (
    ENGINE,
    MAX_MODEL_BYTES,
    MODEL_PATH,
    MODEL_SHA256,
    SETTINGS,
    add_flag,
    read_setting,
    read_settings,
)

_OF_MODELS = (MODEL_PATH, MODEL_SHA256, MAX_MODEL_BYTES, ENGINE)


def _example(parser: argparse.ArgumentParser, text: str) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"example:\n  {text}"


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline serve`."""
    _example(parser, "tickline serve --model-path models/ --port 5000 --workers 2")
    for setting in SETTINGS:
        add_flag(parser, setting)
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    settings = read_settings(options, os.environ)
    from runtime.server import serve

    return serve(settings)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline verify`."""
    _example(parser, "tickline verify models/model.onnx")
    parser.add_argument("path", nargs="?", metavar="MODEL", help="model file, or its folder; otherwise --model-path")
    for setting in _OF_MODELS:
        add_flag(parser, setting)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_verify)


def _load(options: argparse.Namespace, path: str | None = None) -> Any:
    from runtime.artifact import model_file
    from runtime.model import load_model

    chosen = Path(path) if path else read_setting(MODEL_PATH, options, os.environ)
    wish, most, pins = (
        read_setting(setting, options, os.environ) for setting in (ENGINE, MAX_MODEL_BYTES, MODEL_SHA256)
    )
    return load_model(model_file(chosen), 1, wish, most, pins)


def _verify(options: argparse.Namespace) -> None:
    model = _load(options, options.path)
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
        f"verified: {model.card.name} {model.card.version}, sha256 {predictor.sha256}",
        f"  engine     {engine}, {choice.reason}: {choice.detail}",
        f"  chunks     {predictor.chunk_rows} rows in {1e3 * predictor.chunk_rows * predictor.row_seconds:.2f} ms",
        f"  replayed   {replay.rows} golden rows of {certificate.reference} ({certificate.tolerance:.0e} allowed)",
        *(f"             {name}: {found}" for name, found in replays.items()),
        f"  at export  {certificate.compared_rows} rows",
        *(f"             {finding}" for finding in certificate.findings),
    ]
    print("\n".join(lines))


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline predict`."""
    _example(
        parser,
        "tickline predict            # the example in the model file\n"
        "  tickline predict '[1.5, 2.5, ...]' --url http://localhost:5000\n"
        "  echo '{\"SMA_5\": 1.5, ...}' | tickline predict -",
    )
    parser.add_argument(
        "row",
        nargs="?",
        metavar="ROW",
        help="JSON list of numbers, or object of feature names; - reads it from standard input; none: the example",
    )
    parser.add_argument("--url", metavar="URL", help="ask a running server instead of a model file")
    for setting in _OF_MODELS:
        add_flag(parser, setting)
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    body = None
    if options.row is not None:
        text = sys.stdin.read() if options.row == "-" else options.row
        body = b'{"features":' + text.encode() + b"}"
    if options.url:
        print(_ask(options.url.rstrip("/"), body))
        return
    model = _load(options)
    _, reply = model.answer_row(body) if body else model.answer_example()
    print(reply.decode())


def _ask(url: str, body: bytes | None) -> str:
    """Ask a running server; its problem details become our one line."""
    if not url.startswith(("http://", "https://")):
        raise TicklineError(f"--url: expected http:// or https://, got {url!r}")
    request = urllib.request.Request(
        url + ("/predict" if body else "/predict/demo"), body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            text: str = response.read().decode()
            return text
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
        try:
            detail = json.loads(content)["detail"]
        except (ValueError, KeyError, TypeError):
            detail = error.reason
        raise TicklineError(f"{url}: {error.code}: {detail}") from None
    except OSError as error:
        raise TicklineError(f"{url}: no answer: {getattr(error, 'reason', error)}") from None
