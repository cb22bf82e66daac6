"""The whole story of performance on one page, made of all results."""

from typing import Any

from bench import charts, peer_table
from bench.engine_models import BOOSTING, FOREST, LOGISTIC
from bench.load_report import seconds

Results = dict[str, Any]

_PAGE = """# Performance, from one prediction to a cluster

Every figure here is made by a command from `bench/results`, and `tickline bench report` writes this page; a test fails
where they differ. The forest has 100 trees, 10 deep, on 22 features; rows vary; server and client have a core each.

## One prediction

![processor time of a prediction at all servers](pictures/peers.svg)

{short}
Closed loop over 32 connections, `make bench-peers`; batches of 10,000 rows in the fastest form of each. All twelve
servers, with one connection, with versions, and how each was run: [peers](peers.md).

## Where the time goes

A forest costs scikit-learn {sklearn} a row and onnxruntime {ort}. The compiled engine takes {engine}: nodes of 8 bytes,
all trees of a row level by level, no branch to mispredict ([engine](engine.md)). nginx takes {nginx} to answer 11 bytes
from memory, and ours {ours} for parsing, decoding, predicting, replying and counting: **{share:.2f} of nginx's
requests a second of processor time**. The rest is kept small by a fast lane below the ASGI application, heads that are
not parsed twice, rows read and replies written by kernels ([lanes](lanes.md)).

| a single row, by the engine alone | ours | onnxruntime | scikit-learn |
|---|---|---|---|
{engines}

![a single row by size of the forest](pictures/engines.svg)

Against tl2cgen, treelite and lleaves, in batches and from one cache to the next:
[engines](engines-benchmark.md), `python -m bench.engines`.

## How long callers wait

An open loop sends requests when they are due, whether or not earlier ones are answered, at half of what the closed loop
found; a latency counts from when its request was due ([load](load.md)).

| open loop, requests/s | p50 | p99 | nginx's p99 at that rate |
|---|---|---|---|
{open}

Of {wire_date}, `{wire_command}`. nginx's p99 says what the machine's own stops cost at that rate.
[On the wire](serving-benchmark.md) has all figures, and which goals are not reached and why.

## Batches

![processor time of a row by size of batch](pictures/scaling-batches.svg)

Batches run beside single predictions in bounded chunks, so that these do not queue behind them ([batches](batches.md)).

## Features

The 22 features of a bar come from one pass of a kernel, the same in training and in serving:
[against TA-Lib and pandas](features-benchmark.md), `python -m bench.features`.

## Growth

![processor time of a request by connections](pictures/scaling-connections.svg)

From 1 to 512 connections, from 10 to 1,000 trees, from 5 to 500 features, and from there to pods for a million requests
a second and the cost of a billion predictions: [scaling](scaling.md), `python -m bench.scaling`.

## What keeps it so

`tickline bench check` measures {gated} parts beside yardsticks in the same process, and fails where a ratio is worse
by more than 10 % than in `bench/results/baseline.json`, beyond noise; where the machine is too noisy to say, it says
so. `make bench-smoke` does that for every change in less than two minutes. It was seen to catch slowdowns of 20 %, put
in on purpose, of features and predictors:
[regressions](load.md#regressions-what-a-change-costs).

## Measure it yourself

```bash
make bench           # parts of the server, and whether they have become slower
make bench-peers     # all peers in their environments; needs the Debian packages wrk and nginx
.venv/bin/tickline load http://localhost:5000 --rate 2000 --duration 10 --slo p99=5ms
```

Only ratios within one run are evidence, because machines differ and are shared; that is why ours is measured again
beside every peer.
"""


def page(peers: Results, wire: Results, engines: Results, baseline: Results) -> str:
    """Return docs/performance.md."""
    own, nginx = (found["loads"]["32"] for found in (peer_table.ours(peers), peers["servers"]["nginx"]["peer"]))
    forest = engines["main"][FOREST.name]["single"]
    return _PAGE.format(
        short=peer_table.short_table(peers),
        sklearn=seconds(forest["scikit-learn"]["row"]),
        ort=seconds(forest["onnxruntime"]["row"]),
        engine=seconds(forest["ours"]["row"]),
        nginx=seconds(nginx["cpu"]),
        ours=seconds(own["cpu"]),
        share=peers["servers"]["nginx"]["ratios"]["cpu/32"]["ratio"],
        engines="\n".join(_engine(engines, spec.name) for spec in (LOGISTIC, BOOSTING, FOREST)),
        open="\n".join(_open(wire, model) for model in wire["servers"]),
        wire_date=wire["made"]["date"],
        wire_command=wire["made"]["command"],
        gated=len({name for machine in baseline.values() for name in machine["ratios"]}),
    )


def _engine(engines: Results, name: str) -> str:
    found = engines["main"][name]["single"]
    cells = [_time(found[who]["row"]) for who in ("ours", "onnxruntime", "scikit-learn")]
    return f"| {name} | {' | '.join(cells)} |"


def _time(value: float) -> str:
    return seconds(value) if value >= 1e-6 else f"{value * 1e9:.0f} ns"


def _open(wire: Results, model: str) -> str:
    waited, floor = wire["figures"][f"open/{model}"], wire["figures"][f"floor/{model}"]
    cells = (
        f"{model.replace('_', ' ')}, {wire['open_loop'][model]['rate']:,.0f}",
        seconds(waited["peer"]),
        seconds(waited["ours"]),
        seconds(floor["peer"]),
    )
    return f"| {' | '.join(cells)} |"


def picture(engines: Results) -> str:
    """Return a single row's time by the size of the forest as SVG, ours and onnxruntime's."""
    sizes = {name: found["single"] for name, found in engines["sweep"].items() if name.endswith(" x 10")}
    trees = {name: float(name.split()[1]) for name in sizes}
    return charts.curves(
        "the engines alone: a single row by size of the forest",
        *("trees, 10 deep", "microseconds"),
        {
            who: [(trees[name], 1e6 * found[who]["row"]) for name, found in sizes.items()]
            for who in ("ours", "onnxruntime")
        },
        sorted(trees.values()),
    )
