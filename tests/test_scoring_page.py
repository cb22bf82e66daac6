"""docs/scoring.md stays true: its commands run, say what it shows, and leave what it lists."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import tickline
from runtime.scoring import job, plan, reading, scored

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "scoring.md").read_text()


def test_its_commands_say_what_it_shows(
    sp500_model: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "models").symlink_to(sp500_model("random_forest"))
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"```bash\n(tickline data.*?)```", PAGE, re.DOTALL)[0].splitlines()
    capsys.readouterr()
    for command in commands:
        assert tickline.main(shlex.split(command)[1:]) == 0
    shown = re.findall(r"```text\n(scored.*?)```", PAGE, re.DOTALL)[0]
    without = re.compile(r"took .*|[0-9,]+ bytes")
    assert without.sub("", capsys.readouterr().out.partition("\n")[2]) == without.sub("", shown)
    assert "| in `OUT_DIR` | |" in PAGE
    for path in (tmp_path / "scores").iterdir():
        assert f"`{path.name}" in PAGE
    for column in pd.read_parquet(tmp_path / "scores" / "scores").columns:
        assert f"`{re.sub('_(DOWN|UP)', '_LABEL', column)}`" in PAGE


def test_its_numbers_are_those_of_the_code() -> None:
    for number in (plan.PART_ROWS, scored.BUFFER_ROWS, reading.BLOCK_ROWS):
        assert f"{number:,}" in PAGE
    assert f"{plan.CSV_BYTES >> 20} MB of CSV" in PAGE
    assert ", ".join(f"`{name}`" for name in job.ERROR_HEADER) in PAGE


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
