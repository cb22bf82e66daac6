"""Completion in the shells that Debian brings: zsh and fish."""

import sys
from pathlib import Path

import pytest

from tests.system.containers import run

pytestmark = pytest.mark.system


def made_for(shell: str, folder: Path) -> Path:
    """Return the file with the script for a shell."""
    path = folder / f"completion.{shell}"
    path.write_text(run(sys.executable, "-m", "tickline", "completion", shell) + "\n")
    return path


def test_fish_completes(tmp_path: Path) -> None:
    script = made_for("fish", tmp_path)

    def offered(line: str) -> set[str]:
        shown = run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
        return {entry.partition("\t")[0] for entry in shown.splitlines()}

    assert offered("tickline ex") == {"explain", "export"}
    assert offered("tickline train --model ") == {"random_forest", "gradient_boosting", "logistic"}
    assert offered("tickline serve --engine ") == {"auto", "compiled", "onnxruntime"}
    assert offered("tickline serve --log-level=W") == {"--log-level=WARNING"}
    assert {"--json", "--url", "--all"} <= offered("tickline predict --")
    assert "README.md" in offered("tickline predict READ")


def test_zsh_completes(tmp_path: Path) -> None:
    script = made_for("zsh", tmp_path)

    def offered(*words: str) -> set[str]:
        # What zsh's bashcompinit does before it calls such a function.
        program = (
            f"source {script}; ask() {{ emulate -L sh; setopt kshglob noshglob braceexpand ksharrays; "
            f"COMP_WORDS=({' '.join(words)} ''); COMP_CWORD={len(words)}; _tickline; "
            "print -l -- ${COMPREPLY[@]} }; ask"
        )
        return set(run("zsh", "-f", "-c", program).split())

    assert {"explain", "export"} <= offered("tickline")
    assert offered("tickline", "train", "--model") == {"random_forest", "gradient_boosting", "logistic"}
    assert offered("tickline", "score", "--format") == {"parquet", "csv"}
    assert {"--json", "--label"} <= offered("tickline", "explain")
