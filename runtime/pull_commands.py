"""The command `tickline pull`."""

import argparse
import json
import os

from features_fast.terminal import paint
from runtime.registry import TRACKING_URI, tracking_uri
from runtime.settings import MODEL_PATH, add_flag, read_setting


def add_pull(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline pull`."""
    parser.description = (
        "Fetch a registered model from an MLflow server, verify its seal, its registered hash and its certificate,\n"
        "and put it in the place of the old file in one step. Needs no MLflow here."
    )
    parser.epilog = "example:\n  tickline pull models:/tickline@champion --model-path models/"
    parser.add_argument("model", metavar="MODEL", help="models:/NAME@ALIAS or models:/NAME/VERSION")
    parser.add_argument(
        "--tracking-uri",
        metavar="URL",
        help=f"address of the MLflow server (environment: MLFLOW_TRACKING_URI; otherwise {TRACKING_URI})",
    )
    add_flag(parser, MODEL_PATH)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_pull)


def run_pull(options: argparse.Namespace) -> None:
    """Fetch a version, verify it, write it where it is new, and say what it is."""
    from runtime.artifact import model_file
    from runtime.registry import Server, fetch, parse_reference, write_model

    path = model_file(read_setting(MODEL_PATH, options, os.environ))
    reference = parse_reference(options.model)
    version = fetch(Server(options.tracking_uri or tracking_uri()), reference)
    written = write_model(version.content, path)
    card, sha256 = version.predictor.card, version.predictor.sha256
    if options.json:
        report = {
            "model": options.model,
            "registry_version": version.number,
            "path": str(path),
            "written": written,
            "name": card.name,
            "version": card.version,
            "sha256": sha256,
        }
        print(json.dumps(report))
        return
    print(
        f"{paint('wrote', 'green') if written else 'unchanged:'} {path}: version {version.number} of {version.name}, "
        f"{card.name} {card.version}, sha256 {sha256}, certificate replayed"
    )
