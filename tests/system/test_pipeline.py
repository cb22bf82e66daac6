"""The training pipeline, run whole by Kubeflow's own SDK, in containers of the training image and in processes here."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.model import load_model
from tests.system.containers import HARDENED, ROOT, docker

pytestmark = pytest.mark.system

SCRIPT = ROOT / "deploy" / "kubeflow" / "pipeline.py"
IMAGE = "tickline-train:test"
FEW = ("--source", "synthetic", "--days", "1200", "--model-type", "logistic")


@pytest.fixture(scope="module")
def training_image() -> str:
    """The training image of this checkout."""
    docker("build", "--network", "host", "--file", "deploy/train/Dockerfile", "--tag", IMAGE, str(ROOT))
    return IMAGE


@pytest.fixture(scope="module")
def runs(training_image: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The outputs of a run in the image that asks for no skill, and of one here that asks for more than can be."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("exported", "refused")}
    environ = {**os.environ, "TICKLINE_TRAINING_IMAGE": training_image}

    def run(name: str, options: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(SCRIPT), "run", str(folders[name]), *FEW, *options, "--version=7.1"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)

    with ThreadPoolExecutor() as pool:
        options = (("--in-image", "--least-gain=-1"), ("--least-gain=0.9",))
        ended = dict(zip(folders, pool.map(run, folders, options), strict=True))
    for name, done in ended.items():
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    return {name: next(folder.iterdir()) for name, folder in folders.items()}


def test_each_step_leaves_what_it_makes(runs: dict[str, Path]) -> None:
    folder = runs["exported"]
    assert {path.name for path in folder.iterdir()} == {"data", "features", "train", "evaluate", "export", "verify"}
    model = load_model(folder / "export" / "exported" / "model.onnx", 1)
    assert (model.card.name, model.card.version) == ("logistic", "7.1")
    assert json.loads((folder / "evaluate" / "model" / "metadata.json").read_text())["data"]["bars"] == 1200
    said = json.loads((folder / "verify" / "executor_output.json").read_text())
    (certificate,) = said["artifacts"]["certificate"]["artifacts"]
    assert certificate["metadata"]["sha256"] == model.predictor.sha256
    assert certificate["metadata"]["engine"] == model.predictor.engine.name == "compiled"
    assert 0 <= certificate["metadata"]["max_probability_difference"] < 1e-5
    assert certificate["metadata"]["label_flips"] == 0


def test_the_image_compiles_nothing_and_could_not(training_image: str) -> None:
    code = "import shutil; from features_fast import backend; from runtime.codec import BACKEND; "
    code += "print(backend(), BACKEND, shutil.which('cc'), shutil.which('gcc'), sep='\\n')"
    said = docker("run", "--rm", *HARDENED, "--entrypoint", "python", training_image, "-c", code).splitlines()
    assert [line.partition(",")[0] for line in said] == ["ahead of time", "ahead of time", "None", "None"]


def test_a_model_without_the_skill_that_was_asked_for_is_not_exported(runs: dict[str, Path]) -> None:
    folder = runs["refused"]
    assert {path.name for path in folder.iterdir()} == {"data", "features", "train", "evaluate"}


def test_an_image_that_is_not_here_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "run", str(tmp_path), "--in-image"]
    environ = {**os.environ, "TICKLINE_TRAINING_IMAGE": "tickline-train:nowhere"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(r"pipeline\.py: tickline-train:nowhere: cannot be run by Docker here: .*No such image", line)


def test_the_same_bars_give_the_same_model_as_the_command(runs: dict[str, Path], tmp_path: Path) -> None:
    """`tickline train` does in one step what the pipeline does in four."""
    tickline = Path(sys.executable).parent / "tickline"
    command = [str(tickline), "train", *FEW[:-2], "--model", "logistic", "--model-path", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    here, there = (
        json.loads((folder / "metadata.json").read_text())
        for folder in (tmp_path, runs["exported"] / "evaluate" / "model")
    )
    for what in ("metrics", "baselines", "skill", "split"):
        assert there[what] == here[what]
    assert there["data"]["sha256"] == here["data"]["sha256"]


def test_a_step_that_fails_is_named_in_the_last_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "run", str(tmp_path), "--source", "nothing.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"^pipeline\.py: .* Inner task failed: \S*'data'", done.stderr.splitlines()[-1])
    assert "No such file or directory: 'nothing.csv'" in done.stdout + done.stderr
