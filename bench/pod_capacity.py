"""What one pod can do at its limits: ``python -m bench.pod_capacity [--cpus C] [--memory M] [--results FILE]``.

A real server with one worker runs in a control group with the limits of the Deployment. First wrk finds in a closed
loop how many requests a second it answers at most. Then an open loop asks for shares of that, until 99 % of the
requests are answered within the service level objective: that is the rate of a pod. The autoscaler aims at two thirds
of it or less, because load arrives unevenly, and because a new pod takes some seconds.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import machine, open_loop
from bench.arguments import count
from bench.contenders import ours
from bench.control_group import ControlGroup, bounded
from bench.other_work import OtherWork
from bench.outputs import output_file, write_output
from bench.servers import CLIENT_CORE, MeasureError, Server, started
from bench.wire_inputs import FOREST, LOGISTIC, Inputs, make_inputs
from bench.wrk import Wrk

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1)
"""Shares of the closed loop's rate that are tried in the open loop."""

TARGET_SHARE = 0.65
"""What the autoscaler aims at, of the rate at which a pod still meets the objective."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One open loop.

    Attributes
    ----------
    rate : float
        Requests due a second.
    p50, p99 : float
        Seconds in which half and 99 % of them were answered.
    periods, stopped : int
        Periods of the quota in which the server ran, and those of them in which it used it up.
    client_is_limit : bool
        Whether the client's own delays are a good part of the seconds.
    """

    rate: float
    p50: float
    p99: float
    periods: int
    stopped: int
    client_is_limit: bool

    def __str__(self) -> str:
        unsure = "; the client is the limit" if self.client_is_limit else ""
        return (
            f"open loop: {self.rate:,.0f} requests/s: p50 {self.p50 * 1e3:.2f} ms, p99 {self.p99 * 1e3:.2f} ms, "
            f"stopped in {self.stopped} of {self.periods} periods{unsure}"
        )


def target(rate: float) -> int:
    """Return the autoscaler's target for a pod that does a rate, rounded down to two digits."""
    aimed = int(rate * TARGET_SHARE)
    unit: int = 10 ** max(0, len(str(aimed)) - 2)
    return aimed // unit * unit


def measure(
    kind: str, cpus: float, mebibytes: int, seconds: int, objective: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure a model; `tell` gets a line of each finding at once.

    Returns
    -------
    dict
        Seconds until ready, the closed loop's rate and processor time, all trials, mebibytes, and the target.

    Raises
    ------
    MeasureError
        Where something is missing or fails, or no rate meets the objective.
    """
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder, bounded(cpus, mebibytes) as group:
        inputs = make_inputs(kind, Path(folder))
        contender = ours(inputs.model)
        contender = replace(contender, command=group.wrap(list(contender.command)))
        os.sched_setaffinity(0, {CLIENT_CORE})
        try:
            with started(contender) as server:
                wrk = Wrk(Path(folder), inputs.bodies)
                load = wrk.run(server, seconds)
                tell(f"ready after {server.ready_seconds:.1f} s")
                tell(f"closed loop: {load.rate:,.0f} requests/s, CPU a request {load.cpu * 1e6:.1f} us")
                trials = []
                for share in SHARES:
                    trials.append(_try(server, group, inputs, share * load.rate, seconds))
                    tell(str(trials[-1]))
                    if trials[-1].p99 <= objective:
                        break
                else:
                    raise MeasureError(f"99 % were not answered within {objective * 1e3:g} ms at any rate")
                rate, memory = trials[-1].rate, server.resident_mebibytes()
                tell(f"resident memory: {memory:.0f} MiB")
                tell(f"within {objective * 1e3:g} ms: {rate:,.0f} requests/s")
                tell(f"target of the autoscaler: {target(rate)} requests/s")
                return {
                    "model": kind,
                    "cpus": cpus,
                    "memory_limit": mebibytes,
                    "objective": objective,
                    "ready": server.ready_seconds,
                    "closed_loop": asdict(load),
                    "trials": [asdict(trial) for trial in trials],
                    "rate": rate,
                    "memory": memory,
                    "target": target(rate),
                }
        finally:
            os.sched_setaffinity(0, cores)


def _try(server: Server, group: ControlGroup, inputs: Inputs, rate: float, seconds: int) -> Trial:
    """Load a server in an open loop."""
    before = group.throttling()
    outcome = open_loop.load(server.port, inputs.bodies, rate, seconds)
    periods, stopped = (now - then for now, then in zip(group.throttling(), before, strict=True))
    return Trial(rate, outcome.percentile(50), outcome.percentile(99), periods, stopped, outcome.client_is_limit)


def main(arguments: list[str]) -> int:
    """Print what one pod can do."""
    parser = argparse.ArgumentParser(prog="python -m bench.pod_capacity", description="Measure one pod at its limits.")
    parser.add_argument("--model", choices=(FOREST, LOGISTIC), default=FOREST, help="what it serves (default: forest)")
    parser.add_argument("--cpus", type=float, default=0.5, help="processors' worth of time (default: 0.5)")
    parser.add_argument("--memory", type=count, default=512, help="mebibytes (default: 512)")
    parser.add_argument("--seconds", type=count, default=5, help="length of one load (default: 5)")
    parser.add_argument("--results", type=output_file, help="write the figures there as JSON (bench/results/pod.json)")
    parser.add_argument("--objective", type=float, default=10.0, help="milliseconds for 99 %% (default: 10)")
    options = parser.parse_args(arguments)

    def tell(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    tell(f"{options.cpus:g} CPUs, {options.memory} MiB, {options.model}, load {os.getloadavg()[0]:.1f}")
    made = machine.describe(" ".join(["python -m bench.pod_capacity", *arguments]))
    others = OtherWork()
    try:
        found = measure(options.model, options.cpus, options.memory, options.seconds, options.objective / 1e3, tell)
    except MeasureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.results:
        document = {"made": made, "other_work": round(others.share(), 3), **found}
        write_output(options.results, json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
