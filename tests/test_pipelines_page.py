"""docs/pipelines.md shows what its commands print."""

import re
import shlex
from pathlib import Path

import pytest

import tickline

PAGE = (Path(__file__).parents[1] / "docs" / "pipelines.md").read_text()


def test_the_walk_forward_evaluation_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    found = re.search(r"```console\n(tickline train [^\n]*--walk-forward)\n```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert found
    command, shown = found.groups()
    assert tickline.main(shlex.split(command)[1:]) == 0
    assert shown in capsys.readouterr().out
