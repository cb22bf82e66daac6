"""The scaling curves as a page and as pictures, and what follows from them for a cluster."""

import math
from collections.abc import Iterable
from typing import Any

from bench import charts, peer_table
from bench.load_report import seconds
from bench.other_work import QUIET
from bench.pod_capacity import TARGET_SHARE
from bench.scaling import TREES

PRICE = 0.04
"""US dollars for an hour of one processor with its memory: an assumption, near what clouds ask on demand."""
USED = TARGET_SHARE
"""Share of a processor that is planned for, as in the autoscaler's target: load arrives unevenly."""
RATE = 1e6
LINK = 10e9
"""Bits a second of a node's network card: an assumption."""

_PAGE = """# Scaling: from one core to a cluster

Made by `python -m bench.scaling` and `python -m bench.pod_capacity --results bench/results/pod.json`, {first} to
{last}: {processor}, {cores} cores, {system}, Python {python}; {versions}.
Other work took {work} of the machine meanwhile{disturbed}.
A forest of 100 trees, 10 deep, unless a line says otherwise; one worker on one core, `wrk` on another one, varied rows,
closed loop.

## Connections

![processor time of a request by connections](pictures/scaling-connections.svg)

| connections | requests/s | CPU a request | p50 | p99 |
|---|---|---|---|---|
{connections}

Where more requests wait at each wake-up of the worker, the wake-up is shared, and rows that arrive together are
predicted together. What grows with connections is the wait, about connections / rate.

## Workers

| workers, on two cores that they share with the client | requests/s | CPU a request | memory of all |
|---|---|---|---|
{workers}

Workers share nothing but counters. **This machine has two cores in all**, so two workers and their client compete: the
lines show what a request costs, not how far two workers go.

## Batches

![processor time of a row by size of batch](pictures/scaling-batches.svg)

| rows of a batch | {forms} |
|---|{rules}
{batches}

## Models

![processor time of a request by trees](pictures/scaling-models.svg)

| model, 22 features | requests/s | CPU a request | memory |
|---|---|---|---|
{models}

## Features

![time of a row by features](pictures/scaling-features.svg)

The engines alone, one thread, processor time of a row: single rows one by one, and batches of 1,000.

| model | features | ours, single | onnxruntime, single | ours, batch | onnxruntime, batch |
|---|---|---|---|---|---|
{features}

## One million predictions a second

A pod of {pod_cpus:g} processors answered {pod_rate:,.0f} single predictions a second within {objective:g} ms for 99 %
of them (`bench/results/pod.json`), so the autoscaler may aim at {target:,} a pod: **{pods:,} pods, {pod_cores:,.0f}
processors**. Whole processors do better, because a quota stops a pod for the rest of its period: at {cpu} a request a
processor does {core_rate:,.0f} a second, and at {used:.0%} of that {core_pods:,} pods of one processor are enough. As
raw batches, a million rows a second take {row_cores:.1f} processors.

- Processors for a million a second = 10^6 x CPU of one / {used:g}, the share of a processor that is planned for.
- Cost of a billion = 10^9 x CPU of one / {used:g} / 3,600 s x price of a processor for an hour. **The price is an
  assumption: {price:g} US dollars**, memory included; put in yours.

| | CPU of one | processors for 10^6/s | a billion |
|---|---|---|---|
{costs}

Peers are those of [peers.md](peers.md); batches are of 10,000 rows.

## What saturates first

- **Processors, at the socket.** Of {cpu} a request, the model takes {engine} ({engine_share:.0%}) where the engine
  runs alone; nginx takes {nginx} to answer 11 bytes. Larger models shift that: see the table of models.
- **The network later.** A request has {request:,.0f} bytes and its reply {reply:,.0f}: {gbit:.2f} Gbit/s for one busy
  core, so {link_cores:.0f} cores fill a card of {link:g} Gbit/s; a million a second are {total_gbit:.1f} Gbit/s.
- **Memory last.** A worker holds {memory:,.0f} MiB, and {largest:,.0f} MiB with the largest model above.
- **Balance before all of them.** A connection stays with its pod: with few callers one pod may be full while others
  idle ([operations](operations.md)).
"""

_DISTURBED = ": **times are longer than on a quiet machine**, and rates are what was left of it"

Results = dict[str, Any]


def page(scaling: Results, pod: Results, peers: Results, engines: Results) -> str:
    """Return docs/scaling.md."""
    made = scaling["connections"]["made"]
    dates = sorted(section["made"]["date"] for section in [*scaling.values(), pod])
    own = peer_table.ours(peers)
    cpu, engine = own["loads"]["32"]["cpu"], engines["main"]["forest 100 x 10"]["single"]["ours"]["row"]
    core_rate = 1.0 / cpu
    (message,) = _points(scaling, "message")
    gbit = 8 * (message["request"] + message["reply"]) * core_rate
    row_cpu = min(point["raw float32"] for point in _points(scaling, "batches"))
    forms = [name for name in _points(scaling, "batches")[0] if name != "rows"]
    (batch,) = [
        {form: point[form] for form in forms} for point in _points(scaling, "batches") if point["rows"] == 10_000
    ]
    pods = math.ceil(RATE / pod["target"])
    work = [section["other_work"] for section in [*scaling.values(), pod]]
    return _PAGE.format(
        first=dates[0][:16].replace("T", " "),
        last=dates[-1][:16].replace("T", " "),
        **{name: made[name] for name in ("processor", "cores", "system", "python")},
        versions=", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        work=f"{min(work):.0%} to {max(work):.0%}",
        disturbed=_DISTURBED if max(work) > QUIET else "",
        connections=_rows(
            (f"{point['connections']:,}", f"{point['rate']:,.0f}", *map(seconds, _times(point)))
            for point in _points(scaling, "connections")
        ),
        workers=_rows(
            (point["workers"], f"{point['rate']:,.0f}", seconds(point["cpu"]), f"{point['memory']:,.0f} MiB")
            for point in _points(scaling, "workers")
        ),
        forms=" | ".join(f"{form}, CPU a row" for form in forms),
        rules="---|" * len(forms),
        batches=_rows(
            (f"{point['rows']:,}", *(_row_time(point[form]) for form in forms)) for point in _points(scaling, "batches")
        ),
        models=_rows(
            (point["name"], f"{point['rate']:,.0f}", seconds(point["cpu"]), f"{point['memory']:,.0f} MiB")
            for point in _points(scaling, "models")
        ),
        features=_rows(
            (point["kind"], point["features"], *(_row_time(point[name]) for name in _ENGINES))
            for point in _points(scaling, "features")
        ),
        pod_cpus=pod["cpus"],
        pod_rate=pod["rate"],
        objective=1e3 * pod["objective"],
        target=pod["target"],
        pods=pods,
        pod_cores=pods * pod["cpus"],
        core_rate=core_rate,
        used=USED,
        core_pods=math.ceil(RATE / core_rate / USED),
        row_cores=RATE * row_cpu / USED,
        price=PRICE,
        costs=_rows(_costs(own, batch, peers)),
        cpu=seconds(cpu),
        engine=seconds(engine),
        engine_share=engine / cpu,
        nginx=seconds(peers["servers"]["nginx"]["peer"]["loads"]["32"]["cpu"]),
        request=message["request"],
        reply=message["reply"],
        gbit=gbit / 1e9,
        link_cores=LINK / gbit,
        link=LINK / 1e9,
        total_gbit=8 * (message["request"] + message["reply"]) * RATE / 1e9,
        memory=own["memory"],
        largest=max(point["memory"] for point in _points(scaling, "models")),
    )


_ENGINES = ("single", "onnxruntime single", "batch", "onnxruntime batch")


def _points(scaling: Results, section: str) -> list[Results]:
    points: list[Results] = scaling[section]["points"]
    return points


def _times(point: Results) -> tuple[float, float, float]:
    return point["cpu"], point["p50"], point["p99"]


def _row_time(value: float) -> str:
    return seconds(value) if value >= 1e-6 else f"{value * 1e9:.0f} ns"


def _rows(lines: Iterable[Iterable[object]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _costs(own: Results, batch: dict[str, float], peers: Results) -> list[tuple[str, str, str, str]]:
    single = {"Tickline, single predictions": own["loads"]["32"]["cpu"]}
    batches = {f"Tickline, batches, {form}": cpu for form, cpu in batch.items()}
    others = {
        f"{peer['name']}, single predictions": peer["peer"]["loads"]["32"]["cpu"]
        for key, peer in peers["servers"].items()
        if key != "nginx" and "failed" not in peer
    }
    return [
        (name, _row_time(cpu), f"{RATE * cpu / USED:,.1f}", f"{dollars(cpu):,.2f} dollars")
        for name, cpu in {**batches, **single, **dict(sorted(others.items(), key=lambda item: item[1]))}.items()
    ]


def dollars(cpu: float) -> float:
    """Return what a billion predictions cost that take so many seconds of a processor each."""
    return 1e9 * cpu / USED / 3_600 * PRICE


def pictures(scaling: Results) -> dict[str, str]:
    """Return the pictures as SVG, by their names."""
    connections, batches = _points(scaling, "connections"), _points(scaling, "batches")
    forests = [point for point in _points(scaling, "models") if point["trees"]]
    forms = [name for name in batches[0] if name != "rows"]
    wide = _points(scaling, "features")
    return {
        "scaling-connections": charts.curves(
            "processor time of a request by connections",
            *("connections", "microseconds"),
            {"/predict": [(one["connections"], 1e6 * one["cpu"]) for one in connections]},
            [one["connections"] for one in connections],
        ),
        "scaling-batches": charts.curves(
            "processor time of a row by size of batch",
            *("rows of a batch", "microseconds"),
            {form: [(one["rows"], 1e6 * one[form]) for one in batches] for form in forms},
            [one["rows"] for one in batches],
        ),
        "scaling-models": charts.curves(
            "processor time of a request by size of the forest",
            *("trees, 10 deep", "microseconds"),
            {"/predict": [(one["trees"], 1e6 * one["cpu"]) for one in forests]},
            [spec.trees for spec in TREES],
        ),
        "scaling-features": charts.curves(
            "the engines alone: a single row by features",
            *("features", "microseconds"),
            {
                f"{kind}, {who}": [(one["features"], 1e6 * one[name]) for one in wide if one["kind"] == kind]
                for kind in ("forest", "logistic")
                for who, name in (("ours", "single"), ("onnxruntime", "onnxruntime single"))
            },
            sorted({one["features"] for one in wide}),
        ),
    }
