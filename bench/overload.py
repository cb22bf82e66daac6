"""Three times what a server can do: ``python -m bench.overload [--render] [--seconds S]`` writes docs/overload.md.

A server with one worker on one core gets batches and single predictions from another core. A closed loop finds how many
of them it can answer a second. Then an open loop offers as many, and three times as many of both: requests are due at
random times of their own, whatever has become of those before, and a latency counts from when its request was due.
Every reply is checked against the model file, and every refusal for its `Retry-After`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.closed_loop import saturate
from bench.connections import Reply, Sockets, post
from bench.contenders import ours
from bench.engine_time import on_core
from bench.load_report import seconds as shown
from bench.open_loop import Outcome, no_collection, poisson, run
from bench.payloads import json_body, npy_body
from bench.reference import Reference
from bench.servers import CLIENT_CORE, MeasureError, Server, started
from bench.verification import Checker, Inbox
from bench.wire_inputs import FOREST, make_inputs

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "overload.json"
PAGE = ROOT / "docs" / "overload.md"

SINGLE, BATCH = KINDS = ("/predict", "/predict/batch")
SINGLES_A_BATCH = 2
BATCH_ROWS = 1_000
TIMES = (1, 3)
"""Offered load, as multiples of the capacity."""
ALLOWED = 2.0
"""How many times as long the 99th percentile of what is accepted may be beyond the capacity as at it."""

POD_MEBIBYTES = 512

_SINGLES, _BATCHES = 500, 50  # different ones
_ORDER = 10_000  # requests, after which the mixture begins anew
_CAPACITY_CONNECTIONS, _CONNECTIONS = 32, 1_200
_CAPACITY_SECONDS, _WARM_UP_SECONDS = 6.0, 2.0
_WINDOWS = 6
_NPY = "application/x-npy"
RETRY_AFTER = b"\r\nretry-after: "


class Mixture:
    """Batches and single predictions in random order, with what the model file answers to each.

    Parameters
    ----------
    model : Path
        Folder with the model file.
    rows : ndarray
        Rows to choose from, float32 (n, features).
    share : float
        Share of the requests that are batches.
    """

    def __init__(self, model: Path, rows: NDArray[np.float32], share: float) -> None:
        self._reference, random = Reference(model), np.random.default_rng(0)
        known = {
            BATCH: [self._batch(rows[random.integers(0, len(rows), BATCH_ROWS)]) for _ in range(_BATCHES)],
            SINGLE: [self._single(row) for row in rows[random.integers(0, len(rows), _SINGLES)]],
        }
        self.kinds = [BATCH if chance < share else SINGLE for chance in random.random(_ORDER)]
        chosen = [known[kind][random.integers(len(known[kind]))] for kind in self.kinds]
        self.requests = [request for request, _ in chosen]
        self._checks = [check for _, check in chosen]
        self.seconds = max(check.seconds for check in self._checks)

    def _batch(self, rows: NDArray[np.float32]) -> tuple[bytes, Checker]:
        expected = self._reference.predict(rows)[None]
        check = Checker(self._reference.described.labels, len(rows), batch=True, binary=True, expected=expected)
        return post(BATCH, npy_body(rows), kind=_NPY, accept=_NPY), check

    def _single(self, row: NDArray[np.float32]) -> tuple[bytes, Checker]:
        check = Checker(self._reference.described.labels, expected=self._reference.predict(row[None])[None])
        return post(SINGLE, json_body(row)), check

    def fault(self, number: int, reply: Reply) -> tuple[str, str]:
        """Return what is wrong with a reply, as `Checker` does; a refusal that says when to try again is right."""
        if reply.status == 503 and RETRY_AFTER in reply.head.lower():
            return "", ""
        return self._checks[number % len(self._checks)].fault(0, reply)


class Ledger:
    """Takes the replies of a load: when each came, to what, and whether it was a refusal.

    Parameters
    ----------
    mixture : Mixture
        What is sent, and checks replies.
    """

    def __init__(self, mixture: Mixture) -> None:
        self._kinds = mixture.kinds
        self.inbox = Inbox(mixture)
        self.latencies: dict[tuple[str, bool], list[tuple[int, float]]] = {}

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        """Keep a reply."""
        key = self._kinds[number % len(self._kinds)], reply.status == 503
        self.latencies.setdefault(key, []).append((number, latency))
        self.inbox.take(number, reply)

    def idle(self, spare: float) -> bool:
        """Check a reply."""
        return self.inbox.idle(spare)


def describe(ledger: Ledger, outcome: Outcome, multiple: float) -> dict[str, Any]:
    """Return the figures of a load."""
    ledger.inbox.close()
    found: dict[str, Any] = {
        "multiple": multiple,
        "offered": outcome.rate,
        "requests": len(outcome.latencies),
        "seconds": outcome.seconds,
        "faults": dict(ledger.inbox.faults),
        "examples": ledger.inbox.examples,
        "client_busy": round(outcome.busy, 3),
        "client_delay_p99": float(np.percentile(outcome.delays, 99)),
    }
    for kind in KINDS:
        accepted = sorted(ledger.latencies.get((kind, False), []))
        refused = [latency for _, latency in ledger.latencies.get((kind, True), [])]
        times = np.array([latency for _, latency in accepted] or [0.0])
        found[kind] = {
            "accepted": len(accepted),
            "refused": len(refused),
            "accepted_a_second": len(accepted) / outcome.seconds,
            "p50": float(np.percentile(times, 50)),
            "p99": float(np.percentile(times, 99)),
            "p99_by_time": [float(np.percentile(part, 99)) for part in np.array_split(times, _WINDOWS) if len(part)],
            "refusal_p50": float(np.percentile(refused, 50)) if refused else None,
            "refusal_p99": float(np.percentile(refused, 99)) if refused else None,
        }
    return found


def load(server: Server, mixture: Mixture, rate: float, seconds: float, multiple: float) -> dict[str, Any]:
    """Send a mixture in an open loop, and return the figures."""
    ledger, transport = Ledger(mixture), Sockets("127.0.0.1", server.port, _CONNECTIONS)
    try:
        with no_collection():
            count = round(rate * seconds)
            outcome = run(transport, mixture.requests, rate, count, arrivals=poisson(rate), watcher=ledger)
    finally:
        transport.close()
    return describe(ledger, outcome, multiple)


def find_capacity(server: Server, mixture: Mixture, seconds: float) -> float:
    """Return the requests a second that a closed loop is answered; raises MeasureError where any has a fault."""
    ledger, transport = Ledger(mixture), Sockets("127.0.0.1", server.port, _CAPACITY_CONNECTIONS)
    try:
        with no_collection():
            outcome = saturate(transport, mixture.requests, seconds, watcher=ledger)
    finally:
        transport.close()
    ledger.inbox.close()
    refused = sum(len(times) for (_, refusal), times in ledger.latencies.items() if refusal)
    if refused or ledger.inbox.errors:
        raise MeasureError(f"a closed loop was refused {refused} times, {ledger.inbox.examples or 'without faults'}")
    return outcome.rate


def measure(seconds: float) -> dict[str, Any]:
    """Return machine and figures; raises MeasureError."""
    made = machine.describe(f"python -m bench.overload --seconds {seconds:g}")
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(FOREST, Path(folder))
        with started(ours(inputs.model)) as server, on_core(CLIENT_CORE):
            mixture = Mixture(inputs.model, inputs.batch_rows, 1 / (1 + SINGLES_A_BATCH))
            find_capacity(server, mixture, _WARM_UP_SECONDS)
            capacity = find_capacity(server, mixture, _CAPACITY_SECONDS)
            steps = []
            for multiple in TIMES:
                steps.append(load(server, mixture, multiple * capacity, seconds, multiple))
                steps[-1]["peak_mebibytes"] = server.peak_mebibytes()
                server.settle()
    return {"made": made, "seconds": seconds, "capacity": capacity, "steps": steps}


_TEXT = """# Three times what the server can do

Made by `{command}` on {date}: {processor}, {cores} cores, {system}, Python {python}; load of the machine when it began:
{load}. {versions}.

A server with one worker is pinned to one core, its client to another one. Of every {kinds} requests one is a batch of
{rows:,} rows (`.npy` both ways, a forest of 100 trees), the others are single predictions. A closed loop of
{connections} connections was answered {capacity:,.0f} requests/s: the capacity. Then an open loop offered as many, and
three times as many, for {seconds:g} s each, over up to {most:,} connections. Requests are due at random times, whatever
has become of those before, and a latency counts from when its request was due. Every reply was checked against the
model file, every refusal for its `Retry-After`. The client was busy for {busy} of the time, and sent 99 of 100 requests
within {delays} of when it could; that delay counts as the server's.

| offered | route | answered | refused | p50 | p99 | a refusal, p50 | p99 |
|---|---|---|---|---|---|---|---|
{table}

| promise | found | |
|---|---|---|
{verdicts}

99th percentile of accepted batches in each sixth of the time, where a growing queue would be seen: {growth}.

A batch is refused where it would wait for its turn for longer than half of `MAX_QUEUED_MS` (here the default), at the
pace of the last turns. Its body is read all the same and dropped, so that its client comes to read the refusal and goes
on over the same connection; so the more batches are offered, the fewer are answered. Single predictions are never
refused by the fast lane, because to refuse one would cost as much as to answer it: what bounds them is how many
connections there are, each of which waits for its reply.
"""


def verdicts(results: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Return each promise, what was found, and whether it was kept."""
    at, beyond = results["steps"]
    ratios = {kind: beyond[kind]["p99"] / at[kind]["p99"] for kind in KINDS}
    batch, single = beyond[BATCH], beyond[SINGLE]
    growth = batch["p99_by_time"][-1] / batch["p99_by_time"][0]
    peak = max(step["peak_mebibytes"] for step in results["steps"])
    faults = sum(sum(step["faults"].values()) for step in results["steps"])
    replies = sum(step["requests"] for step in results["steps"])
    return [
        *(
            (
                f"p99 of accepted `{kind}` at most {ALLOWED:g} times that at capacity",
                f"{ratio:.2f} times",
                ratio <= ALLOWED,
            )
            for kind, ratio in ratios.items()
        ),
        (
            "batches are refused before single predictions",
            f"{batch['refused']:,} batches, {single['refused']:,} single predictions",
            batch["refused"] > 0 and single["refused"] == 0,
        ),
        (
            "a refusal comes at once: its p99 is below that of a batch that is accepted",
            f"{shown(batch['refusal_p99'])} against {shown(batch['p99'])}",
            batch["refusal_p99"] < batch["p99"],
        ),
        ("no queue grows: the last sixth waits as long as the first", f"{growth:.2f} times", growth <= ALLOWED),
        (f"resident memory stays within a pod's {POD_MEBIBYTES} MiB", f"{peak:.0f} MiB at most", peak < POD_MEBIBYTES),
        ("no reply is wrong, none is lost, no refusal lacks `Retry-After`", f"{faults} of {replies:,}", faults == 0),
    ]


def render(results: dict[str, Any]) -> str:
    """Return the document."""
    made = results["made"]
    rows = [_row(step, kind) for step in results["steps"] for kind in KINDS]
    kept = [
        f"| {promise} | {found} | {'kept' if held else '**not kept**'} |" for promise, found, held in verdicts(results)
    ]
    return _TEXT.format(
        **{
            **made,
            "date": made["date"][:10],
            "versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        },
        kinds=1 + SINGLES_A_BATCH,
        rows=BATCH_ROWS,
        connections=_CAPACITY_CONNECTIONS,
        most=_CONNECTIONS,
        capacity=results["capacity"],
        seconds=results["seconds"],
        table="\n".join(rows),
        verdicts="\n".join(kept),
        busy=" and ".join(f"{step['client_busy']:.0%}" for step in results["steps"]),
        delays=" and ".join(shown(step["client_delay_p99"]) for step in results["steps"]),
        growth="; ".join(
            f"{step['multiple']}x: {', '.join(shown(value) for value in step[BATCH]['p99_by_time'])}"
            for step in results["steps"]
        ),
    )


def _row(step: dict[str, Any], kind: str) -> str:
    found = step[kind]
    total = found["accepted"] + found["refused"]
    refusals = [shown(found[name]) if found[name] is not None else "-" for name in ("refusal_p50", "refusal_p99")]
    cells = (
        f"{step['multiple']}x, {total / step['seconds']:,.0f}/s",
        f"`{kind}`",
        f"{found['accepted_a_second']:,.0f}/s",
        f"{found['refused'] / total:.0%}",
        shown(found["p50"]),
        shown(found["p99"]),
        *refusals,
    )
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> int:
    """Write the results and the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description="Measure a server under overload.")
    parser.add_argument("--render", action="store_true", help="write the page from results that are there")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each load (default: 60)")
    options = parser.parse_args(arguments)
    if not options.render:
        try:
            results = measure(options.seconds)
        except MeasureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(render(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
