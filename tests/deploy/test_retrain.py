"""The command of the training image, as a process; tests/system/test_compose.py has it in its container."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "deploy" / "train" / "retrain.py"


def retrain(models: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "MODEL_PATH": str(models)}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], env=environ, capture_output=True, text=True, check=False
    )


def test_a_model_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"old")
    done = retrain(tmp_path, "--source", "synthetic", "--days", "600", "--model", "logistic")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert retrain(tmp_path, "--unless-served").returncode == 0


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = retrain(tmp_path / "file" / "models")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/file/models/model.onnx: cannot be written: Not a directory\n"
