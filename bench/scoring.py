"""Scoring of whole files against a plain script: ``python -m bench.scoring [--render]``; tables in docs/scoring.md."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from bench import machine
from bench.features import bars
from bench.scoring_work import STAGES
from bench.servers import MeasureError, clean_environ

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "scoring.json"
PAGE = ROOT / "docs" / "scoring.md"
BEGIN, END = "<!-- made by python -m bench.scoring: begin -->\n", "<!-- end -->\n"

PACKAGES = ("numpy", "onnxruntime", "pandas", "pyarrow", "scikit-learn")
MODELS = {"logistic": "logistic", "forest 100 x 10": "random_forest"}
REACH = {"logistic": 50, "forest 100 x 10": 20}
LENGTHS = (252, 2_520)
CASES = (
    (".parquet", "logistic", "plain"),
    (".csv", "logistic", "plain"),
    (".parquet", "forest 100 x 10", "plain"),
    (".parquet", "forest 100 x 10", "plain, all cores"),
)
ROWS = 1_008_000
LARGER = (1_008_000, 3_024_000, 10_080_000)
_ROUNDS = 2
_GROUP = 1 << 20
_TRAINED_ON = 10


def write_bars(path: Path, rows: int, length: int) -> None:
    """Write bars of tickers of one length, one ticker after the other, in row groups as pandas makes them."""
    dates = np.datetime64("2010-01-04", "us") + np.arange(length) * np.timedelta64(1, "D")
    schema = pa.schema([("Date", pa.timestamp("us")), ("Ticker", pa.string())])
    for name in ("Open", "High", "Low", "Close", "Volume"):
        schema = schema.append(pa.field(name, pa.float64()))
    parquet = path.suffix == ".parquet"
    with pq.ParquetWriter(path, schema) if parquet else pa.csv.CSVWriter(path, schema) as writer:
        for first in range(0, rows, _GROUP):
            count = min(_GROUP, rows - first)
            places = np.arange(first, first + count)
            names = pa.array([f"T{number:06d}" for number in range(places[0] // length, places[-1] // length + 1)])
            tickers = pa.DictionaryArray.from_arrays(places // length - places[0] // length, names).cast(pa.string())
            writer.write_table(pa.table([dates[places % length], tickers, *bars(count, seed=first)], schema=schema))


def _run(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, env=clean_environ()
    )
    if done.returncode:
        raise MeasureError(f"{arguments[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def make_models(models: Path) -> None:
    """Train and export the models that are not in a folder yet; raises MeasureError."""
    models.mkdir(parents=True, exist_ok=True)
    bars_file = models / "train.parquet"
    write_bars(bars_file, _TRAINED_ON * LENGTHS[1], LENGTHS[1])
    for model in MODELS.values():
        if not (models / model / "model.onnx").exists():
            _run("tickline", "train", "--data", bars_file, "--model", model, "--model-path", models / model)
            _run("tickline", "export", "--model-path", models / model)


def measure(models: Path) -> dict[str, Any]:
    """Write bars, and time all ways on them; raises MeasureError."""
    made = machine.describe("python -m bench.scoring", PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def timed(way: str, path: Path, model: str) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(
                _run("bench.scoring_work", way, path, models / MODELS[model], folder / "out")
            )
            return found

        speed = []
        for length in LENGTHS:
            for suffix, model, way in CASES:
                path = folder / f"bars-{length}{suffix}"
                if not path.exists():
                    write_bars(path, ROWS, length)
                own = [timed("ours", path, model) for _ in range(_ROUNDS)]
                theirs = timed(way, path, model)
                if theirs["rows"] != own[0]["rows"]:
                    raise MeasureError(f"{way}: expected {own[0]['rows']} rows, got {theirs['rows']}")
                best = min(own, key=lambda one: float(one["seconds"]))
                speed.append(
                    {"model": model, "format": suffix[1:], "length": length, "way": way, "ours": best, "theirs": theirs}
                )
        shares = []
        for suffix, model, way in CASES:
            if way == "plain":
                path = folder / f"bars-{LENGTHS[1]}{suffix}"
                spent = min((timed("shares", path, model) for _ in range(_ROUNDS)), key=lambda one: sum(one.values()))
                shares.append({"model": model, "format": suffix[1:], "length": LENGTHS[1], "spent": spent})
        memory = []
        for suffix in (".parquet", ".csv"):
            for rows in LARGER:
                path = folder / f"larger{suffix}"
                write_bars(path, rows, LENGTHS[1])
                memory.append({"bars": rows, "format": suffix[1:], **timed("ours", path, "logistic")})
                path.unlink()
    return {"made": made, "rows": ROWS, "speed": speed, "shares": shares, "memory": memory}


def render(results: dict[str, Any]) -> str:
    """Return the tables, with what they were made from and by."""
    made = results["made"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    rows = []
    for one in results["speed"]:
        own, theirs = one["ours"], one["theirs"]
        cells = [
            one["model"],
            f"{one['format']}, {one['length']:,} bars a ticker",
            one["way"],
            *(f"{results['rows'] / side['seconds']:,.0f}" for side in (own, theirs)),
            f"**{theirs['seconds'] / own['seconds']:.0f}x**",
            f"{REACH[one['model']]}x",
            *(f"{side['processor'] / results['rows'] * 1e6:.2f} us" for side in (own, theirs)),
            f"{theirs['processor'] / own['processor']:.0f}x",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    shares = []
    for one in results["shares"]:
        (theirs,) = (
            case["theirs"]
            for case in results["speed"]
            if case["way"] == "plain" and all(case[name] == one[name] for name in ("model", "format", "length"))
        )
        asked = made["cores"] * theirs["seconds"] / REACH[one["model"]]
        cells = [one["model"], f"{one['format']}, {one['length']:,} bars a ticker"]
        times = [*(one["spent"][stage] for stage in STAGES), sum(one["spent"].values()), asked]
        cells += [f"{seconds / results['rows'] * 1e6:.2f} us" for seconds in times]
        shares.append(f"| {' | '.join(cells)} |")
    larger = [
        f"| {one['format']} | {one['bars']:,} | {one['memory'] / 1e6:,.0f} MB | {one['bars'] / one['seconds']:,.0f} |"
        for one in results["memory"]
    ]
    return f"""Made by `{made["command"]}` on {made["date"]}: {made["processor"]}, {made["cores"]} cores, Python \
{made["python"]}, {versions}; load of the machine when it began: {made["load"]}.

| model | {results["rows"]:,} bars | against | ours, rows/s | theirs | ratio | asked for | ours, CPU | theirs | ratio |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

| model | a row's time on one core | {" | ".join(STAGES)} | all | asked for |
|---|---|{"---|" * (len(STAGES) + 2)}
{chr(10).join(shares)}

| format | bars | memory | rows/s |
|---|---|---|---|
{chr(10).join(larger)}
"""


def write_page() -> None:
    """Put the tables of the results into the page."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(head + BEGIN + render(json.loads(RESULTS.read_text())) + END + tail)


def main(arguments: Sequence[str]) -> None:
    """Measure and write, or write alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.scoring", description=__doc__)
    parser.add_argument("--render", action="store_true", help="write the page from the results alone")
    parser.add_argument("--models", type=Path, metavar="DIR", help="make the models there, if they are not")
    options = parser.parse_args(arguments)
    if not options.render:
        with tempfile.TemporaryDirectory() as folder:
            models = (options.models or Path(folder)).resolve()
            make_models(models)
            RESULTS.write_text(json.dumps(measure(models), indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main(sys.argv[1:])
