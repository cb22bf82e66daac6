"""The README stays true: its commands run, and its reply is what the server says."""

import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import tickline
from runtime import command_line
from tests.bars import lists
from tests.foreign_files import yahoo
from tests.serving import RunningServer, running_server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
YAHOO = yahoo(pd.DataFrame(lists(0, 60), columns=["Date", "Open", "High", "Low", "Close", "Volume"]))
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def commands(kind: str) -> list[str]:
    """Return the shell commands that begin with a word, continued lines joined, comments cut."""
    lines = "\n".join(text for language, text in BLOCKS if language == "bash")
    found = re.findall(rf"^{re.escape(kind)}.*?(?=^\S|\Z)", lines, re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+# .*", "", command).strip() for command in found]


@pytest.fixture(scope="module")
def server(sp500_model: Callable[[str], Path]) -> Iterator[RunningServer]:
    """What `make serve` serves."""
    with running_server(sp500_model("random_forest")) as running:
        yield running


def curl(server: RunningServer, command: str) -> bytes:
    """Run a curl command of the README against the test's server."""
    command = command.replace("http://localhost:5000", f"http://127.0.0.1:{server.port}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.csv").write_text(YAHOO)
        asked = [*shlex.split(command), "--fail-with-body"]
        return subprocess.run(asked, check=True, capture_output=True, cwd=folder).stdout


def test_it_begins_with_the_two_commands() -> None:
    first = [line.split()[:2] for line in BLOCKS[0][1].splitlines()]
    assert first == [["make", "serve"], ["make", "test"]]
    for target in ("serve", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_its_reply_is_the_servers(server: RunningServer) -> None:
    (predict,) = [command for command in commands("curl") if "/predict " in command]
    (shown,) = [json.loads(text) for language, text in BLOCKS if language == "json"]
    answered = json.loads(curl(server, predict))
    assert list(answered) == list(shown)
    assert {**answered, "timestamp": ""} == {**shown, "timestamp": ""}


def test_every_other_curl_works(server: RunningServer) -> None:
    others = [command for command in commands("curl") if "/predict " not in command]
    assert len(others) == 5
    for command in others:
        assert curl(server, command)


def test_its_tickline_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands(".venv/bin/tickline")
    assert [command.split()[1] for command in found] == ["data", "train", "export", "verify", "predict", "score"]
    for command in found:
        assert tickline.main(shlex.split(command)[1:]) == 0, command


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_command_has_help_with_an_example_that_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in command_line.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            tickline.main([name, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert f"tickline {name}" in shown.partition("example")[2]
        assert max(map(len, shown.splitlines())) <= 80, name


def test_it_is_one_screen_and_a_half() -> None:
    assert len(README.splitlines()) <= 85
