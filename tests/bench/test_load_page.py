"""The page on load shows commands that are understood, and says what the code holds to."""

import re
import shlex
from pathlib import Path

import pytest

from bench import gate, load_report, open_loop, slo, verification
from runtime import command_line

PAGE = (Path(__file__).parents[2] / "docs" / "load.md").read_text()
COMMANDS = re.findall(r"^tickline (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_understood(command: str) -> None:
    options = command_line.parse(shlex.split(command))
    assert options.run.__module__ == "bench.commands"


def test_its_figures_are_those_of_the_code() -> None:
    assert len(COMMANDS) >= 10
    assert f"more than {open_loop.BUSY:.0%} of the time".replace("%", " %") in PAGE
    assert open_loop.LIMIT == 0.2  # a fifth
    assert f"`--tolerance` ({verification.TOLERANCE:.0e}".replace("e-0", "e-") in PAGE
    assert f"beyond the tolerance ({gate.TOLERANCE:.0%})".replace("%", " %") in PAGE
    assert gate.FOREIGN_TOLERANCE == 1.0  # twice as long
    for name in slo._LATENCIES:
        assert f"`{name}`" in PAGE


def test_times_have_three_digits_and_a_unit() -> None:
    found = [load_report.seconds(value) for value in (1.234e-6, 12.34e-6, 123.4e-6, 0.0012345, 0.9994, 0.9996, 12.34)]
    assert found == ["1.23 us", "12.3 us", "123 us", "1.23 ms", "999 ms", "1.00 s", "12.3 s"]
