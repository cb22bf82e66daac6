"""The completion that shells do, asked of bash itself."""

import shlex
import subprocess
import sys

import pytest

import tickline
from runtime import command_line


@pytest.fixture(scope="module")
def script() -> str:
    """What `eval "$(tickline completion bash)"` runs."""
    return subprocess.run(
        [sys.executable, "-m", "tickline", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout


def complete(script: str, line: str) -> set[str]:
    """Return what bash offers at the end of a line."""
    words = line.split(" ")
    program = (
        f"{script}\nCOMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}\n"
        '_tickline; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    shown = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert shown.stderr == ""
    return set(shown.stdout.split())


def test_commands_are_completed(script: str) -> None:
    assert complete(script, "tickline ") == {*command_line.COMMANDS, "--help", "--version"}
    assert complete(script, "tickline ex") == {"export", "explain"}


def test_flags_and_their_values_are_completed(script: str) -> None:
    assert complete(script, "tickline train --model-") == {"--model-path", "--model-version"}
    assert complete(script, "tickline train --model ") == {"random_forest", "gradient_boosting", "logistic"}
    assert complete(script, "tickline load --format n") == {"npy"}
    assert complete(script, "tickline score --format ") == {"parquet", "csv"}
    assert complete(script, "tickline serve --port ") == set()
    assert complete(script, "tickline serve --engine ") == {"auto", "compiled", "onnxruntime"}
    assert complete(script, "tickline serve --log-level W") == {"WARNING"}
    assert complete(script, "tickline train --model =") == {"random_forest", "gradient_boosting", "logistic"}
    assert complete(script, "tickline train --model = l") == {"logistic"}
    assert complete(script, "tickline bench ch") == {"check"}


def test_files_are_completed_where_they_are_taken(script: str) -> None:
    assert {"etc", "usr"} <= complete(script, "tickline predict ")
    assert "etc" in complete(script, "tickline train --data e")
    assert "--data" not in complete(script, "tickline train --data ")
    assert complete(script, "tickline predict --u") == {"--url"}


def test_every_flag_of_every_command_is_known(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in command_line.COMMANDS:
        with pytest.raises(SystemExit):
            tickline.main([name, "--help"])
        listed = {word.strip(",[]") for word in capsys.readouterr().out.split() if word.strip("[").startswith("--")}
        flags = {flag for flag in listed if flag.strip("-").replace("-", "").isalnum()}
        offered = complete(script, f"tickline {name} --")
        assert offered, name
        assert offered <= {*flags, "-h"}, name
