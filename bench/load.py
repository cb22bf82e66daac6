"""A load on a server, step by step: warmed up, measured, every reply checked."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

import numpy as np
from numpy.typing import NDArray

from bench import payloads
from bench.closed_loop import saturate
from bench.connections import CONNECTIONS, Reply, Sockets, post
from bench.histogram import describe_step
from bench.open_loop import Outcome, constant, no_collection, poisson, run
from bench.processes import tree_cpu_seconds
from bench.reference import Reference
from bench.servers import MeasureError
from bench.verification import TOLERANCE, Checker, Inbox

SHARES = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Rates of a sweep, as shares of what a closed loop finds."""

_NPY = "application/x-npy"
_SHOWN_EVERY = 1.0  # seconds
_SHOWING_TAKES = 2e-3  # seconds, at most


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Attributes
    ----------
    url : SplitResult
        Where the server is; its path, where it has one, is the route.
    rates : tuple of float
        Requests a second of the open-loop steps.
    closed, sweep : bool
        Whether a closed loop comes first, and whether the rates are shares of what it finds.
    duration, warm_up : float
        Seconds of a step, and before each of them.
    connections : int
        How many are kept open.
    poisson : bool
        Whether arrivals are independent of one another rather than evenly spaced.
    rows : int
        Rows of a batch; 0 sends single predictions.
    npy : bool
        Whether batches and their replies are `.npy` files rather than JSON.
    data, model : Path, optional
        Files of rows, and of the model whose probabilities replies must have.
    bodies, seed : int
        How many different bodies are sent in turn, and what chooses them.
    tolerance : float
        Largest difference of a probability from the model file's.
    pid : int
        Process whose processor time, with that of its children, is counted; 0 for none.
    timeout : float
        Seconds without any reply after which the load gives up.
    sleeps : bool
        Whether the client leaves its core to others while nothing is due.
    token : str
        Bearer token of the requests, or nothing.
    """

    url: SplitResult
    rates: tuple[float, ...] = ()
    closed: bool = False
    sweep: bool = False
    duration: float = 10.0
    warm_up: float = 1.0
    connections: int = CONNECTIONS
    poisson: bool = True
    rows: int = 0
    npy: bool = False
    data: Path | None = None
    model: Path | None = None
    bodies: int = payloads.BODIES
    seed: int = 0
    tolerance: float = TOLERANCE
    pid: int = 0
    timeout: float = 10.0
    sleeps: bool = False
    token: str = ""

    @property
    def route(self) -> str:
        """The route that requests go to."""
        if self.url.path.strip("/"):
            return self.url.path + (f"?{self.url.query}" if self.url.query else "")
        return "/predict/batch" if self.rows else "/predict"


class Progress:
    """One line on a terminal that tells how a step goes, renewed each second.

    Parameters
    ----------
    name : str
        Of the step.
    shown : bool
        Whether there is someone to read it.
    """

    def __init__(self, name: str, shown: bool) -> None:
        self._name = name
        self._shown = shown
        self._begin = self._last = time.perf_counter()
        self._window: list[float] = []

    def add(self, latency: float) -> None:
        """Take the latency of a reply."""
        if self._shown:
            self._window.append(latency)

    def show(self, spare: float, errors: int) -> bool:
        """Renew the line where a second has passed and nothing is due, or where it can no longer wait."""
        if not self._shown:
            return False
        passed = time.perf_counter() - self._last
        if passed < _SHOWN_EVERY or (spare < _SHOWING_TAKES and passed < 1.2 * _SHOWN_EVERY):
            return False
        window, self._window = self._window, []
        times = "  ".join(f"p{p} {1e6 * np.percentile(window, p):,.0f} us" for p in (50, 99)) if window else "no reply"
        total = time.perf_counter() - self._begin
        sys.stderr.write(
            f"\r\x1b[K{self._name}: {total:.0f} s  {len(window) / passed:,.0f}/s  {times}  errors {errors:,}"
        )
        sys.stderr.flush()
        self._last = time.perf_counter()
        return True

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class Watch:
    """Takes the replies of a step: checks them when there is time, shows progress, and knows who had none in the end.

    Parameters
    ----------
    inbox : Inbox
        Checks replies.
    progress : Progress
        Shows progress.

    Attributes
    ----------
    begin, answered : float
        When the step began, and when the last reply of the server came, by `time.perf_counter`.
    unanswered : int
        Requests after that one which had no reply.
    """

    def __init__(self, inbox: Inbox, progress: Progress) -> None:
        self._inbox = inbox
        self._progress = progress
        self.begin = self.answered = time.perf_counter()
        self.unanswered = 0

    def reply(self, number: int, latency: float, reply: Reply) -> None:
        """Keep a reply."""
        self._inbox.take(number, reply)
        self._progress.add(latency)
        if reply.status:
            self.answered, self.unanswered = time.perf_counter(), 0
        else:
            self.unanswered += 1

    def idle(self, spare: float) -> bool:
        """Show progress or check a reply."""
        return self._progress.show(spare, self._inbox.errors) or self._inbox.idle(spare)


class Load:
    """Requests to one server, prepared, and their measurement.

    Parameters
    ----------
    plan : Plan
        What to send.
    shown : bool
        Whether progress is shown on standard error.

    Raises
    ------
    MeasureError
        Where the server cannot be reached or does not say what it serves, or rows or model cannot be read.
    """

    def __init__(self, plan: Plan, shown: bool = False) -> None:
        self._plan = plan
        self._shown = shown
        reference = Reference(plan.model) if plan.model is not None else None
        described = reference.described if reference else payloads.describe(plan.url, plan.token)
        if plan.data is not None:
            known = payloads.read_rows(plan.data, described.features)
        else:
            known = reference.golden if reference else payloads.example_rows(plan.url, plan.token)
        width = max(1, plan.rows)
        rows = payloads.choose(known, plan.bodies * width, plan.seed)
        expected = reference.predict(rows).reshape(plan.bodies, width, -1) if reference else None
        self.checker = Checker(described.labels, width, plan.rows > 0, plan.npy, expected, plan.tolerance)
        self.requests = [self._request(rows[start : start + width]) for start in range(0, len(rows), width)]

    def _request(self, rows: NDArray[np.float32]) -> bytes:
        plan = self._plan
        if plan.npy:
            return post(plan.route, payloads.npy_body(rows), plan.url.netloc, _NPY, _NPY, plan.token)
        body = payloads.json_body(rows if plan.rows else rows[0])
        return post(plan.route, body, plan.url.netloc, token=plan.token)

    def measure(self) -> list[dict[str, Any]]:
        """Measure all steps, or as many as there is a server for, and return what a report says of each."""
        plan = self._plan
        steps = [self._step(0.0)] if plan.closed or plan.sweep else []
        rates: Sequence[float] = plan.rates
        if plan.sweep:
            rates = [float(f"{share * steps[0]['rate']:.3g}") for share in SHARES]
        for rate in rates:
            if steps and steps[-1]["silence"]:
                break
            steps.append(self._step(rate))
        return steps

    def _step(self, rate: float) -> dict[str, Any]:
        """Measure at a rate, or in a closed loop where the rate is 0."""
        plan = self._plan
        name = f"{rate:,g} requests/s" if rate else f"closed loop, {plan.connections} connections"
        if plan.warm_up:
            warm_up = Inbox(self.checker)
            self._drive(rate, plan.warm_up, warm_up, f"{name}, warm-up")
            if warm_up.errors - warm_up.wrong == warm_up.checked:
                fault, detail = next(iter(warm_up.examples.items()))
                raise MeasureError(f"{plan.url.netloc}: no request of the warm-up was answered: {fault}: {detail}")
        inbox = Inbox(self.checker)
        before = tree_cpu_seconds(plan.pid) if plan.pid else 0.0
        outcome, silence = self._drive(rate, plan.duration, inbox, name)
        cpu = tree_cpu_seconds(plan.pid) - before if plan.pid else 0.0
        return _describe(outcome, rate, inbox, plan, cpu) | {"silence": silence}

    def _drive(
        self, rate: float, seconds: float, inbox: Inbox, name: str
    ) -> tuple[Outcome, dict[str, float | str] | None]:
        """Send for some seconds over connections of their own, so that no late reply is taken for another one.

        Return what was found, and since when the server is silent, where it is.
        """
        plan = self._plan
        transport = Sockets(plan.url.hostname or "", plan.url.port or 80, plan.connections)
        progress = Progress(name, self._shown)
        watch = Watch(inbox, progress)
        wait = transport.wait if plan.sleeps else None
        try:
            with no_collection():
                if rate:
                    arrivals = poisson(rate, plan.seed) if plan.poisson else constant(rate)
                    count = max(1, round(rate * seconds))
                    outcome = run(
                        *(transport, self.requests, rate, count),
                        arrivals=arrivals,
                        watcher=watch,
                        patience=plan.timeout,
                        wait=wait,
                    )
                else:
                    outcome = saturate(
                        *(transport, self.requests, seconds), watcher=watch, patience=plan.timeout, wait=wait
                    )
        finally:
            transport.close()
            progress.close()
        silence = self._silence(watch)
        inbox.close()
        return outcome, silence

    def _silence(self, watch: Watch) -> dict[str, float | str] | None:
        """Return from which second of a step on how many requests had no reply, and why, if the server is gone."""
        plan = self._plan
        if not watch.unanswered:
            return None
        reason = f"no reply for {plan.timeout:g} s"
        if time.perf_counter() - watch.answered < plan.timeout:
            try:
                Sockets(plan.url.hostname or "", plan.url.port or 80, 1).close()
            except MeasureError as error:
                reason = str(error)
            else:
                return None  # it has lost connections, and takes others
        return {"after": watch.answered - watch.begin, "requests": watch.unanswered, "reason": reason}


def _describe(outcome: Outcome, rate: float, inbox: Inbox, plan: Plan, cpu: float) -> dict[str, Any]:
    requests = len(outcome.latencies)
    right = requests - inbox.errors
    delays = np.percentile(outcome.delays, [50, 99, 100]).tolist()
    return {
        "loop": "open" if rate else "closed",
        "arrivals": "" if not rate else "poisson" if plan.poisson else "constant",
        "offered": rate or outcome.rate,
        "due": outcome.due or outcome.rate,
        "connections": plan.connections,
        "seconds": outcome.seconds,
        "requests": requests,
        "rate": right / outcome.seconds,
        "rows_per_second": right * max(1, plan.rows) / outcome.seconds,
        "errors": inbox.errors,
        "wrong": inbox.wrong,
        "faults": dict(inbox.faults),
        "examples": inbox.examples,
        "server_cpu": cpu / requests if plan.pid else None,
        "client": {
            "busy": outcome.busy,
            "delay": dict(zip(("p50", "p99", "max"), delays, strict=True)),
            "is_limit": outcome.client_is_limit,
        },
        **describe_step(outcome.latencies),
    }
