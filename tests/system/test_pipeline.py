"""The training pipeline, run whole by Kubeflow's own SDK, in processes of this environment."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.model import load_model
from tests.system.containers import ROOT

pytestmark = pytest.mark.system

SCRIPT = ROOT / "deploy" / "kubeflow" / "pipeline.py"
FEW = ("--source", "synthetic", "--days", "1200", "--model-type", "logistic")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The outputs of a run that asks for no skill, and of one that asks for more than there can be."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("exported", "refused")}

    def run(name: str, least: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(SCRIPT), "run", str(folders[name]), *FEW, f"--least-gain={least}"]
        return subprocess.run([*command, "--version=7.1"], capture_output=True, text=True, check=False)

    with ThreadPoolExecutor() as pool:
        ended = dict(zip(folders, pool.map(run, folders, ("-1", "0.9")), strict=True))
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
    assert 0 <= certificate["metadata"]["max_probability_difference"] < 1e-5
    assert certificate["metadata"]["label_flips"] == 0


def test_a_model_without_the_skill_that_was_asked_for_is_not_exported(runs: dict[str, Path]) -> None:
    folder = runs["refused"]
    assert {path.name for path in folder.iterdir()} == {"data", "features", "train", "evaluate"}


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
