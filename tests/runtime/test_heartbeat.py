"""A worker ends itself when its event loop does not turn, and not while it does."""

import subprocess
import sys

_BEGINNING = """
import asyncio, threading
from runtime.heartbeat import Heartbeat

async def live():
    heartbeat = Heartbeat(1.6, asyncio.get_running_loop())
"""
_END = """
asyncio.run(live())
"""


def run(body: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _BEGINNING + body + _END]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_loop_that_hangs_ends_the_process_and_says_where() -> None:
    ended = run("    threading.Event().wait(30)\n    print('it went on')\n")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the event loop has hung for 1.6 s; this worker ends" in ended.stderr
    assert "in live" in ended.stderr


def test_a_loop_that_turns_and_one_that_need_not_any_more_go_on() -> None:
    turns = "    await asyncio.wait_for(asyncio.Event().wait(), 2.4)\n"  # longer than it may hang
    caught = "    try:\n    " + turns + "    except TimeoutError:\n        pass\n"
    ended = run(caught + "    heartbeat.stop()\n    threading.Event().wait(2.4)\n    print('it went on')\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "it went on\n", "")
