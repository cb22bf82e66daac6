"""The results of the peers as markdown and as pictures."""

import statistics
from typing import Any

from bench import charts
from bench.contenders import MOST_TOGETHER, PEERS
from bench.load_report import seconds
from bench.other_work import QUIET

OURS = "**Tickline**"
SHORT = ("granian", "fastapi", "flask")
"""Peers of the short table: the nearest one, what people write, and what users had before."""

_PAGE = """# The server beside its peers

Made by `make bench-peers` ({commands}) from {first} to {last}: {processor}, {cores} cores, {system}, Python {python};
ours with {versions}.

One model for all: a forest of 100 trees, 10 deep, on the 22 features. A server has one worker on one core, its client,
`wrk`, another one. Each peer and ours ran at the same time and were loaded in turn for {rounds} rounds; who came first
in one round came last in the next. Ours in the table is the median over all peers, and "times ours" is the median of
the rounds' own ratios of CPU with that peer. Requests bring 500 different rows of the S&P 500 in turn. **Every peer
first gave our probabilities**, within 1e-5, to 50 single rows and to a batch of 10,000 in every form.{busy}

![processor time of a prediction at all servers](pictures/peers.svg)

## Single predictions

Closed loop: each connection asks again when it has its reply, so latencies say what a reply costs under full load, and
hide stalls; [open loops](serving-benchmark.md) do not. "CPU" is processor time of all of a server's processes, user's
and system's, a request over 32 connections.

| server | requests/s, 32 connections | CPU | times ours | p50, p99 at 32 | requests/s, 1 connection | p50, p99 at 1 |
|---|---|---|---|---|---|---|
{single}

## Batches, memory, start

Batches of 10,000 rows, one after the other over one connection; "binary" where a server's own protocol has it, in its
fastest form. Memory is what all processes hold after a second of load, shared pages once; ready is from the start of
the process to its first right answer; size is the environment on disk without Python itself.

| server | JSON, rows/s | binary, rows/s | memory | ready | size |
|---|---|---|---|---|---|
{rest}

## How each one was run

Each has an environment of its own, pinned with hashes in `requirements/peer-*.txt`; its application and its command are
in `bench/peers/` and `bench/contenders.py`. MLServer and MLflow bring a predictor of their own; the others share a
plain one (`bench/peers/plain_predictor.py`). KServe listens on all addresses, because it cannot be told otherwise.

"batching" is a server once more, with its own dynamic batching: requests that arrive together are predicted together,
up to {together}, as many as there are connections. A request that comes alone waits 5 ms for others. KServe's batcher
is a container of its own in a cluster, and BentoML's asks for lists of rows: neither was tried.

| server | versions | loads | run for speed |
|---|---|---|---|
{run}
{failed}"""

_SHORT = """| one core, 100 trees | CPU a request | times ours | requests/s | p99 | batch, rows/s | ready | memory |
|---|---|---|---|---|---|---|---|
{rows}
{busy}"""

Entry = dict[str, Any]


def ours(results: Entry) -> Entry:
    """Return medians of what was found of ours beside all peers."""
    found = [entry["ours"] for entry in measured(results).values()]
    return {
        **{name: statistics.median(one[name] for one in found) for name in ("ready", "memory")},
        **{
            group: {key: _median([one[group][key] for one in found]) for key in found[0][group]}
            for group in ("loads", "batches")
        },
    }


def _median(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: statistics.median(value[name] for value in values) for name in values[0]}
    return statistics.median(values)


def measured(results: Entry) -> dict[str, Entry]:
    """Return what was found of the servers that could be measured, by their keys."""
    return {key: entry for key, entry in results["servers"].items() if "failed" not in entry}


def _by_rate(results: Entry) -> list[tuple[str, Entry]]:
    """Return what was measured, the fastest first."""
    return sorted(measured(results).items(), key=lambda item: -float(item[1]["peer"]["loads"]["32"]["rate"]))


def page(results: Entry) -> str:
    """Return docs/peers.md for what `python -m bench.peer_benchmark` has written."""
    own, entries = ours(results), _by_rate(results)
    made = [entry["made"] for entry in results["servers"].values()]
    dates = sorted(one["date"] for one in made)
    work = {entry["name"]: entry["other_work"] for _, entry in entries}
    return _PAGE.format(
        commands=", ".join(f"`{command}`" for command in dict.fromkeys(one["command"] for one in made)),
        first=_minute(dates[0]),
        last=_minute(dates[-1]),
        **{name: made[0][name] for name in ("processor", "cores", "system", "python")},
        versions=", ".join(f"{name} {version}" for name, version in made[0]["versions"].items()),
        rounds=made[0]["command"].split()[-1],
        busy=_busy({name: share for name, share in work.items() if share > QUIET}),
        single="\n".join(
            [_single(OURS, own["loads"], "")]
            + [_single(entry["name"], entry["peer"]["loads"], _share(entry)) for _, entry in entries]
        ),
        rest="\n".join(
            [_rest(OURS, own, results["size"])]
            + [_rest(entry["name"], entry["peer"], entry.get("size")) for _, entry in entries]
        ),
        run="\n".join(_run(entry) for _, entry in entries),
        failed=_failed(results),
        together=MOST_TOGETHER,
    )


def _minute(date: str) -> str:
    return date.replace("T", " ")[:16]


def _busy(work: dict[str, float]) -> str:
    if not work:
        return ""
    which = ", ".join(f"{name} ({share:.0%} of both cores)" for name, share in work.items())
    return (
        f"\n\n**Other work ran on the machine** beside {which}. Times are longer then than on a quiet machine, and the "
        "99th percentiles\nare the machine's; ratios suffer less, because both sides of a round suffered."
    )


def _share(entry: Entry) -> str:
    ratio = entry["ratios"]["cpu/32"]
    low, high = _times(ratio["low"]), _times(ratio["high"])
    return f"**{_times(ratio['ratio'])}** ({low} to {high})"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 20 else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"


def _single(name: str, loads: Entry, share: str) -> str:
    many, one = loads["32"], loads["1"]
    cells = (
        name,
        f"{many['rate']:,.0f}",
        seconds(many["cpu"]),
        share,
        _latencies(many),
        f"{one['rate']:,.0f}",
        _latencies(one),
    )
    return f"| {' | '.join(cells)} |"


def _latencies(load: Entry) -> str:
    return f"{seconds(load['p50'])}, {seconds(load['p99'])}"


def _rest(name: str, found: Entry, size: float | None) -> str:
    batches = dict(found["batches"])
    text = batches.pop("JSON", None)
    binary = max(batches.items(), key=lambda item: float(item[1]), default=None)
    cells = (
        name,
        f"{text:,.0f}" if text else "-",
        f"{binary[1]:,.0f} ({binary[0]})" if binary else "-",
        f"{found['memory']:,.0f} MiB",
        seconds(found["ready"]),
        f"{size:,.0f} MiB" if size else "-",
    )
    return f"| {' | '.join(cells)} |"


def _run(entry: Entry) -> str:
    pins = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
    return f"| {entry['name']} | {pins or '-'} | {entry['model'] or '-'} | {entry['advice']} |"


def _failed(results: Entry) -> str:
    lines = [
        f"- {entry['name']}: {' '.join(entry['failed'].split())[:400]}"
        for entry in results["servers"].values()
        if "failed" in entry
    ] + [f"- {peer.name}: no results yet" for peer in PEERS if peer.key not in results["servers"]]
    return "\n## Not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def short_table(results: Entry) -> str:
    """Return the table of the README: ours and a few peers."""
    own, entries = ours(results), measured(results)
    chosen = [entries[key] for key in SHORT if key in entries]
    lines = [(OURS, own, ""), *((one["name"], one["peer"], _times(one["ratios"]["cpu/32"]["ratio"])) for one in chosen)]
    return _SHORT.format(rows="\n".join(_short(*line) for line in lines), busy=short_warning(results))


def short_warning(results: Entry) -> str:
    """Return a line that says how much other work ran on the machine, or nothing where it was quiet."""
    most = max(entry["other_work"] for entry in measured(results).values())
    if most <= QUIET:
        return ""
    return f'\nOther work took up to {most:.0%} of the machine: "times ours", from paired rounds, is the evidence.\n'


def _short(name: str, found: Entry, share: str) -> str:
    load = found["loads"]["32"]
    cells = (
        name,
        seconds(load["cpu"]),
        share,
        f"{load['rate']:,.0f}",
        seconds(load["p99"]),
        f"{max(found['batches'].values()):,.0f}",
        seconds(found["ready"]),
        f"{found['memory']:,.0f} MiB",
    )
    return f"| {' | '.join(cells)} |"


def picture(results: Entry) -> str:
    """Return the processor time of a prediction at all servers, in that of ours, as SVG."""
    ratios = {entry["name"]: entry["ratios"]["cpu/32"]["ratio"] for entry in measured(results).values()}
    title = "processor time of a prediction, times ours"
    return charts.bars(title, ratios | {"Tickline": 1.0}, "Tickline", _times)
