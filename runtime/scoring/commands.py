"""The command `tickline score`."""

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from features_fast.terminal import Progress
from runtime.settings import ENGINE, MODEL_PATH, add_flag, read_setting

if TYPE_CHECKING:
    from runtime.predictor import Predictor
    from runtime.scoring.job import Job, Manifest

# What scores is imported where the command runs, so that `--help` answers at once.

_WITH_ERRORS = 3  # exit status
_LEAST_PART_ROWS = 1000


def add_score(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline score`."""
    parser.description = (
        "Score the rows of a Parquet or CSV file, or of a folder of such files: bars, or the model's features.\n"
        "The same command goes on where an interrupted job stopped. Exit status 0 when every row is scored, 3 when\n"
        "rows are in errors.csv, 1 when the job could not be done, 2 for bad usage."
    )
    parser.epilog = (
        "examples:\n  tickline score bars.parquet scores/ --model-path models/\n"
        "  tickline score /shared/bars/ /shared/scores/ --engine ray --ray-address auto"
    )
    parser.add_argument("input", type=Path, metavar="IN", help="a .parquet or .csv file, or a folder of them")
    parser.add_argument("output", type=Path, metavar="OUT_DIR", help="a new folder, or that of an interrupted job")
    add_flag(parser, MODEL_PATH)
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="who does the work: the cores of this machine, or Ray (%(default)s)",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="a running cluster, HOST:PORT or auto; IN, OUT_DIR and the model have the same paths on all its machines "
        "(this machine alone)",
    )
    parser.add_argument(
        "--workers", type=_workers, metavar="N", help="actors of Ray, each with a model of its own (one a core)"
    )
    parser.add_argument(
        "--part-rows",
        type=_part_rows,
        metavar="N",
        help="rows of one file of scores, about; what is done is kept part by part (1048576)",
    )
    parser.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet", help="what the files of scores are (%(default)s)"
    )
    parser.add_argument("--restart", action="store_true", help="forget what an earlier job left in OUT_DIR")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")
    parser.set_defaults(run=_score, refuse=parser.error)


def _part_rows(text: str) -> int:
    try:
        rows = int(text)
    except ValueError:
        rows = 0
    if rows < _LEAST_PART_ROWS:
        raise argparse.ArgumentTypeError(f"expected a number of rows, {_LEAST_PART_ROWS} or more, got {text!r}")
    return rows


def _workers(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number of actors, 1 or more, got {text!r}")
    return int(text)


def _score(options: argparse.Namespace) -> int:
    if options.engine == "local" and (options.ray_address or options.workers):
        options.refuse("expected --engine ray with --ray-address or --workers")
    from runtime.artifact import model_file
    from runtime.model import load_model
    from runtime.scoring.job import finished, identify, open_job
    from runtime.scoring.plan import PART_ROWS

    started = time.monotonic()
    work = _here
    if options.engine == "ray":
        if not options.ray_address:
            # On this machine alone Ray listens on loopback, as it does where it knows no clusters; read at import.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        from runtime.scoring import ray_engine  # noqa: F401  to miss it before anything is begun

        work = _on_ray
    path = model_file(read_setting(MODEL_PATH, options, os.environ))
    # --engine says here who does the work; what runs the model is for the environment to say.
    wish = read_setting(ENGINE, argparse.Namespace(), os.environ)
    predictor = load_model(path, threads=1, wish=wish).predictor
    identity = identify(options.input, predictor, options.part_rows or PART_ROWS, options.format)
    manifest = None if options.restart else finished(options.output, identity)
    if manifest is None:
        with open_job(options.output, identity, options.restart) as job, Progress() as told:
            told.begin("scoring", job.rows())
            work(options, job, path, wish, predictor, told)
            manifest = job.finish(predictor)
    _say(options, manifest, time.monotonic() - started)
    return _WITH_ERRORS if manifest.rows.errors else 0


def _here(
    options: argparse.Namespace, job: "Job", path: Path, wish: str, predictor: "Predictor", told: Progress
) -> None:
    from runtime.model import load_model
    from runtime.scoring import local

    threads = local.model_threads(len(job.plan.chains), predictor)
    if threads > 1:
        predictor = load_model(path, threads, wish).predictor
    local.run(job, predictor, told.advance)


def _on_ray(
    options: argparse.Namespace, job: "Job", path: Path, wish: str, predictor: "Predictor", told: Progress
) -> None:
    from runtime.scoring import ray_engine

    ray_engine.run(job, path.resolve(), wish, options.ray_address, options.workers, told.advance)


def _say(options: argparse.Namespace, manifest: "Manifest", seconds: float) -> None:
    if options.json:
        import msgspec

        print(msgspec.json.encode(manifest).decode())
        return
    rows, model, folder = manifest.rows, manifest.model, options.output
    size = sum(written.bytes for written in manifest.scores)
    lines = [
        f"scored {rows.scored:,} of {rows.read:,} rows of {options.input} with {model['name']} {model['version']} "
        f"({model['engine']})",
        f"  warm-up  {rows.warm_up:,} rows without features: the first 49 bars of a ticker have none",
        f"  errors   {rows.errors:,} rows that are not scored, each with its reason in {folder / manifest.errors.path}",
        f"  wrote    {len(manifest.scores):,} files, {size:,} bytes, in {folder / 'scores'}; "
        f"{folder / 'manifest.json'} has their checksums",
        f"  took     {seconds:.1f} s",
    ]
    if manifest.kind != "bars":
        del lines[1]
    print("\n".join(lines))
