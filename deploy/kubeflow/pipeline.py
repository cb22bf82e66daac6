"""The training pipeline for Kubeflow: bars in, a verified model file out, where the model shows skill.

``python deploy/kubeflow/pipeline.py compile`` writes what a cluster runs, and its picture, from the code below.
``python deploy/kubeflow/pipeline.py run FOLDER --source synthetic`` runs it here, in processes of this environment;
with ``--in-image`` each step in a container of the training image, as on a cluster.

A step is a function that kfp sends to a pod as text, so that it imports what it needs, and calls what the image has:
the command `tickline`, and the package `training` where the command does more than the step.
"""

import argparse
import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl, local
from picture import draw

from features_fast.atomic_file import check_folder

FOLDER = Path(__file__).parent
COMPILED = FOLDER / "pipeline.yaml"
PICTURE = FOLDER.parent.parent / "docs" / "pipeline.svg"

IMAGE = os.environ.get("TICKLINE_TRAINING_IMAGE") or "registry.example.com/tickline-train:0.1.0"
"""The image of deploy/train/Dockerfile, where the cluster finds it."""

CORES, MEMORY = 2, "2Gi"
"""What a step gets at most."""

step = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)


@step
def data(source: str, days: int, seed: int, bars: dsl.Output[dsl.Dataset]) -> None:
    """Write daily bars: synthetic ones, those of an index, or those of a file that the pod can read."""
    import shutil
    import subprocess
    from pathlib import Path

    folder = Path(bars.path)
    folder.mkdir(parents=True)
    if source.endswith((".csv", ".parquet")):
        shutil.copy(source, folder)
    else:
        drawn = ["--source", source, "--days", str(days), "--seed", str(seed)]
        subprocess.run(["tickline", "data", *drawn, "--output", folder / f"{source}.csv"], check=True)


@step
def features(bars: dsl.Input[dsl.Dataset], rows: dsl.Output[dsl.Dataset]) -> None:
    """Compute the features and targets of the bars, and part them in time into training, validation and test rows."""
    import json
    from pathlib import Path

    from training.dataset import build_dataset
    from training.reader import read_bars
    from training.workflow import DATASET_FILE, describe_bars

    [file] = Path(bars.path).iterdir()
    table = read_bars(file)
    dataset = build_dataset(table)
    folder = Path(rows.path)
    folder.mkdir(parents=True)
    dataset.save(folder / DATASET_FILE)
    (folder / "bars.json").write_text(json.dumps(describe_bars(table, file.stem)))
    rows.metadata.update({name: len(getattr(dataset, name).y) for name in ("train", "validation", "test")})


@step
def train(rows: dsl.Input[dsl.Dataset], model_type: str, params: str, seed: int, fitted: dsl.Output[dsl.Model]) -> None:
    """Fit scaler and classifier on the training rows."""
    import json
    from pathlib import Path

    from training.dataset import Dataset
    from training.predictor import StockPredictor
    from training.workflow import DATASET_FILE

    part = Dataset.load(Path(rows.path) / DATASET_FILE).train
    StockPredictor(model_type, json.loads(params), seed=seed).train(part.X, part.y).save(fitted.path)


@step
def evaluate(
    rows: dsl.Input[dsl.Dataset],
    fitted: dsl.Input[dsl.Model],
    version: str,
    least_gain: float,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
) -> bool:
    """Judge the model on rows that it has not seen; tell whether it gains more than `least_gain` over no model."""
    import json
    from pathlib import Path

    from sklearn.metrics import confusion_matrix

    from training.dataset import Dataset
    from training.metrics import certain_gain
    from training.predictor import StockPredictor
    from training.workflow import DATASET_FILE, publish_model

    predictor = StockPredictor.load(fitted.path)
    dataset = Dataset.load(Path(rows.path) / DATASET_FILE)
    bars = json.loads((Path(rows.path) / "bars.json").read_text())
    metadata = publish_model(predictor, dataset, model.path, data=bars, version=version)
    for part in ("validation", "test"):
        for name, value in metadata["metrics"][part].items():
            if value is not None:
                metrics.log_metric(f"{part}_{name}", value)
    skill = metadata["skill"]["test"]
    gain = certain_gain(skill["accuracy_gain"], skill["standard_error"])
    metrics.log_metric("test_certain_gain", gain)
    guessed = confusion_matrix(dataset.test.y, predictor.predict(dataset.test.X))
    confusion.log_confusion_matrix(metadata["labels"], guessed.tolist())
    return gain > least_gain


@step
def export(model: dsl.Input[dsl.Model], exported: dsl.Output[dsl.Model]) -> None:
    """Turn scaler and classifier into one ONNX file with its certificate, beside what it was made of."""
    import shutil
    import subprocess

    shutil.copytree(model.path, exported.path)
    subprocess.run(["tickline", "export", "--model-path", exported.path], check=True)


@step
def verify(exported: dsl.Input[dsl.Model], certificate: dsl.Output[dsl.Metrics]) -> None:
    """Replay the certificate, as a server does before it serves."""
    import json
    import subprocess
    from pathlib import Path

    command = ["tickline", "verify", Path(exported.path) / "model.onnx", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report = json.loads(done.stdout)
    certificate.metadata.update({"sha256": report["sha256"], "engine": report["engine"]["name"]})
    for name, value in report["certificate"]["replay"].items():
        certificate.log_metric(name, value)


@step
def promote(
    exported: dsl.Input[dsl.Model],
    certificate: dsl.Input[dsl.Metrics],
    tracking_uri: str,
    registered: str,
    margin: float,
    verdict: dsl.Output[dsl.Metrics],
) -> bool:
    """Register the model as the challenger, and make it the champion where it is better; tell whether it is."""
    import json
    import subprocess
    from pathlib import Path

    from training.tracking import track

    track(Path(exported.path), tracking_uri, name=registered)
    named = ["--name", registered, "--tracking-uri", tracking_uri, "--margin", str(margin)]
    done = subprocess.run(["tickline", "promote", *named, "--json"], check=False, stdout=subprocess.PIPE, text=True)
    if not done.stdout:  # no verdict, but an error
        done.check_returncode()
    said = json.loads(done.stdout)
    sealed = certificate.metadata.get("sha256")
    verdict.metadata.update({"version": said["version"], "reason": said["reason"], "sha256": sealed})
    return bool(said["promoted"])


@dsl.pipeline(name="tickline-training", description=(__doc__ or "").partition("\n")[0])
def training_pipeline(
    source: str = "sp500",
    days: int = 2500,
    seed: int = 42,
    model_type: str = "random_forest",
    params: str = "{}",
    version: str = "1.0.0",
    least_gain: float = 0.0,
    tracking_uri: str = "",
    registered: str = "tickline",
    margin: float = 0.0,
) -> None:
    """Chain the steps; without skill the run ends after the evaluation, and says so.

    Parameters
    ----------
    source : str
        synthetic, sp500, nasdaq, or the path of a file of bars (.csv, .parquet) on a volume of the first pod.
    days, seed : int
        Of synthetic bars; the seed is that of the model too.
    model_type : str
        random_forest, gradient_boosting or logistic.
    params : str
        Parameters of the scikit-learn classifier, as a JSON object.
    version : str
        Which model this is.
    least_gain : float
        The accuracy that the model must gain over the better forecast without a model, as a share, at the lower end of
        its interval of 95 %.
    tracking_uri : str
        Address of the MLflow server; without one nothing is registered.
    registered : str
        The registered model whose champion is challenged.
    margin : float
        By how much less than the champion the model must lose, see ``tickline promote --help``.
    """
    bars = data(source=source, days=days, seed=seed)
    rows = features(bars=bars.outputs["bars"])
    fitted = train(rows=rows.outputs["rows"], model_type=model_type, params=params, seed=seed)
    judged = evaluate(
        rows=rows.outputs["rows"], fitted=fitted.outputs["fitted"], version=version, least_gain=least_gain
    )
    with dsl.If(judged.outputs["Output"] == True, name="it shows skill"):  # noqa: E712 - kfp records the comparison
        exported = export(model=judged.outputs["model"])
        verified = verify(exported=exported.outputs["exported"])
        with dsl.If(tracking_uri != "", name="MLflow runs"):
            promoted = promote(
                exported=exported.outputs["exported"],
                certificate=verified.outputs["certificate"],
                tracking_uri=tracking_uri,
                registered=registered,
                margin=margin,
            )
            promoted.set_caching_options(False)  # the champion may be another one by now
    bars.set_caching_options(False)  # a file may have changed under its name
    for task in (bars, rows, fitted, judged, exported, verified, promoted):
        task.set_cpu_request("500m").set_cpu_limit(str(CORES)).set_memory_request("512Mi").set_memory_limit(MEMORY)


def compiled() -> dict[Path, str]:
    """Return the files that are made from this one."""
    compiler.Compiler().compile(training_pipeline, str(COMPILED.with_suffix(".new.yaml")))
    made = COMPILED.with_suffix(".new.yaml").read_text()
    COMPILED.with_suffix(".new.yaml").unlink()
    return {COMPILED: made, PICTURE: draw(yaml.safe_load(made.partition("\n---\n")[0]))}


def run_here(folder: Path, in_image: bool, arguments: dict[str, Any]) -> None:
    """Run the pipeline by kfp's local runner; every step's outputs are left in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if in_image:
        _expect_image()
        runner = local.DockerRunner(
            entrypoint=[""],  # a pod's command takes the place of the image's own; here it would be its argument
            user=f"{os.getuid()}:{os.getgid()}",  # whose folder it is
            read_only=True,
            tmpfs={"/tmp": "mode=1777"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            nano_cpus=CORES * 10**9,
            mem_limit=MEMORY.lower().removesuffix("i"),
        )
    else:
        runner = local.SubprocessRunner(use_venv=False)
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    local.init(runner=runner, pipeline_root=str(folder), raise_on_error=True)
    # Nothing here is news: the image is another one than Python's own, and limits are for pods.
    warnings.filterwarnings("ignore", "You may be attemping to run", RuntimeWarning)
    warnings.filterwarnings("ignore", "Task .* have no effect in the current local runner", UserWarning)
    training_pipeline(**arguments)


def _expect_image() -> None:
    """Raise RuntimeError where Docker, or the image, is not here: kfp's runner would say so in fifty lines."""
    import docker

    try:
        docker.from_env().images.get(IMAGE)
    except docker.errors.DockerException as error:
        raise RuntimeError(f"{IMAGE}: cannot be run by Docker here: {error}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, check or run; 0 when that succeeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    compiling = commands.add_parser("compile", help=f"write {COMPILED.name} and the picture")
    compiling.add_argument("--check", action="store_true", help="write nothing; fail where they are out of date")
    running = commands.add_parser("run", help="run all steps here")
    running.add_argument("folder", type=Path, metavar="FOLDER", help="receives the outputs of the steps")
    running.add_argument(
        "--in-image", action="store_true", help=f"run each step by Docker in {IMAGE} (TICKLINE_TRAINING_IMAGE)"
    )
    for name, each in inspect.signature(training_pipeline.pipeline_func).parameters.items():
        running.add_argument(
            f"--{name.replace('_', '-')}", type=each.annotation, default=each.default, help="(%(default)s)"
        )
    options = vars(parser.parse_args(arguments))
    if options.pop("command") == "run":
        folder = options.pop("folder").resolve()
        try:
            check_folder(folder)
            run_here(folder, options.pop("in_image"), options)
        except OSError as error:
            sys.stderr.write(f"{Path(__file__).name}: {error.filename}: {error.strerror}\n")
            return 1
        except RuntimeError as error:  # a step failed, and has said why; or there is nothing to run it in
            sys.stderr.write(f"{Path(__file__).name}: {error}\n")
            return 1
        return 0
    stale = {path: text for path, text in compiled().items() if not path.exists() or path.read_text() != text}
    if options["check"] and stale:
        sys.stderr.write(f"out of date: {', '.join(map(str, stale))}: run {Path(__file__).name} compile\n")
        return 1
    for path, text in stale.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
