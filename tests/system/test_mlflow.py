"""Tracking, promotion and pulling against a real MLflow server on SQLite: the image of docker-compose.yml."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickline
from runtime.artifact import read_sealed
from runtime.model import load_model
from tests.serving import DEADLINE_SECONDS, running_server, wait_until
from tests.system.containers import HARDENED, ROOT, docker
from training.holdout import from_datasets

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),  # MLflow's word on its own code
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with an empty registry, which every command finds in the environment."""
    docker(
        "build", "--network", "host", "--file", "deploy/mlflow/Dockerfile", "--tag", "tickline-mlflow:test", str(ROOT)
    )
    options = ("--publish", "127.0.0.1::5001", *HARDENED, "--tmpfs", "/tmp", "--volume", "/mlflow")
    name = docker("run", "--detach", *options, "tickline-mlflow:test", "--allowed-hosts", "*")
    try:
        address = f"http://127.0.0.1:{docker('port', name, '5001/tcp').rpartition(':')[2]}"

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
                    return bool(reply.status == 200)
            except OSError:
                return False

        wait_until(answers, "MLflow answers", seconds=3 * DEADLINE_SECONDS)  # it imports for long
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", address)
            yield address
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def tracked(uri: str, sp500_model: Callable[[str], Path]) -> Path:
    """The directory of a forest that is version 1 and the challenger."""
    directory = sp500_model("random_forest")
    assert tickline.main(["export", "--track", "--model-path", str(directory)]) == 0
    return directory


def ask(uri: str, path: str) -> Any:
    """Return what a route of MLflow's REST interface answers."""
    with urllib.request.urlopen(f"{uri}/api/2.0/mlflow/{path}", timeout=30) as reply:
        return json.load(reply)


def aliases(uri: str) -> dict[str, str]:
    """Return the version that each alias of the registered model means."""
    model = ask(uri, "registered-models/get?name=tickline")["registered_model"]
    return {entry["alias"]: entry["version"] for entry in model.get("aliases", ())}


def promote(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit status and report of `tickline promote`."""
    status = tickline.main(["promote", "--json", *arguments])
    return status, json.loads(capsys.readouterr().out)


def test_a_run_holds_everything_that_is_known_of_a_model(uri: str, tracked: Path) -> None:
    version = ask(uri, "model-versions/get?name=tickline&version=1")["model_version"]
    run = ask(uri, f"runs/get?run_id={version['run_id']}")["run"]
    assert run["info"]["status"] == "FINISHED"
    params = {entry["key"]: entry["value"] for entry in run["data"]["params"]}
    assert params.items() >= {"model_type": "random_forest", "max_depth": "10", "data.source": "sp500"}.items()
    metrics = {entry["key"]: entry["value"] for entry in run["data"]["metrics"]}
    metadata = json.loads((tracked / "metadata.json").read_text())
    assert metrics["test/accuracy"] == metadata["metrics"]["test"]["accuracy"]
    assert metrics["test/majority_class/roc_auc"] == 0.5
    assert run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] == metadata["data"]["sha256"][:36]
    report = ask(uri, f"artifacts/list?run_id={version['run_id']}&path=report")["files"]
    local = {f"report/{path.name}" for path in (tracked / "report").iterdir()}
    assert {entry["path"] for entry in report} == local
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert tags["tickline.sha256"] == read_sealed(tracked / "model.onnx")[1]


def test_the_registered_model_loads_with_mlflows_own_tools(uri: str, tracked: Path, tmp_path: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(uri)
    folder = Path(mlflow.artifacts.download_artifacts("models:/tickline/1", dst_path=str(tmp_path)))
    assert (folder / "model.onnx").read_bytes() == (tracked / "model.onnx").read_bytes()
    assert json.loads((folder / "certificate.json").read_text())["label_flips"] == 0
    rows = from_datasets(tracked / "datasets.npz").X
    served = load_model(tracked / "model.onnx", threads=1).predictor.predict(rows)
    predicted = mlflow.pyfunc.load_model(str(folder)).predict(rows)
    np.testing.assert_allclose(predicted["probabilities"], served, atol=1e-6)


def test_the_better_of_two_models_is_served(
    uri: str,
    tracked: Path,
    sp500_model: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pull = ["pull", "models:/tickline@champion", "--model-path", str(tmp_path)]
    assert tickline.main(pull) == 1
    assert "no such alias" in capsys.readouterr().err

    # A forest without skill is no champion, unless it is accepted as it is.
    status, report = promote(capsys)
    assert (status, aliases(uri)) == (1, {"challenger": "1"})
    assert [contest["opponent"] for contest in report["contests"]] == ["majority_class", "persistence"]
    shown = (ROOT / "docs" / "pipelines.md").read_text()
    assert f"version 1 of tickline stays the challenger: {report['reason'].partition(';')[0]}; ..." in shown
    status, report = promote(capsys, "--accept-first")
    assert (status, aliases(uri)) == (0, {"champion": "1"})
    assert tickline.main(["promote"]) == 1
    assert "models:/tickline@challenger: no such alias" in capsys.readouterr().err

    # The logistic model loses less than the forest on the rows that neither has seen, but not by a wide margin.
    assert tickline.main(["export", "--track", "--model-path", str(sp500_model("logistic"))]) == 0
    capsys.readouterr()
    status, report = promote(capsys, "--margin", "0.5")
    assert (status, aliases(uri)) == (1, {"champion": "1", "challenger": "2"})
    status, report = promote(capsys)
    (contest,) = report["contests"]
    assert (status, aliases(uri)) == (0, {"champion": "2"})
    assert contest["opponent"] == "version 1"
    assert contest["gain"]["low"] > 0
    tags = ask(uri, "model-versions/get?name=tickline&version=2")["model_version"]["tags"]
    assert {tag["key"]: tag["value"] for tag in tags}["tickline.promotion"] == f"promoted: {report['reason']}"

    # The forest again does not beat it; what is pulled is the champion, and serves.
    assert tickline.main(["export", "--track", "--model-path", str(tracked)]) == 0
    capsys.readouterr()
    assert promote(capsys)[0] == 1
    assert aliases(uri) == {"champion": "2", "challenger": "3"}
    assert tickline.main(pull) == 0
    assert "version 2 of tickline, logistic 1.0.0" in capsys.readouterr().out
    assert (tmp_path / "model.onnx").read_bytes() == (sp500_model("logistic") / "model.onnx").read_bytes()
    with running_server(tmp_path) as server:
        assert server.request("GET", "/model/info").json()["name"] == "logistic"


def test_the_pipelines_model_challenges_the_champion(uri: str, tmp_path: Path) -> None:
    """The last step of the pipeline for Kubeflow, by its SDK's local runner."""
    script = ROOT / "deploy" / "kubeflow" / "pipeline.py"
    bars = ("--source=synthetic", "--days=2500", "--model-type=logistic", "--least-gain=-1")
    registry = ("--tracking-uri", uri, "--registered", "piped", "--margin=-0.1")  # a little worse would do
    command = [sys.executable, str(script), "run", str(tmp_path), *bars, *registry]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = tmp_path.iterdir()
    output = json.loads((made / "promote" / "executor_output.json").read_text())
    assert output["parameterValues"]["Output"] is True
    (verdict,) = output["artifacts"]["verdict"]["artifacts"]
    model = ask(uri, "registered-models/get?name=piped")["registered_model"]
    named = [(entry["alias"], entry["version"]) for entry in model["aliases"]]
    assert named == [("champion", verdict["metadata"]["version"])]
    assert verdict["metadata"]["sha256"] == read_sealed(made / "export" / "exported" / "model.onnx")[1]
    assert verdict["metadata"]["reason"].startswith("log_loss ")
