"""Reloads under load, every reply checked: ``python -m bench.reloads [--render]`` writes docs/reloads-soak.md.

A server changes between two models while clients ask for single predictions and for batches. Every reply must be, to
the last bit, what the model file computes whose version it names. Reloads are by file, by version, by file and by
rollback in turn. The memory of every worker is what `/metrics` says of it.
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from bench import machine
from bench.arguments import count
from bench.models import LABELS, random_rows
from bench.reload_plot import draw_memory
from bench.servers import Contender, MeasureError, Request, Server, started
from features_fast import FEATURE_NAMES
from runtime.model import load_model

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "reloads.json"
PAGE = ROOT / "docs" / "reloads-soak.md"
PICTURE = ROOT / "docs" / "reloads-soak.svg"

RELOADS, WORKERS = 1000, 2
VERSIONS = "1.0.0", "2.0.0"
BATCH_ROWS = 5000

_SINGLE_CLIENTS = 3
_SINGLE_ROWS = 500  # that they ask for in turn
_SAMPLE_EVERY = 5  # reloads a sample of memory
_JUDGED = 100  # fewer samples of memory say nothing of growth
_MOST_GROWTH = 0.1  # of a worker's memory from the second tenth of the run to the last, as a share

_TEXT = """# {reloads:,} reloads under load

Made by `{command}` on {date}: {processor}, {cores} cores, {system}, Python {python}; load of the machine when it began:
{load}. {versions}.

{workers} workers changed {reloads:,} times between two models, gradient boosting of 100 trees each, in
{seconds:,.0f} s. Meanwhile {clients} clients asked for single predictions and one for batches of {batch_rows:,} rows,
each as fast as it was answered. Every reply was compared, bit for bit, with what the model file computes whose version
it names.

| | |
|---|---|
| reloads by file, by version, by rollback | {by_file:,}, {by_version:,}, {by_rollback:,} |
| reloads that were refused or unfinished | {refused:,} |
| replies to single predictions | {singles:,} |
| replies to batches, and rows in them | {batches:,}, {rows:,} |
| requests that failed | **{failed:,}** |
| replies that were not those of the version that they name | **{wrong:,}** |
| of these, replies with rows of the other model | **{mixed:,}** |
| from the request to the reply of a reload | median {median:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms |
| resident memory of each worker, median of the second tenth of the run and of the last | {memory} |

![resident memory of every worker over the reloads](reloads-soak.svg)
"""


@dataclass(slots=True)
class Tally:
    """What one client found.

    Attributes
    ----------
    replies : Counter
        Replies by the version that they name.
    rows : int
        Predictions in them.
    failed, wrong, mixed : int
        Requests without a reply of status 200; replies that are not those of the model that they name; those of these
        in which a row is that of the other model.
    example : str
        The first that was failed or wrong.
    """

    replies: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    failed: int = 0
    wrong: int = 0
    mixed: int = 0
    example: str = ""


class Expected:
    """What both model files compute for some rows.

    Parameters
    ----------
    files : sequence of Path
        Model files, in the order of `VERSIONS`.
    rows : ndarray
        Rows, float32 (n, features).

    Attributes
    ----------
    answers : dict
        Probabilities of all rows, float32 (n, classes), by version.

    Raises
    ------
    MeasureError
        Where both answer a row alike, so that no reply to it tells which of them it is of.
    """

    def __init__(self, files: Sequence[Path], rows: NDArray[np.float32]) -> None:
        self.rows = rows
        self.answers = {
            version: load_model(file, threads=1).predictor.predict(rows)
            for version, file in zip(VERSIONS, files, strict=True)
        }
        one, other = self.answers.values()
        if (one == other).all(axis=1).any():
            raise MeasureError("both models answer a row alike; choose other models or rows")

    def check(self, tally: Tally, version: str, found: NDArray[np.float32], first: int) -> None:
        """Count a reply that names a version: probabilities, float32 (n, classes), of rows from `first` on."""
        tally.replies[version] += 1
        tally.rows += len(found)
        right = {name: answers[first : first + len(found)] for name, answers in self.answers.items()}
        if version in right and np.array_equal(found, right[version]):
            return
        tally.wrong += 1
        tally.example = tally.example or f"not what {version} computes: {found[:2].tolist()}"
        tally.mixed += any((found == rows).all(axis=1).any() for name, rows in right.items() if name != version)


def _ask_single(server: Server, expected: Expected, tally: Tally, done: threading.Event) -> None:
    """Ask for one row after the other until it is done."""
    bodies = [json.dumps({"features": row.tolist()}).encode() for row in expected.rows]
    requests = [Request("/predict", body, {"Content-Type": "application/json"}) for body in bodies]

    def check(number: int, reply: Any) -> None:
        found = np.array([[reply["probabilities"][label] for label in LABELS]], np.float32)
        expected.check(tally, reply["model_version"], found, number)

    _ask(server, requests, check, tally, done)


def _ask_batches(server: Server, expected: Expected, tally: Tally, done: threading.Event) -> None:
    """Ask for all rows at once, again and again, until it is done."""
    body = json.dumps({"features": expected.rows.tolist()}).encode()
    request = Request("/predict/batch?layout=columns", body, {"Content-Type": "application/json"})

    def check(number: int, reply: Any) -> None:
        found = np.array([reply["probabilities"][label] for label in LABELS], np.float32).T
        expected.check(tally, reply["model_version"], found, 0)

    _ask(server, [request], check, tally, done)


def _ask(server: Server, requests: Sequence[Request], check: Any, tally: Tally, done: threading.Event) -> None:
    connection = server.connect()
    number = 0
    while not done.is_set():
        try:
            status, body = requests[number].send(connection)
            if status == 200:
                check(number, json.loads(body))
            else:
                tally.failed += 1
                tally.example = tally.example or body.decode(errors="replace")[:500]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            tally.failed += 1
            tally.example = tally.example or repr(error)
            connection.close()
        number = (number + 1) % len(requests)
    connection.close()


class _Reloader:
    """Changes the model of a server, and keeps what it saw.

    Parameters
    ----------
    server : Server
        The server.
    files : sequence of Path
        Model files, in the order of `VERSIONS`.
    served : Path
        The file that the server reads, which holds the first one.
    """

    def __init__(self, server: Server, files: Sequence[Path], served: Path) -> None:
        self._server = server
        self._contents = [file.read_bytes() for file in files]
        self._served = served
        self.ways: Counter[str] = Counter()
        self.refused: list[str] = []
        self.seconds: list[float] = []
        self.memory: dict[str, list[float]] = {}

    def reload(self, number: int) -> None:
        """Serve the other model."""
        target = (number + 1) % 2
        way = ("file", "version", "file", "rollback")[number % 4]
        wish: dict[str, Any] = {"version": VERSIONS[target]} if way == "version" else {"rollback": True}
        if way == "file" or number < 2:  # before both have been served, neither is kept
            way, wish = "file", {}
            new = self._served.with_suffix(".new")
            new.write_bytes(self._contents[target])
            new.replace(self._served)
        request = Request("/reload", json.dumps(wish).encode(), {"Content-Type": "application/json"})
        begin = time.perf_counter()
        status, body = self._server.ask(request)
        self.seconds.append(time.perf_counter() - begin)
        self.ways[way] += 1
        if status != 200 or json.loads(body)["model_version"] != VERSIONS[target]:
            self.refused.append(body.decode(errors="replace")[:500])

    def sample(self) -> None:
        """Note the resident memory of every worker, in bytes."""
        _, text = self._server.ask(Request("/metrics"))
        for family in text_string_to_metric_families(text.decode()):
            if family.name == "process_resident_memory_bytes":
                for sample in family.samples:
                    self.memory.setdefault(sample.labels["worker"], []).append(sample.value)


def make_models(folder: Path) -> list[Path]:
    """Return the files of two models, whose versions are `VERSIONS`."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from export import export_classifier

    rows = random_rows(2000, seed=0)
    files = []
    for seed, version in enumerate(VERSIONS):
        target = (rows[:, seed] / np.abs(rows[:, seed]).mean() + rows[:, 21] / 1000 > 0).astype(int)
        classifier = GradientBoostingClassifier(n_estimators=100, max_depth=3, subsample=0.5, random_state=seed)
        files.append(folder / f"{version}.onnx")
        export_classifier(
            make_pipeline(StandardScaler(), classifier).fit(rows, target),
            files[-1],
            rows=rows,
            test_rows=rows,
            name="soak",
            version=version,
            feature_names=FEATURE_NAMES,
            labels=LABELS,
        )
    return files


def soak(reloads: int, workers: int, shown: bool = False) -> dict[str, Any]:
    """Reload under load, and return what was found; raises MeasureError."""
    made = machine.describe(f"python -m bench.reloads --reloads {reloads} --workers {workers}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_models(folder)
        served = folder / "model.onnx"
        served.write_bytes(files[0].read_bytes())
        environ = {"HOST": "127.0.0.1", "PORT": "{port}", "WORKERS": str(workers), "MODEL_PATH": str(served)}
        command = [sys.executable, "-m", "tickline", "serve"]
        contender = Contender("Tickline", command, Request("/health/ready"), environ)
        single, batch = (Expected(files, random_rows(count, seed=7)) for count in (_SINGLE_ROWS, BATCH_ROWS))
        with started(contender, sorted(os.sched_getaffinity(0))) as server:
            return {"made": made, **_drive(server, files, served, single, batch, reloads, workers, shown)}


def _drive(
    server: Server,
    files: Sequence[Path],
    served: Path,
    single: Expected,
    batch: Expected,
    reloads: int,
    workers: int,
    shown: bool,
) -> dict[str, Any]:
    done, reloader = threading.Event(), _Reloader(server, files, served)
    singles, batches = [Tally() for _ in range(_SINGLE_CLIENTS)], Tally()
    clients = [threading.Thread(target=_ask_single, args=(server, single, tally, done)) for tally in singles]
    clients.append(threading.Thread(target=_ask_batches, args=(server, batch, batches, done)))
    for client in clients:
        client.start()
    begin = time.perf_counter()
    try:
        for number in range(reloads):
            reloader.reload(number)
            if number % _SAMPLE_EVERY == 0:
                reloader.sample()
            if shown:
                sys.stderr.write(f"\r{number + 1} of {reloads} reloads, {time.perf_counter() - begin:.0f} s ")
    finally:
        done.set()
        for client in clients:
            client.join()
    tallies = [*singles, batches]
    return {
        "reloads": reloads,
        "workers": workers,
        "seconds": round(time.perf_counter() - begin, 1),
        "ways": dict(reloader.ways),
        "refused": reloader.refused,
        "reload_ms": {
            "median": round(1e3 * float(np.median(reloader.seconds)), 1),
            "p99": round(1e3 * float(np.percentile(reloader.seconds, 99)), 1),
            "longest": round(1e3 * max(reloader.seconds), 1),
        },
        "singles": dict(sum((tally.replies for tally in singles), Counter())),
        "batches": dict(batches.replies),
        "batch_rows": batches.rows,
        "failed": sum(tally.failed for tally in tallies),
        "wrong": sum(tally.wrong for tally in tallies),
        "mixed": sum(tally.mixed for tally in tallies),
        "example": next((tally.example for tally in tallies if tally.example), ""),
        "sample_every": _SAMPLE_EVERY,
        "memory_mib": {
            worker: [round(value / 2**20, 1) for value in values] for worker, values in sorted(reloader.memory.items())
        },
    }


def growth(samples: Sequence[float]) -> tuple[float, float]:
    """Return the median of the second tenth of samples, when all has been loaded once, and of the last tenth."""
    tenth = max(1, len(samples) // 10)
    early = samples[tenth : 2 * tenth] or samples  # of a run that was too short there is no second one
    return float(np.median(early)), float(np.median(samples[-tenth:]))


def find_faults(results: dict[str, Any]) -> list[str]:
    """Return what went wrong, a sentence each."""
    faults = [f"{results[what]} {what}" for what in ("failed", "wrong", "mixed") if results[what]]
    faults += [f"no reply to {what}" for what in ("singles", "batches") if not results[what]]
    if results["refused"]:
        faults.append(f"{len(results['refused'])} reloads refused: {results['refused'][0]}")
    for worker, samples in results["memory_mib"].items():
        early, late = growth(samples)
        if len(samples) >= _JUDGED and late > early * (1 + _MOST_GROWTH):
            faults.append(f"worker {worker} has grown from {early:.0f} to {late:.0f} MiB")
    return faults


def render(results: dict[str, Any]) -> str:
    """Return the page."""
    made, ways, took = results["made"], results["ways"], results["reload_ms"]
    tenths = [growth(samples) for samples in results["memory_mib"].values()]
    return _TEXT.format(
        **{
            **made,
            "date": made["date"][:10],
            "versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        },
        **{name: results[name] for name in ("reloads", "workers", "seconds", "failed", "wrong", "mixed")},
        clients=_SINGLE_CLIENTS,
        batch_rows=BATCH_ROWS,
        by_file=ways.get("file", 0),
        by_version=ways.get("version", 0),
        by_rollback=ways.get("rollback", 0),
        refused=len(results["refused"]),
        singles=sum(results["singles"].values()),
        batches=sum(results["batches"].values()),
        rows=results["batch_rows"],
        **took,
        memory="; ".join(f"{early:.1f} and {late:.1f} MiB" for early, late in tenths),
    )


def main(arguments: list[str]) -> int:
    """Write results, page and picture; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.reloads",
        description="Reload a server under load, and check every reply.",
        epilog="example: python -m bench.reloads --reloads 100 --json",
    )
    parser.add_argument("--reloads", type=count, default=RELOADS, metavar="N", help="(%(default)s)")
    parser.add_argument("--workers", type=count, default=WORKERS, metavar="N", help="worker processes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results, and write nothing")
    parser.add_argument("--render", action="store_true", help="write page and picture from results that are there")
    options = parser.parse_args(arguments)
    if not options.render:
        try:
            results = soak(options.reloads, options.workers, sys.stderr.isatty())
        except MeasureError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        faults = find_faults(results)
        for fault in faults:
            sys.stderr.write(f"{fault}\n")
        if options.json or faults:
            sys.stdout.write(json.dumps(results) + "\n")
            return 1 if faults else 0
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(render(results))
    PICTURE.write_text(draw_memory(results["memory_mib"], results["sample_every"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
