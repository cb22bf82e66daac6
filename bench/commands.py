"""The commands `tickline load` and `tickline bench`."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from bench.arguments import count, number

if TYPE_CHECKING:
    from bench.slo import Objective

# What measures is imported where a command runs, so that `--help` answers at once.

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_FACTORS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}
_BASELINE = Path(__file__).parent / "results" / "baseline.json"
_MOST_REQUESTS = 100_000_000  # of a step
_MOST_ROWS = 2_000_000  # of all bodies together
_MOST_SLOW = 100.0  # times


def add_load(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline load`."""
    parser.description = (
        "Load a running server with different rows, check every reply, and report latencies. Requests are due at a\n"
        "rate of their own (open loop); a latency counts from when its request was due. Exit status 0 when the load\n"
        "passed, 1 when a reply was wrong, an objective was missed or the server could not be reached to the end,\n"
        "2 for bad usage. A server that asks for a token gets that of $PREDICT_TOKEN, which no report shows."
    )
    parser.epilog = (
        "examples:\n"
        "  tickline load http://localhost:5000 --rate 2000 --duration 10 --slo p99=5ms\n"
        "  tickline load http://localhost:5000 --rate 1000,5000 --model-path models/\n"
        "  tickline load http://localhost:5000 --closed --connections 64\n"
        "  tickline load http://localhost:5000 --sweep --report report/"
    )
    parser.add_argument("url", type=_url, metavar="URL", help="the server, http://HOST:PORT; a path names the route")
    loop = parser.add_argument_group("loop")
    loop.add_argument("--rate", type=_rates, metavar="N[,N...]", help="requests a second, one step each")
    loop.add_argument("--sweep", action="store_true", help="find the capacity, then step up to it")
    loop.add_argument("--closed", action="store_true", help="closed loop: what it can do, not how long one waits")
    loop.add_argument(
        "--arrivals", choices=("poisson", "constant"), default="poisson", help="when requests are due (%(default)s)"
    )
    loop.add_argument("--duration", type=_seconds, default=10.0, metavar="S", help="seconds of a step (10)")
    loop.add_argument("--warm-up", type=_seconds, default=1.0, metavar="S", help="seconds before each step (1)")
    loop.add_argument("--connections", type=count, default=32, metavar="N", help="kept open (%(default)s)")
    loop.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="without any reply (10)")
    loop.add_argument("--sleep", action="store_true", help="leave the core to others while nothing is due")
    rows = parser.add_argument_group("rows")
    rows.add_argument("--data", type=Path, metavar="FILE", help="rows: .csv, .npy, .npz or .jsonl; else made up")
    rows.add_argument("--rows", type=count, default=0, metavar="N", help="send batches of N rows")
    rows.add_argument("--format", choices=("json", "npy"), default="json", help="of batches (%(default)s)")
    rows.add_argument("--bodies", type=count, default=1000, metavar="N", help="different bodies (%(default)s)")
    rows.add_argument("--seed", type=number, default=0, metavar="N", help="of rows and arrivals (%(default)s)")
    check = parser.add_argument_group("checks")
    check.add_argument("--model-path", type=Path, metavar="PATH", help="probabilities must be those of this model file")
    check.add_argument("--tolerance", type=_share, default=1e-5, metavar="X", help="of a probability (%(default)s)")
    check.add_argument(
        "--slo",
        type=_objective,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="p99=1ms, max=50ms, errors=0, errors=0.1%%, rate=99%%; may be repeated",
    )
    check.add_argument("--pid", type=count, default=0, metavar="PID", help="count a local server's processor time")
    report = parser.add_argument_group("report")
    report.add_argument("--json", action="store_true", help="print the report as JSON")
    report.add_argument("--report", type=Path, metavar="DIR", help="write the report there, with pictures")
    parser.set_defaults(run=_load, refuse=parser.error)


def _load(options: argparse.Namespace) -> int:
    _check_load(options, options.refuse)
    from bench import machine
    from bench.load import Load, Plan
    from bench.load_report import judge, render_text, write_report
    from bench.outputs import expect_output
    from features_fast.atomic_file import check_folder

    if options.report:
        expect_output(options.report, check_folder)
    plan = Plan(
        url=options.url,
        rates=options.rate or (),
        closed=options.closed,
        sweep=options.sweep,
        duration=options.duration,
        warm_up=options.warm_up,
        connections=options.connections,
        poisson=options.arrivals == "poisson",
        rows=options.rows,
        npy=options.format == "npy",
        data=options.data,
        model=options.model_path,
        bodies=options.bodies,
        seed=options.seed,
        tolerance=options.tolerance,
        pid=options.pid,
        timeout=options.timeout,
        sleeps=options.sleep,
        token=_token(options.refuse),
    )
    made = machine.describe(machine.own_command())
    steps = Load(plan, shown=sys.stderr.isatty()).measure()
    verdict = judge(steps, options.slo, plan.sweep)
    report = {
        "made": made,
        "target": {
            "url": f"{plan.url.scheme}://{plan.url.netloc}",
            "route": plan.route,
            "rows": plan.rows,
            "bodies": plan.bodies,
            "model": str(plan.model) if plan.model else None,
        },
        "steps": steps,
        "verdict": verdict,
    }
    if options.report:
        write_report(options.report, report)
    print(json.dumps(report) if options.json else render_text(report))
    return 0 if verdict["passed"] else 1


def _token(refuse: Callable[[str], object]) -> str:
    """Return the token for predictions; it has no flag, because reports show the command."""
    token = os.environ.get("PREDICT_TOKEN", "")
    if not re.fullmatch("[!-~]*", token):
        refuse("PREDICT_TOKEN: expected printable ASCII without blanks")
    return token


def _check_load(options: argparse.Namespace, refuse: Callable[[str], object]) -> None:
    """Refuse combinations that mean nothing, as the parser refuses single values."""
    if not (options.rate or options.sweep or options.closed):
        refuse("expected --rate, --sweep or --closed")
    if options.rate and options.sweep:
        refuse("--sweep finds its rates itself: leave out --rate")
    if options.format == "npy" and not options.rows:
        refuse("--format npy needs --rows")
    if options.pid and not Path(f"/proc/{options.pid}").exists():
        refuse(f"--pid: no process {options.pid}")
    if options.duration <= 0:
        refuse("--duration: expected more than no time")
    if max(options.rate or (0,)) * options.duration > _MOST_REQUESTS:
        refuse(f"expected at most {_MOST_REQUESTS:,} requests a step")
    if options.rate and min(options.rate) * options.duration < 1:
        refuse(f"--rate {min(options.rate):g}: expected at least one request within --duration {options.duration:g}")
    rows = options.bodies * max(1, options.rows)
    if rows > _MOST_ROWS:
        refuse(f"--bodies, --rows: expected at most {_MOST_ROWS:,} rows in all bodies together, got {rows:,}")


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline bench`."""
    parser.description = (
        "Measure work inside one process beside yardsticks that do the same (TA-Lib, onnxruntime, json, a plain ASGI\n"
        "application), and compare the ratios with a baseline. Exit status of check: 0 where nothing is slower,\n"
        "1 where work has regressed, 3 where there is no evidence: too much noise, or the baseline of another machine."
    )
    parser.epilog = (
        "examples:\n"
        "  tickline bench run                print the ratios\n"
        "  tickline bench run --save FILE    make a baseline for this machine\n"
        "  tickline bench check --short      compare in less than a minute\n"
        "  tickline bench report             write pages and pictures of bench/results\n"
        "  tickline bench check --slow 'predictor, logistic, compiled=1.2'\n"
        "                                    see the gate catch a slowdown"
    )
    parser.add_argument(
        "action",
        choices=("run", "check", "report"),
        help="print the ratios, compare them with a baseline, or write the documents of bench/results",
    )
    parser.add_argument("--short", action="store_true", help="fewer processes and rounds, and no batches")
    parser.add_argument("--processes", type=count, metavar="N", help="that measure, one after the other (12; short: 6)")
    parser.add_argument("--rounds", type=count, metavar="N", help="in each process (10; short: 8)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="work; may be repeated")
    parser.add_argument(
        "--slow",
        action="append",
        default=[],
        type=_slow,
        metavar="NAME=FACTOR",
        help="make work slower on purpose, to see what check says",
    )
    parser.add_argument(
        "--baseline", type=Path, default=_BASELINE, metavar="FILE", help="(bench/results/baseline.json)"
    )
    parser.add_argument("--tolerance", type=_share, metavar="X", help="share that is no regression (0.1)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the ratios as a baseline")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    if options.action == "report":
        return _report()
    from bench import gate, gate_baseline, machine
    from bench.suites import GATED, SMOKE

    if options.save:
        gate_baseline.check(options.save)
    begin = time.perf_counter()

    def progress(what: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - begin:4.0f} s  {what}\n")

    def measure(only: Sequence[str]) -> gate_baseline.Ratios:
        processes, rounds, parts = (6, 8, SMOKE) if options.short else (12, 10, GATED)
        return gate.measure(
            options.processes or processes,
            options.rounds or rounds,
            parts,
            only or options.only,
            dict(options.slow),
            progress,
        )

    made = machine.describe(machine.own_command())
    if options.action == "run":
        now = measure([])
        changes, words = gate.compare_all({}, now, 0.0), ""
    else:
        baseline = gate_baseline.load(options.baseline, made["identity"])
        foreign = baseline.foreign(made)
        usual = gate.FOREIGN_TOLERANCE if foreign else gate.TOLERANCE
        tolerance = usual if options.tolerance is None else options.tolerance
        changes, now = gate.check(baseline.ratios, measure, tolerance, foreign)
        words = f"\n\n{gate.summary(changes, baseline, made, options.baseline)}"
    if options.save:
        gate_baseline.save(options.save, gate_baseline.Baseline(made, now))
    if options.json:
        rows = [{**asdict(change), "verdict": change.verdict} for change in changes]
        print(json.dumps({"made": made, "ratios": now, "changes": rows}))
    else:
        print(gate.render(changes) + words)
    verdicts = {change.verdict for change in changes}
    return 1 if gate.REGRESSED in verdicts else 3 if gate.UNCLEAR in verdicts else 0


def _report() -> int:
    from bench.report import write

    changed = write()
    print("\n".join(map(str, changed)) or "nothing has changed")
    return 0


def _slow(text: str) -> tuple[str, float]:
    name, _, factor = text.rpartition("=")
    try:
        value = float(factor)
    except ValueError:
        value = 0.0
    if not (name and 1.0 <= value <= _MOST_SLOW):
        raise argparse.ArgumentTypeError(f"expected NAME=FACTOR, a factor from 1 to {_MOST_SLOW:g}, got {text!r}")
    return name, value


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        plain = text.isascii() and text.isprintable() and " " not in text and "@" not in url.netloc
        if plain and url.scheme == "http" and url.hostname and url.port != 0:
            url.hostname.encode("idna")
            return url
    except ValueError:  # of a bracket that is not closed, a port that is no number, or a host that can be no name
        pass
    raise argparse.ArgumentTypeError(f"expected http://HOST:PORT, got {text!r}")


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = (0.0,)
    if not all(0.0 < rate < 1e7 for rate in rates):
        raise argparse.ArgumentTypeError(f"expected requests a second, such as 1000 or 1000,2000, got {text!r}")
    return rates


def _seconds(text: str) -> float:
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected seconds, such as 10, 500ms or 2m, got {text!r}")
    return float(match[1]) * _FACTORS[match[2]]


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:  # nothing is beyond a tolerance that is no number
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def _objective(text: str) -> "Objective":
    from bench.slo import parse_objective

    try:
        return parse_objective(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
