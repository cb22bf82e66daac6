"""docs/command-line.md: its commands run, its table is complete, its exit statuses are what processes end with."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tickline
from runtime import command_line

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "command-line.md").read_text()


def test_its_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    commands = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 8
    for command in commands:
        assert tickline.main(shlex.split(command)[1:]) == 0, command


def test_its_table_has_every_command_and_says_which_print_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (yes|) ?\|$", PAGE, re.MULTILINE))
    assert list(rows) == list(command_line.COMMANDS)
    for name, json in rows.items():
        with pytest.raises(SystemExit):
            tickline.main([name, "--help"])
        assert ("--json" in capsys.readouterr().out.partition("examples:")[0]) == (json == "yes"), name


def status(*arguments: str) -> int:
    """Return how a process of the command ends."""
    return subprocess.run([sys.executable, "-m", "tickline", *arguments], cwd=ROOT, capture_output=True).returncode


def test_processes_end_with_its_statuses(tmp_path: Path) -> None:
    found = {
        0: status("data", "--days", "60", "--output", str(tmp_path / "bars.csv")),
        1: status("verify", str(tmp_path)),
        2: status("predict", "--no-such-flag"),
        130: stopped_by(signal.SIGINT, tmp_path / "first"),
        143: stopped_by(signal.SIGTERM, tmp_path / "second"),
    }
    assert list(found) == list(found.values())
    rows_that_cannot_be_scored = 3  # the tests of `tickline score` end with it
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert listed == {*found, rows_that_cannot_be_scored}


def stopped_by(number: int, fifo: Path) -> int:
    """Return how a command ends that gets a signal while it reads its input."""
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "tickline", "predict", str(fifo)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        with fifo.open("w"):  # which returns when the command has opened it
            process.send_signal(number)
        # Closed: a signal that came just before the command waits for input is seen when that ends.
        assert process.communicate(timeout=60)[1] == ""
    return process.returncode
