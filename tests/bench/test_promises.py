"""The page of promises: that of SECURITY.md and the results beside it, none of them failed."""

import json

import pytest

from bench import promises
from bench.promises import PAGE, RESULTS, count, find_test, render
from bench.servers import MeasureError

REPORT = """<testsuites><testsuite>
<testcase name="test_a[1]"/><testcase name="test_a[2]"><failure/></testcase>
<testcase name="test_b"><skipped/></testcase><testcase name="test_c"><error/></testcase><testcase name="test_d"/>
</testsuite></testsuites>"""


def test_the_page_is_that_of_the_promises_and_results() -> None:
    assert PAGE.read_text() == render(json.loads(RESULTS.read_text())), "run python -m bench.promises --missing"


def test_no_promise_was_broken() -> None:
    tests = json.loads(RESULTS.read_text())["tests"]
    assert not {name for name, cases in tests.items() if cases["failed"]}


def test_cases_are_counted() -> None:
    assert count(REPORT) == {
        "test_a": {"passed": 1, "failed": 1, "skipped": 0},
        "test_b": {"passed": 0, "failed": 0, "skipped": 1},
        "test_c": {"passed": 0, "failed": 1, "skipped": 0},
        "test_d": {"passed": 1, "failed": 0, "skipped": 0},
    }


def test_what_failed_or_was_not_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    results = json.loads(RESULTS.read_text())
    results["tests"] = count(REPORT)
    monkeypatch.setattr(promises, "promises", lambda: [(f"{name}.", "", f"test_{name}") for name in "abcde"])
    monkeypatch.setattr(promises, "find_test", lambda name: f"tests/{name}.py")
    lines = [line.split(" | ")[-1] for line in render(results).splitlines() if line.startswith("| ") and ". |" in line]
    assert lines == ["**1 failed**, 1 passed |", "**not run** |", "**failed** |", "1 passed |", "**not run** |"]
    assert "1 of 5 promises were proven" in render(results)


def test_a_test_has_to_be_there_once() -> None:
    assert find_test("test_cases_are_counted").name == "test_promises.py"
    with pytest.raises(MeasureError, match="expected one test of this name, got 0"):
        find_test("test_of_a_promise_that_nobody_wrote")
