"""What several packages' tests share: models trained, exported and verified on the real S&P 500 series."""

import io
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import tickline

SHOWN = "shown"
"""Property of a test under which it records a line for the end of the run."""


def pytest_configure() -> None:
    """Heed Ctrl-C, and have all heed it that tests start: a shell makes what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the lines that tests have recorded for it, in whatever process they ran."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == SHOWN:
                terminalreporter.write_line(str(line))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port of loopback that refuses connections: it is taken, so that nobody else listens on it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def sp500_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the model directory of a model type, made by the commands of the README, once a session each."""
    made: dict[str, Path] = {}

    def make(model_type: str) -> Path:
        if model_type not in made:
            folder = tmp_path_factory.mktemp(model_type)
            where = ["--model-path", str(folder)]
            said = io.StringIO()  # apart from what the test says that happens to be the first one to ask
            with redirect_stdout(said), redirect_stderr(said):
                for command in (["train", "--source", "sp500", "--model", model_type], ["export"], ["verify"]):
                    assert tickline.main([*command, *where]) == 0, said.getvalue()
            made[model_type] = folder
        return made[model_type]

    return make
