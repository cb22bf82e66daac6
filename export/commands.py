"""The command `tickline export`."""

import argparse
import json
import os
import sys
from pathlib import Path

from export.defaults import DEFAULT_TOLERANCE
from export.errors import ExportError
from features_fast.errors import TicklineError
from features_fast.terminal import Progress, paint
from runtime.registry import TRACKING_URI, tracking_uri


def add_export(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline export`."""
    parser.description = (
        "Turn scaler and classifier of a trained model into one ONNX file, compare it with scikit-learn over the\n"
        "whole test set and over golden rows, which travel in the file, and write nothing where they differ.\n\n"
        "model.joblib and scaler.joblib are pickles, which run code when they are opened: export only a directory\n"
        "that you trust."
    )
    parser.epilog = (
        "examples:\n  tickline train --source sp500 && tickline export && tickline verify\n"
        "  tickline train --source sp500 && tickline export --track && tickline promote"
    )
    parser.add_argument(
        "--model-path",
        type=Path,
        default=Path(os.environ.get("MODEL_PATH") or "models/"),
        metavar="DIR",
        help="directory of the trained model; receives model.onnx (environment: MODEL_PATH; now %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=DEFAULT_TOLERANCE,
        metavar="P",
        help="largest difference of a probability that passes (%(default)g)",
    )
    parser.add_argument(
        "--track",
        action="store_true",
        help="then log parameters, metrics, report, model and certificate to MLflow, and register the challenger",
    )
    parser.add_argument("--experiment", default="tickline", metavar="NAME", help="MLflow experiment (%(default)s)")
    parser.add_argument(
        "--tracking-uri",
        metavar="URL",
        help=f"address of the MLflow server (environment: MLFLOW_TRACKING_URI; otherwise {TRACKING_URI})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_export)


def run_export(options: argparse.Namespace) -> None:
    """Export the trained model of a directory and say what was compared."""
    with Progress() as progress:
        progress.begin("libraries")
        import msgspec

        from export.exporter import check_target, export_classifier
        from export.report import add_certificate
        from export.trained import read_trained_model
        from runtime.artifact import golden_rows, model_file, parse_metadata, read_sealed
        from runtime.onnxruntime_engine import OnnxruntimeEngine
        from training.staging import holding_directory

        progress.begin("reading the trained model")
        path = model_file(options.model_path)
        check_target(path)
        with holding_directory(path.parent):
            trained = read_trained_model(path.parent)
        export_classifier(
            trained.pipeline,
            path,
            rows=trained.rows,
            test_rows=trained.test_rows,
            training_rows=trained.training_rows,
            name=trained.name,
            version=trained.version,
            feature_names=trained.feature_names,
            labels=trained.labels,
            feature_specification=trained.feature_specification,
            training=trained.training,
            libraries=trained.libraries,
            tolerance=options.tolerance,
            progress=progress.begin,
        )
    content, sha256 = read_sealed(path)
    card, certificate = parse_metadata(OnnxruntimeEngine(content).metadata)
    golden = len(golden_rows(card, certificate)[0])
    page = path.parent / "report" / "index.html"
    reported = add_certificate(page, certificate, sha256, golden)
    if options.json:
        report = {
            "path": str(path),
            "name": card.name,
            "version": card.version,
            "sha256": sha256,
            "size_bytes": len(content),
            "features": len(card.feature_names),
            "labels": card.labels,
            "reference": certificate.reference,
            "compared_rows": certificate.compared_rows,
            "golden_rows": golden,
            "max_probability_difference": certificate.max_probability_difference,
            "tolerance": certificate.tolerance,
            "label_flips": certificate.label_flips,
            "engines": msgspec.to_builtins(certificate.engines),
        }
        print(json.dumps(report))
    else:
        print(
            f"{paint('wrote', 'green')} {path}: {card.name} {card.version}, {len(content):,} bytes, sha256 {sha256}\n"
            f"  compared  {certificate.compared_rows:,} rows with {certificate.reference}: "
            f"{certificate.compared_rows - golden:,} of the test set and {golden:,} golden ones\n"
            f"  allowed   {certificate.tolerance:g}"
        )
        for finding in certificate.findings:
            print(f"  found     {finding}")
        if reported:
            print(f"{paint('wrote', 'green')} {page}: the certificate")
    if options.track:
        _track(options, path)


def _track(options: argparse.Namespace, path: Path) -> None:
    """Log an exported model to MLflow and say where it is."""
    with Progress() as progress:
        progress.begin("MLflow's client")
        from training.tracking import track

        uri = options.tracking_uri or tracking_uri()
        try:
            tracked = track(path.parent, uri, experiment=options.experiment, on_stage=progress.begin)
        except TicklineError as error:
            raise ExportError(f"{error}; {path} is written, and not tracked: run this command again") from None
    print(f"tracked: run {tracked.run_id}, challenger is version {tracked.version}, {tracked.url}", file=sys.stderr)
