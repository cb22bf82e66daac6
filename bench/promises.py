"""Promises, their proofs and the latest figures: ``python -m bench.promises`` writes docs/promises.md.

SECURITY.md says what is promised and which test proves it. This runs those tests and keeps how they ended; overload and
soak have commands of their own, whose latest figures are taken from their results.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench import machine, overload, soak
from bench.overload import BATCH, SINGLE
from bench.servers import MeasureError, clean_environ

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "SECURITY.md"
RESULTS = ROOT / "bench" / "results" / "promises.json"
PAGE = ROOT / "docs" / "promises.md"

_ROW = re.compile(r"^\| (.+?) \| (.*?)\| `(test_\w+)` \|$", re.M)

_TEXT = """# What is promised, what proves it, and what was found

Made by `{command}` on {made}.{added}

[SECURITY.md](../SECURITY.md) has the promises. The command runs the test of each, and tells how many of its cases
passed. {summary}

| promise | test | cases |
|---|---|---|
{rows}

## Under load

{overload}

{soak}
"""


def promises() -> list[tuple[str, str, str]]:
    """Return each promise of SECURITY.md, the settings that it names, and the test that proves it."""
    return _ROW.findall(SOURCE.read_text())


def find_test(name: str) -> Path:
    """Return the file of a test, from the root of the project."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if f"\ndef {name}(" in path.read_text()]
    if len(files) != 1:
        raise MeasureError(f"{name}: expected one test of this name, got {len(files)}")
    return files[0].relative_to(ROOT)


def measure(known: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run all tests, or those alone that results do not have yet; return machine and date, and what became of each.

    Results keep their machine and date: what is added to them has its own beside it.

    Raises
    ------
    MeasureError
        Where a test is not there, or pytest could not run.
    """
    made = machine.describe("python -m bench.promises")
    tests = known["tests"] if known else {}
    names = [name for name in dict.fromkeys(test for _, _, test in promises()) if name not in tests]
    if known and not names:
        return known
    places = [f"{find_test(name)}::{name}" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *places, "-m", "system or not system", f"--junit-xml={report}"]
        done = subprocess.run(command, env=clean_environ(), cwd=ROOT, stdout=sys.stderr, check=False)
        if not report.exists():
            raise MeasureError(f"pytest ended with {done.returncode}")
        found = count(report.read_text())
    if known is None:
        return {"made": made, "tests": found}
    added = [*known.get("added", ()), {"made": made, "tests": sorted(found)}]
    return {**known, "tests": {**tests, **found}, "added": added}


def count(report: str) -> dict[str, dict[str, int]]:
    """Return how many cases of each test passed, failed and were skipped, of pytest's JUnit report."""
    found: dict[str, dict[str, int]] = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = case.get("name", "").partition("[")[0]
        ended = {child.tag for child in case}
        result = "failed" if ended & {"failure", "error"} else "skipped" if "skipped" in ended else "passed"
        cases = found.setdefault(name, {"passed": 0, "failed": 0, "skipped": 0})
        cases[result] += 1
    return found


def render(results: dict[str, Any]) -> str:
    """Return the page."""
    made, tests = results["made"], results["tests"]
    known = promises()
    outcomes = [_outcome(tests.get(test)) for *_, test in known]
    kept = sum(not outcome.startswith("**") for outcome in outcomes)
    cases = sum(tests[test]["passed"] for test in {test for *_, test in known} & set(tests))
    rows = [
        f"| {promise} | [`{test}`](../{find_test(test)}) | {outcome} |"
        for (promise, _, test), outcome in zip(known, outcomes, strict=True)
    ]
    return _TEXT.format(
        command=made["command"],
        made=_stamp(made),
        added=_of_added(results),
        summary=f"{kept} of {len(known)} promises were proven, by {cases:,} cases; what was not run yet is named.",
        rows="\n".join(rows),
        overload=_of_overload(json.loads(overload.RESULTS.read_text())),
        soak=_of_soak(json.loads(soak.RESULTS.read_text())),
    )


def _stamp(made: dict[str, Any]) -> str:
    """Return the day, the machine and the versions."""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    machine = f"{made['processor']}, {made['cores']} cores, {made['system']}, Python {made['python']}"
    return f"{made['date'][:10]}: {machine}. {versions}"


def _of_added(results: dict[str, Any]) -> str:
    """Return what was run on other days, on other machines or with other versions than the rest."""
    counts: dict[str, int] = {}
    for part in results.get("added", ()):
        counts[_stamp(part["made"])] = counts.get(_stamp(part["made"]), 0) + len(part["tests"])
    counts.pop(_stamp(results["made"]), None)
    return "".join(f"\n`--missing` added {number} of the tests on {stamp}." for stamp, number in counts.items())


def _outcome(cases: dict[str, int] | None) -> str:
    if not cases or not cases["passed"]:
        return "**not run**" if not cases or not cases["failed"] else "**failed**"
    if cases["failed"]:
        return f"**{cases['failed']} failed**, {cases['passed']} passed"
    return f"{cases['passed']} passed" + (f", {cases['skipped']} skipped" if cases["skipped"] else "")


def _of_overload(found: dict[str, Any]) -> str:
    at, beyond = found["steps"]
    ratio = {kind: beyond[kind]["p99"] / at[kind]["p99"] for kind in (SINGLE, BATCH)}
    faults = sum(sum(step["faults"].values()) for step in found["steps"])
    kept = [held for _, _, held in overload.verdicts(found)]
    return (
        f"**Overload** (`{found['made']['command']}`, [page](overload.md)): three times the capacity of "
        f"{found['capacity']:,.0f} requests/s for {found['seconds']:g} s, {beyond['requests']:,} requests; "
        f"{beyond[BATCH]['refused']:,} batches and {beyond[SINGLE]['refused']} single predictions refused; p99 of what "
        f"was accepted {ratio[BATCH]:.2f} times (batches) and {ratio[SINGLE]:.2f} times (single predictions) that at "
        f"capacity; replies wrong or lost: {faults}. {sum(kept)} of {len(kept)} promises of that page were kept."
    )


def _of_soak(found: dict[str, Any]) -> str:
    return (
        f"**Soak** (`{found['made']['command']}`): {found['requests']:,} requests in {found['seconds']:,.0f} s, "
        f"{found['bad_inputs']:,} of them bad input; {found['reloads']} reloads, {found['killed']} workers killed and "
        f"{found['replaced']} replaced; {sum(found['sent_again'].values())} requests sent again; replies wrong: "
        f"{found['wrong']}, requests lost: {found['lost']}."
    )


def main(arguments: list[str]) -> int:
    """Write the results and the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.promises", description="Run the proof of every promise.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--missing", action="store_true", help="run the tests of which there is no result yet")
    which.add_argument("--render", action="store_true", help="write the page from results that are there")
    options = parser.parse_args(arguments)
    if not options.render:
        try:
            results = measure(json.loads(RESULTS.read_text()) if options.missing else None)
        except MeasureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(render(json.loads(RESULTS.read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
