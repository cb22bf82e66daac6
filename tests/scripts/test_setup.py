"""The scripts that make the environment: what they refuse, and that `make` does the same by them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "setup.sh"
STEPS = ("environment", "kernels", "model")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script alone, and one for the commands that it finds."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "path").mkdir()
    for command in ("sh", "dirname", "uname", "touch"):
        (tmp_path / "path" / command).symlink_to(shutil.which(command) or command)
    return tmp_path


def setup(checkout: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the script with the commands of the checkout alone."""
    command = [str(checkout / "scripts" / "setup.sh"), *arguments]
    variables = {"PATH": str(checkout / "path"), **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def command(checkout: Path, name: str, text: str) -> None:
    """Add a command to those that the script finds."""
    path = checkout / "path" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_no_python_is_one_clear_line(checkout: Path) -> None:
    done = setup(checkout, "environment")
    assert done.returncode == 1
    assert done.stderr.startswith("setup: expected Python 3.11, 3.12 or 3.13 as python3.11, python3.12")
    assert done.stderr.count("\n") == 1


def test_a_python_that_does_not_fit_is_named(checkout: Path) -> None:
    command(checkout, "python3.10", "exit 1")
    done = setup(checkout, "environment", PYTHON="python3.10")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("setup: expected Python 3.11, 3.12 or 3.13 as python3.10, found none")


def test_a_python_without_venv_is_named(checkout: Path) -> None:
    command(checkout, "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = setup(checkout)
    assert done.returncode == 1
    assert done.stderr == "setup: python3 lacks venv: install it (Debian: apt-get install python3-venv)\n"


def test_another_step_is_refused(checkout: Path) -> None:
    done = setup(checkout, "kernel")
    assert done.returncode == 1
    assert done.stderr == "setup: expected environment, kernels, model or nothing, got kernel\n"


def test_windows_is_told_of_its_own_script(checkout: Path) -> None:
    (checkout / "path" / "uname").unlink()
    command(checkout, "uname", "echo MINGW64_NT-10.0")
    done = setup(checkout)
    assert done.returncode == 1
    assert "scripts/setup.ps1" in done.stderr


def test_without_a_compiler_it_says_what_that_costs(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    done = setup(checkout, "kernels")
    assert done.returncode == 0
    assert done.stdout.startswith("no C compiler (cc)")
    assert (checkout / ".venv" / "kernels").exists()


def test_a_model_that_is_there_stays(checkout: Path) -> None:
    (checkout / "models").mkdir()
    (checkout / "models" / "model.onnx").write_bytes(b"mine")
    assert setup(checkout, "model").stdout == "model: models/model.onnx is there\n"


def test_a_step_that_fails_ends_it(checkout: Path) -> None:
    command(checkout, "cc", "")
    done = setup(checkout, "kernels")  # there is no .venv
    assert done.returncode != 0
    assert not (checkout / ".venv").exists()


def test_make_does_the_same_by_the_same_script() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "serve"],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"scripts/setup\.sh (\w+)", done.stdout) == list(STEPS)
    assert "PYTHON=python3.11 scripts/setup.sh environment" in done.stdout


def test_the_script_for_windows_takes_the_same_steps() -> None:
    (taken,) = re.findall(r"\[ValidateSet\((.*?)\)\]", SCRIPT.with_suffix(".ps1").read_text())
    assert tuple(re.findall(r"'(\w+)'", taken)) == STEPS
