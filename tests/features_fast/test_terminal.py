"""Tables, colours and progress, in a pipe and in a real terminal."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from features_fast.terminal import Progress, paint, render_table

ROOT = Path(__file__).parents[2]
ESCAPES = re.compile(r"\x1b\[[0-9;]*[mK]")

WORK = """
import threading
from features_fast.terminal import Progress, paint, render_table
print(render_table(["name", "count"], [["a", "1"], ["long name", "12"]], title="things", colours=["", "red"]))
pause = threading.Event()
with Progress() as progress:
    progress.begin("half done", 4)
    progress.advance(2)
    pause.wait(0.35)  # long enough for the line to be drawn again
print(paint("done", "green"))
"""


def in_a_terminal(program: str, **environ: str) -> str:
    """Run a program whose standard streams are a terminal, and return what it showed."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=follower,
        stderr=follower,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environ},
    ) as process:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 4096):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(leader)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_pipe_gets_words_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = render_table(["name", "count"], [["a", "1"], ["long name", "12"]], title="things", colours=["", "red"])
    assert text == "things\nname       count\n---------  -----\na              1\nlong name     12"
    assert paint("x", "green") == "x"
    with Progress() as progress:
        progress.begin("first", 3)
        progress.advance(3)
        progress.begin("second")
    assert re.fullmatch(r" +\d+\.\d\d s  first\n +\d+\.\d\d s  second\n", capsys.readouterr().err)


def test_a_stage_that_fails_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with Progress() as progress:
            progress.begin("first")
            progress.begin("second")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["first"]


def test_a_terminal_shows_the_same_words_with_colours_and_a_line_that_moves() -> None:
    shown = in_a_terminal(WORK)
    assert "\x1b[31mlong name     12\x1b[0m" in shown
    assert "half done  [############............] 2 of 4" in shown
    table = ESCAPES.sub("", shown).partition("\r")[0]
    assert table == "things\nname       count\n---------  -----\na              1\nlong name     12\n"
    assert shown.endswith("\x1b[32mdone\x1b[0m\n")
    last = shown.split("\x1b[2K")[-1]
    assert re.match(r" +\d+\.\d\d s  half done\n", last)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_turned_off(environ: dict[str, str]) -> None:
    assert "\x1b[3" not in in_a_terminal(WORK, **environ)
