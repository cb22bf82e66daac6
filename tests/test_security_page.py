"""SECURITY.md promises nothing that no test proves, and names settings that exist."""

import re
from pathlib import Path

from bench.promises import find_test, promises
from runtime.settings import SETTINGS

PAGE = Path(__file__).parent.parent / "SECURITY.md"


def test_every_row_of_the_table_is_a_promise() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) - 1 == len(promises()) > 30


def test_every_promise_names_a_test_that_exists_and_settings_that_exist() -> None:
    known = {setting.variable for setting in SETTINGS} | {"X-Request-Deadline-Ms"}
    for _, settings, test in promises():
        assert find_test(test)
        assert set(re.findall(r"`([^`]*)`", settings)) <= known
