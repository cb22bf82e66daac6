"""The setup scripts on a bare machine, and as their linters and grammars read them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.artifact import read_sealed
from tests.system.containers import BASE, ROOT, TOOLS, docker, run

pytestmark = pytest.mark.system

SHELL_SCRIPTS = ("scripts/setup.sh", "tests/system/install", ".ci/run")

PARSE = """
import sys, tree_sitter, tree_sitter_powershell
parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
nodes = [parser.parse(sys.stdin.buffer.read()).root_node]
while nodes:
    node = nodes.pop()
    if node.is_error or node.is_missing:
        print(node.start_point.row + 1, node.text.decode())
    nodes.extend(node.children)
"""
"""Prints every place where the grammar of PowerShell finds no sense."""


def tracked(folder: Path) -> None:
    """Copy the files that git knows, as a fresh clone has them."""
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def powershell_errors(source: bytes) -> str:
    """Return what PowerShell's grammar does not take, with the number of its line."""
    done = subprocess.run([TOOLS / "python", "-c", PARSE], input=source, capture_output=True, check=True)
    return done.stdout.decode()


def test_the_shell_scripts_have_no_lint() -> None:
    not_here = "SC1091"  # a file that is sourced is there at run time only
    assert run(TOOLS / "shellcheck", "--exclude", not_here, *SHELL_SCRIPTS) == ""


def test_the_script_for_windows_parses() -> None:
    source = (ROOT / "scripts" / "setup.ps1").read_bytes()
    assert powershell_errors(source) == ""
    assert powershell_errors(source.replace(b"param(", b"param((", 1)) != ""


def test_a_bare_machine_gets_an_environment(tmp_path: Path) -> None:
    """In a container with Python alone; the packages are those that serve, so that it does not take minutes."""
    tracked(tmp_path)
    serve, build = ((ROOT / "requirements" / name).read_text() for name in ("serve.txt", "build.txt"))
    (tmp_path / "requirements" / "dev.txt").write_text(serve + build[build.index("setuptools==") :])
    mount = f"type=bind,source={tmp_path},target=/checkout"
    steps = "cd / && /checkout/scripts/setup.sh environment && /checkout/scripts/setup.sh kernels"
    seen = "/checkout/.venv/bin/tickline --version && rm -r /checkout/.venv"  # root's, on this machine too
    said = docker("run", "--rm", "--network", "host", "--mount", mount, BASE, "sh", "-c", f"{steps} && {seen}")
    assert "environment: .venv with Python 3.11" in said
    assert "no C compiler (cc)" in said
    assert said.splitlines()[-1].startswith("tickline 0.")


def test_a_checkout_without_a_model_gets_one(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    run(tmp_path / "scripts" / "setup.sh", "model")
    assert read_sealed(tmp_path / "models" / "model.onnx")
