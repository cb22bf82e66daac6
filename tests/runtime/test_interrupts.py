"""Ctrl-C and SIGTERM end every command in order, also amid an import, and as a process of many workers starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.interrupts import INTERRUPTED, ending_in_order
from tests.serving import DEADLINE_SECONDS

INTERRUPTING = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
INTERRUPTING_FIRST_WORKER = """
import os, signal, sys
from pathlib import Path
from typing import Any

if "--multiprocessing-fork" in sys.orig_argv:
    try:
        Path(__file__).with_name("interrupted").touch(exist_ok=False)
    except FileExistsError:
        pass
    else:
        os.killpg(0, signal.SIGINT)
"""
"""What a terminal does at Ctrl-C: the whole group gets the signal, here when the first worker has just begun."""


@pytest.fixture
def unhandled() -> Iterator[None]:
    """Have nobody handle the signals: an application that another test ran in this process may have begun to."""
    defaults: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a group of its own that finds modules in a folder first."""
    return subprocess.run(
        [sys.executable, "-m", "tickline", *arguments],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        start_new_session=True,
    )


@pytest.mark.parametrize("library", ["numpy", "onnxruntime"])
def test_a_command_that_is_interrupted_amid_an_import_ends_without_a_word(library: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text(INTERRUPTING)
    ended = run("verify", str(tmp_path), path=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "", "")


def test_workers_that_start_leave_it_to_their_supervisor(forest_path: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING_FIRST_WORKER)
    where = ("--host", "127.0.0.1", "--port", "0")
    ended = run("serve", *where, "--workers", "2", "--model-path", str(forest_path), path=tmp_path)
    assert (tmp_path / "interrupted").exists()
    assert "Received SIGINT, exiting." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0


@pytest.mark.usefixtures("unhandled")
@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=["SIGINT", "SIGTERM"]
)
def test_what_a_library_makes_of_the_end_is_the_end_still(number: int, ending: type[BaseException]) -> None:
    def load_a_library() -> None:
        try:
            signal.raise_signal(number)
        except ending:
            raise ImportError("initialization failed") from None

    before = signal.getsignal(number)
    with pytest.raises(ending), ending_in_order():
        load_a_library()
    assert signal.getsignal(number) is before
    with pytest.raises(ImportError, match="no such library"), ending_in_order():
        raise ImportError("no such library")


def test_a_program_that_calls_a_command_goes_on_to_handle_signals_itself() -> None:
    came = []
    before = {number: signal.signal(number, lambda *_: came.append(1)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ending_in_order():
            for number in before:
                signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert len(came) == 2
