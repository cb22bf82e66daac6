"""The benchmarks' own distributions as a table: ``python -m bench.suite_table [--render]`` writes docs/benchmarks.md.

pytest-benchmark keeps every round; p50, p95 and p99 are those of the rounds themselves, not of a fit to them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.collect import OURS
from bench.load_report import seconds
from bench.servers import MeasureError, clean_environ

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "suites.json"
TABLE = ROOT / "docs" / "benchmarks.md"
SUITES = ("test_predictor.py", "test_codec.py", "test_lane.py", "test_batches.py", "test_startup.py")

_SHOWN = (50, 95, 99)
_FEW = 100
_OPTIONS = ("--benchmark-only", "--benchmark-quiet", "--benchmark-max-time=0.2", "--quiet")

_BUSY_LOAD = 0.7
"""Load of the machine, before anything was measured, that is more than a shell and an editor."""
_BUSY = """

**Other work ran on the machine**: times are longer than on a quiet one, and ratios of long calls say little, because
the two sides were not measured at the same time."""

_TEXT = """# The parts of the server, measured inside one process

Made by `{command}` on {date}: {processor}, {cores} cores, {system}, Python {python}; load of the machine when it began:
{load}. {versions}.

Nothing here goes over a network. Each call brings other data: 500 rows in turn, so that neither caches nor branches
know the next one. Ours and what it is compared with were measured in one run, one after the other; "ratio" is the
yardstick's median over ours. Percentiles are those of the rounds themselves; a round is one call, or as many as the
clock needs to see them. With fewer than {few} rounds there is no p99. What other processes did meanwhile is in the
high percentiles; [the server on the wire](serving-benchmark.md) is measured apart.{busy}

| work | by | p50 | p95 | p99 | ratio | rounds |
|---|---|---|---|---|---|---|
{rows}
"""


def measure(options: Sequence[str] = _OPTIONS) -> dict[str, Any]:
    """Run the suites, and return machine and percentiles; raises MeasureError."""
    made = machine.describe("python -m bench.suite_table")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rounds.json"
        suites = [str(ROOT / "bench" / suite) for suite in SUITES]
        command = [sys.executable, "-m", "pytest", *suites, *options, f"--benchmark-json={output}"]
        done = subprocess.run(command, capture_output=True, text=True, env=clean_environ(), cwd=ROOT)
        if done.returncode:
            raise MeasureError(f"the suites failed:\n{done.stdout[-2000:]}")
        return {"made": made, "work": summarize(json.loads(output.read_text()))}


def summarize(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the percentiles in seconds of what pytest-benchmark wrote, by work and side."""
    found: dict[str, dict[str, Any]] = {}
    for one in document["benchmarks"]:
        rounds = one["stats"]["data"]
        values = {f"p{percent}": float(f"{np.percentile(rounds, percent):.4g}") for percent in _SHOWN}
        found.setdefault(one["group"], {})[one["extra_info"]["side"]] = {**values, "rounds": len(rounds)}
    return found


def render(results: dict[str, Any]) -> str:
    """Return the document."""
    made = results["made"]
    rows = [
        _row(work, side, found, sides[OURS]) for work, sides in results["work"].items() for side, found in sides.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    facts = {**made, "date": made["date"][:10], "versions": versions}
    busy = _BUSY if made["load"] > _BUSY_LOAD else ""
    return _TEXT.format(**facts, few=_FEW, busy=busy, rows="\n".join(rows))


def _row(work: str, side: str, found: dict[str, Any], ours: dict[str, Any]) -> str:
    p99 = seconds(found["p99"]) if found["rounds"] >= _FEW else "-"
    own = side == OURS
    cells = (
        f"**{work}**" if own else "",
        side,
        seconds(found["p50"]),
        seconds(found["p95"]),
        p99,
        "" if own else _ratio(found["p50"] / ours["p50"]),
        f"{found['rounds']:,}",
    )
    return f"| {' | '.join(cells)} |"


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments: list[str]) -> int:
    """Write the results and the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.suite_table", description="Measure the parts of the server.")
    parser.add_argument("--render", action="store_true", help="write the table from results that are there")
    if not parser.parse_args(arguments).render:
        try:
            results = measure()
        except MeasureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    TABLE.write_text(render(json.loads(RESULTS.read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
