"""The page of promises: that of SECURITY.md and the results beside it, none of them failed."""

import json
import subprocess
from pathlib import Path

import pytest

from bench import promises
from bench.promises import PAGE, RESULTS, count, find_test, render
from bench.servers import MeasureError

REPORT = """<testsuites><testsuite>
<testcase name="test_a[1]"/><testcase name="test_a[2]"><failure/></testcase>
<testcase name="test_b"><skipped/></testcase><testcase name="test_c"><error/></testcase><testcase name="test_d"/>
</testsuite></testsuites>"""


def write_report(command: list[str], **_: object) -> None:
    """Stand in for pytest, which would run the tests of a promise for some seconds."""
    Path(command[-1].partition("=")[2]).write_text(REPORT)


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


def test_what_is_added_later_leaves_the_date_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    old = json.loads(RESULTS.read_text())
    old.pop("added", None)
    old["made"]["date"] = "2020-02-29T12:00:00Z"
    del old["tests"]["test_a_token_for_predictions_is_none_for_reloads"]
    monkeypatch.setattr(subprocess, "run", write_report)
    new = promises.measure(old)
    assert new["made"] == old["made"]
    assert new["tests"] == old["tests"] | count(REPORT)
    assert [part["tests"] for part in new["added"]] == [sorted(count(REPORT))]
    page = render({**new, "added": [*new["added"], {"made": old["made"], "tests": ["test_of_that_day"]}]})
    assert "Made by `python -m bench.promises` on 2020-02-29: " in page
    assert f"`--missing` added 4 of the tests on {new['added'][0]['made']['date'][:10]}: " in page
    assert page.count("--missing") == 1  # of the day of the rest nothing more is told


def test_nothing_missing_leaves_the_results_as_they_are() -> None:
    results = json.loads(RESULTS.read_text())
    results["tests"] = {test: {"passed": 1, "failed": 0, "skipped": 0} for *_, test in promises.promises()}
    assert promises.measure(results) == results


def test_a_test_has_to_be_there_once() -> None:
    assert find_test("test_cases_are_counted").name == "test_promises.py"
    with pytest.raises(MeasureError, match="expected one test of this name, got 0"):
        find_test("test_of_a_promise_that_nobody_wrote")
