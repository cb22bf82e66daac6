"""The results of the server on the wire as markdown."""

from typing import Any

from bench.contenders import NGINX
from bench.goals import judge
from bench.wire_figures import ENGINE, FIGURES, SHORT, Comparison, Figure, Sense, Unit

_STALLS = (
    "a request that comes alone costs more than one of 32, so that the core is busier than half of capacity says (see "
    "below), and what has queued while the machine stopped it drains slowly; the next lines have nginx at the same "
    "rate, a third of its own capacity, and how far this machine lets it keep the same promise"
)
_SOCKETS = "reading and writing a socket takes more than half of ours, as it takes most of nginx's"

REASONS: dict[str, str] = {
    "cpu/logistic/FastAPI + onnxruntime": _SOCKETS,
    "cpu/random_forest/FastAPI + onnxruntime": _SOCKETS,
    "cpu/random_forest/Flask + gunicorn + joblib": (
        f"{_SOCKETS}; scikit-learn's own time varies more from run to run than is missing"
    ),
    "ready": (
        "most of it are imports, of numpy and onnxruntime before all, and this machine takes up to half as long again "
        "for them from one minute to the next"
    ),
    "batch/logistic/raw/fastapi": "0.9 MB through a socket take longer than their inference",
    "open/logistic": _STALLS,
    "open/random_forest": _STALLS,
    "isolation": (
        "the batch, its sender, the client and the event loop share two cores; the next line has the same batches in "
        "another process, which the server cannot keep from the cores"
    ),
}
"""Why a figure is not reached, one sentence each by the figure's key, where it is known from evidence."""

_FACTORS = {Unit.MICROSECONDS: 1e6, Unit.MILLISECONDS: 1e3}

_TEXT = """# The server, measured on the wire against its peers

Made by `{command}` on {date}: {processor}, {cores} cores, {system}, Python {python}; load of the
machine when it began: {load:.1f}. {versions}.{busy}

All servers are measured in one run and in turn, {rounds} of {seconds} s each; figures are medians over the rounds, and
a ratio is the median of the rounds' own ratios, of which the middle half lies within "25-75 %". A server has one worker
and is pinned to one core, its client to another one. "CPU" is processor time of all processes of a server, user's and
system's. Requests bring 500 different rows of the S&P 500 in turn, because one row sent again and again stays in the
nearest cache. Every peer gave the same answers to the same rows before it was measured.

| figure | ours | against | peer | ratio | 25-75 % | reach | beyond | result |
|---|---|---|---|---|---|---|---|---|
{rows}

"{engine}" is its own time for the same rows on the same core and one thread: row by row into bound buffers for
`/predict`, and chunks of 1,024 rows for batches. nginx answers `GET /` from its configuration, without a body to read.
What is beyond {engine} can be less than nothing in a server that predicts rows together, or by another engine.

An open loop sends requests at half of the rate that the closed loop had found; a latency counts from when its request
was due. nginx gets the same requests at the same rate, which shows the part of the machine in it. Beside batches, 500
requests/s come to a server that shares both cores with its clients; another server, which gets batches and nothing
else, shows what they cost where only the cores are shared.

{open_loop}

## All servers, `/predict`, closed loop

32 connections, each of which waits for its reply: what a server can do, not how long a caller waits. A server that
does not use all of its core waited for the client, or for other work.

| server | {models} |
|---|{rules}
{servers}
| {engine}, row by row | {engine_rows} |
"""

_OPEN = "Open loop, {what}: {rate:,.0f} requests/s; the client sent 99 % of them within {delay:.0f} us of when it could"
_OPEN_LOOPS = {**SHORT, "isolation": "forest beside batches"}
_FAULTS = {
    "client_is_limit": "the client's own delay is a good part of the latency",
    "overload": "half of the requests waited as long as under full load",
}

_CEILING_SHARE = 0.7
"""Share of its core that nginx uses where it, rather than the client or other work, is the limit of requests/s."""

_BUSY = """

**Other work ran on the machine**: times are longer than on a quiet one, and single latencies say little; ratios within
a round suffer less."""
_BUSY_LOAD = 0.7
"""Load of the machine, before anything was measured, that is more than a shell and an editor."""


def render(results: dict[str, Any]) -> str:
    """Return the document.

    Parameters
    ----------
    results : dict
        What `python -m bench.wire` writes as JSON.
    """
    figures, made = results["figures"], results["made"]
    loads = results["servers"]
    models = [model for model in SHORT if model in loads]
    names = list(dict.fromkeys(name for model in models for name in loads[model]))
    return _TEXT.format(
        **{name: made[name] for name in ("command", "date", "processor", "cores", "system", "python", "load")},
        seconds=made["seconds"],
        rounds=_count(made["rounds"], "round"),
        versions=", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        rows="\n".join(
            _row(figure, Comparison(**figures[figure.key]), _no_evidence(figure, results)) for figure in FIGURES
        ),
        engine=ENGINE,
        busy=_BUSY if made["load"] > _BUSY_LOAD else "",
        open_loop="\n".join(_open(what, found) for what, found in results["open_loop"].items()),
        models=" | ".join(f"{SHORT[model]}, requests/s | CPU a request | of its core" for model in models),
        rules="---|---|---|" * len(models),
        servers="\n".join(
            f"| {name} | " + " | ".join(_load(loads[model].get(name)) for model in models) + " |" for name in names
        ),
        engine_rows=" | ".join(
            f"- | {_side(Unit.MICROSECONDS, results['engine'][model]['row'])} | -" for model in models
        ),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _row(figure: Figure, found: Comparison, no_evidence: str) -> str:
    alone = figure.sense is Sense.VALUE
    cells = (
        figure.what,
        _side(figure.unit, found.ours),
        figure.peer or "-",
        "-" if alone else _side(figure.unit, found.peer),
        "-" if alone else f"**{_ratio(figure, found.ratio)}**",
        f"{_ratio(figure, found.low)} to {_ratio(figure, found.high)}",
        _ratio(figure, figure.reach) if figure.reach else "-",
        _ratio(figure, figure.beyond) if figure.reach else "-",
        f"no evidence: {no_evidence}" if no_evidence else verdict(figure, found.ratio),
    )
    return f"| {' | '.join(cells)} |"


def _no_evidence(figure: Figure, results: dict[str, Any]) -> str:
    """Return what disturbed a figure so much that it proves nothing, if anything did."""
    kind, _, model = figure.key.partition("/")
    if kind == "rate":
        load = results["servers"][model][NGINX]
        share = load["rate"] * load["cpu"]
        return f"nginx used {share:.0%} of its core, so that it was no ceiling" if share < _CEILING_SHARE else ""
    open_loop = results["open_loop"].get(model or kind) if kind in ("open", "floor", "isolation") else None
    return _fault(open_loop) if open_loop else ""


def verdict(figure: Figure, ratio: float) -> str:
    """Say whether a figure is reached, and why it is not."""

    def holds(asked: float) -> bool:
        return ratio <= asked if figure.sense in (Sense.AT_MOST, Sense.VALUE) else ratio >= asked

    return judge(figure.reach, figure.beyond, holds, REASONS.get(figure.key, ""))


def _ratio(figure: Figure, ratio: float) -> str:
    if figure.sense is Sense.VALUE:
        return _side(figure.unit, ratio)
    digits = 0 if abs(ratio) >= 100 else 1 if abs(ratio) >= 10 else 2
    return f"{ratio:.{digits}f}" + ("x" if figure.sense is Sense.TIMES_LESS else "")


def _side(unit: Unit, value: float) -> str:
    value *= _FACTORS.get(unit, 1.0)
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return f"{text}/s" if unit is Unit.PER_SECOND else f"{text} {unit.value}"


def _load(load: dict[str, float] | None) -> str:
    if load is None:
        return "- | - | -"
    return f"{load['rate']:,.0f} | {_side(Unit.MICROSECONDS, load['cpu'])} | {load['rate'] * load['cpu']:.0%}"


def _open(what: str, found: dict[str, Any]) -> str:
    text = _OPEN.format(what=_OPEN_LOOPS[what], rate=found["rate"], delay=found["delay"] * 1e6)
    if "server_busy" in found:
        text += f"; the server used {found['server_busy']:.0%} of its core"
    fault = _fault(found)
    return f"- {text}{f'; {fault}' if fault else ''}."


def _fault(open_loop: dict[str, Any]) -> str:
    """Return why an open loop proves nothing of the server, if it had a fault."""
    return next((text for fault, text in _FAULTS.items() if open_loop[fault]), "")
