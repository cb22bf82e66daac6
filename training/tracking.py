"""A trained and exported model in MLflow: a run with its evidence, and a version that challenges the champion."""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.artifact import Certificate, ModelCard, model_file, parse_metadata, read_sealed
from runtime.onnxruntime_engine import OnnxruntimeEngine
from runtime.registry import CHALLENGER, REGISTERED_MODEL, SHA256_TAG, RegistryError, Server
from training.holdout import HOLDOUT_FILE, from_datasets
from training.staging import METADATA_FILE
from training.workflow import DATASET_FILE, REPORT_DIRECTORY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

EXPERIMENT = "tickline"
CERTIFICATE_FILE = "certificate.json"

# A server that stops to answer is to be noticed in seconds; the client's own defaults are minutes.
_CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_NEEDED = ("onnxruntime", "numpy", "onnx", "pandas")  # by those who load the model with MLflow's own tools
_LONGEST_PARAMETER = 6000  # what a server takes
_LONGEST_DIGEST = 36  # likewise


@dataclass(frozen=True)
class Tracked:
    """Where a model is now.

    Attributes
    ----------
    run_id : str
        The run with everything that is known of it.
    version : str
        The registered version, which has the alias of the challenger.
    url : str
        The run's page, where the server has pages.
    """

    run_id: str
    version: str
    url: str


def track(
    model_path: Path,
    uri: str,
    *,
    experiment: str = EXPERIMENT,
    name: str = REGISTERED_MODEL,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Tracked:
    """Log a trained and exported model as a run, and register its file as the challenger.

    Parameters
    ----------
    model_path : Path
        What `tickline train` and `tickline export` wrote.
    uri : str
        Address of the MLflow server.
    experiment, name : str
        The experiment of the run, and the registered model; made where there is none.
    on_stage : callable, optional
        Called with the name of each stage as it begins.

    Raises
    ------
    RegistryError
        The server does not answer, or refuses; the model stays as it is, and can be tracked again.
    ArtifactError, DataError
        The model is not exported, or its files are damaged.
    """
    content, sha256 = read_sealed(model_file(model_path))
    card, certificate = parse_metadata(OnnxruntimeEngine(content).metadata)
    holdout = from_datasets(model_path / DATASET_FILE)
    on_stage("asking MLflow")
    Server(uri).check()
    with _plain_errors(uri), tempfile.TemporaryDirectory() as folder:
        client = _client(uri)
        from mlflow.entities import Metric, Param

        on_stage("logging the run")
        experiment_id = _experiment(client, experiment)
        run = client.create_run(experiment_id, start_time=_milliseconds(card), run_name=f"{card.name} {card.version}")
        run_id = run.info.run_id
        now = int(1000 * time.time())
        metrics = [Metric(key, value, now, step) for key, value, step in flat_metrics(card.training)]
        params = [Param(key, value[:_LONGEST_PARAMETER]) for key, value in flat_params(card)]
        client.log_batch(run_id, metrics, params)
        _log_data(client, run_id, card)
        client.log_artifact(run_id, str(model_path / METADATA_FILE))
        client.log_artifacts(run_id, str(model_path / REPORT_DIRECTORY), REPORT_DIRECTORY)

        on_stage("logging the model")
        model = client.create_logged_model(
            experiment_id, name, run_id, params=dict(flat_params(card)), model_type="classifier"
        )
        files = Path(folder) / "model"
        _save_model(files, content, run_id, model.model_id)
        (files / HOLDOUT_FILE).write_bytes(holdout.encode())
        (files / CERTIFICATE_FILE).write_text(_describe(certificate), encoding="utf-8")
        client.log_model_artifacts(model.model_id, str(files))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_batch(run_id, [Metric(m.key, m.value, now, m.step, model_id=model.model_id) for m in metrics])

        on_stage("registering the version")
        version = _register(client, name, model.model_id, run_id, card, sha256)
        client.set_terminated(run_id)
    return Tracked(run_id, version, f"{uri.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}")


def flat_metrics(training: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """Yield every number that a training run found, with a name such as `test/accuracy` and a step.

    The step is the fold where a walk-forward evaluation has one number for each fold, else 0.
    """
    for part in training.get("metrics", {}):
        yield from _numbers(f"{part}/", training["metrics"][part])
        yield from _numbers(f"{part}/", training.get("baselines", {}).get(part, {}))
        yield from _numbers(f"{part}/", training.get("skill", {}).get(part, {}))
    evaluation = training.get("walk_forward", {})
    for key in ("forecasts", "log_loss_gain", "accuracy_gain", "backtest"):
        yield from _numbers(f"walk_forward/{key}/", evaluation.get(key, {}))
    for number, fold in enumerate(evaluation.get("folds", ())):
        for key in ("log_loss", "accuracy", "log_loss_gain"):
            yield from _numbers(f"walk_forward/fold/{key}/", fold[key], number)


def flat_params(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Yield what a model was made with: its type, seed, source and every parameter of the classifier."""
    yield "model_type", card.name
    if "seed" in card.training:
        yield "seed", str(card.training["seed"])
    data = card.training.get("data", {})
    for key in ("source", "bars", "first_date", "last_date"):
        if key in data:
            yield f"data.{key}", str(data[key])
    for key, value in card.training.get("params", {}).items():
        yield key, str(value)


def _numbers(prefix: str, values: Mapping[str, Any], step: int = 0) -> Iterator[tuple[str, float, int]]:
    """Yield the values that are numbers, however deep."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{prefix}{key}/", value, step)
        elif isinstance(value, int | float):
            yield prefix + key, float(value), step


def _client(uri: str) -> "MlflowClient":
    """Return MLflow's client, told to give up soon and to keep its notices to itself."""
    for variable, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(variable, value)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(uri, uri)


@contextmanager
def _plain_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow's client raises into one line."""
    try:
        yield
    except (RegistryError, ModuleNotFoundError):
        raise
    except Exception as error:
        # The client's exceptions have no other base, and those of its libraries pass through it.
        if not type(error).__module__.startswith(("mlflow.", "requests.", "urllib3.")):
            raise
        raise RegistryError(f"MLflow at {uri}: {' '.join(str(error).split())}") from error


def _experiment(client: "MlflowClient", name: str) -> str:
    """Return the identifier of an experiment, which is made where there is none."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _log_data(client: "MlflowClient", run_id: str, card: ModelCard) -> None:
    """Note which bars the model was trained on."""
    from mlflow.entities import Dataset, DatasetInput

    data = card.training.get("data")
    if data:
        source = json.dumps({key: data[key] for key in ("source", "tickers", "first_date", "last_date")})
        dataset = Dataset(str(data["source"]), str(data["sha256"])[:_LONGEST_DIGEST], "tickline", source)
        client.log_inputs(run_id, [DatasetInput(dataset)])


def _save_model(folder: Path, content: bytes, run_id: str, model_id: str) -> None:
    """Write a model as MLflow's own tools load it, around the sealed file as it is, byte for byte."""
    import mlflow.onnx
    import onnx
    from mlflow.models import Model

    proto = onnx.load_model_from_string(content)
    mlflow.onnx.save_model(
        proto,
        str(folder),
        mlflow_model=Model(run_id=run_id, model_id=model_id),
        signature=signature(proto),
        pip_requirements=[f"{library}=={library_version(library)}" for library in _NEEDED],
        onnx_execution_providers=["CPUExecutionProvider"],
    )
    (folder / "model.onnx").write_bytes(content)  # MLflow parses a model and writes it anew, which breaks the seal


def signature(proto: Any) -> "ModelSignature":
    """Return the inputs and outputs of an ONNX model, (rows, ...) each, as MLflow describes them."""
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(values: Any) -> Any:
        specs: list[Any] = []
        for value in values:
            tensor = value.type.tensor_type
            shape = tuple(side.dim_value or -1 for side in tensor.shape.dim)
            specs.append(
                TensorSpec(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape, value.name)
            )
        return Schema(specs)

    return ModelSignature(schema(proto.graph.input), schema(proto.graph.output))


def _register(client: "MlflowClient", name: str, model_id: str, run_id: str, card: ModelCard, sha256: str) -> str:
    """Make a logged model a version of the registered one, and the challenger; return its number."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name,
        f"models:/{model_id}",
        run_id,
        {SHA256_TAG: sha256, "tickline.version": card.version},
        description=f"{card.name} {card.version}",
        await_creation_for=0,
        model_id=model_id,
    )
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    return str(version.version)


def _describe(certificate: Certificate) -> str:
    """Return the certificate as JSON, without its golden rows, which are in the model file."""
    facts = msgspec.to_builtins(certificate)
    facts = {key: value for key, value in facts.items() if key not in ("rows", "probabilities")}
    return json.dumps(facts, indent=2) + "\n"


def _milliseconds(card: ModelCard) -> int | None:
    """Return when the model was trained, in milliseconds since 1970."""
    created = card.training.get("created")
    return int(1000 * datetime.fromisoformat(created).timestamp()) if isinstance(created, str) else None
