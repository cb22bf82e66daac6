"""SECURITY.md promises nothing that no test proves, and names settings that exist."""

import re
from pathlib import Path

from runtime.settings import SETTINGS

ROOT = Path(__file__).parent.parent


def test_every_promise_names_a_test_that_exists_and_settings_that_exist() -> None:
    rows = re.findall(
        r"^\| (?!promise)([^|-].*) \| (.*) \| `(test_\w+)` \|$", ROOT.joinpath("SECURITY.md").read_text(), re.M
    )
    tests = "".join(file.read_text() for file in ROOT.joinpath("tests").rglob("test_*.py"))
    assert len(rows) > 10
    known = {setting.variable for setting in SETTINGS} | {"X-Request-Deadline-Ms"}
    for _, settings, test in rows:
        assert f"\ndef {test}(" in tests
        assert set(re.findall(r"`([^`]*)`", settings)) <= known
