"""Engines against each other on the same models: ``python -m bench.engines [seconds a measurement]``.

Writes docs/engines-benchmark.md and bench/results/engines.json; ``--render`` writes the page from the results alone.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.engine_models import BOOSTING, FOREST, LOGISTIC, MAIN, SWEEP, write_files, write_plan
from bench.machine import caches, processor
from bench.peer_environments import ROOT, environment, versions
from runtime.compiled.kernels import find

PAGE = ROOT / "docs" / "engines-benchmark.md"
RESULTS = ROOT / "bench" / "results" / "engines.json"
_PEERS = ("numpy", "onnxruntime", "tl2cgen", "treelite", "lleaves", "lightgbm", "scikit-learn")

Results = dict[str, Any]

_ASKED = (
    ("forest 100 x 10, single row, against onnxruntime", FOREST, "single", "onnxruntime", 5, 8),
    ("forest 100 x 10, 10,000 rows, against onnxruntime", FOREST, "10000", "onnxruntime", 3, 6),
    ("forest 100 x 10, 10,000 rows, against tl2cgen", FOREST, "10000", "tl2cgen", 3, 5),
    ("boosting 100 x 3, single row, against onnxruntime", BOOSTING, "single", "onnxruntime", 3, 6),
    ("logistic, single row, against onnxruntime", LOGISTIC, "single", "onnxruntime", 3, 6),
)


def measure(seconds: float) -> Results:
    """Train, and measure in the peers' environment."""
    python = environment("forests") / "python"
    with tempfile.TemporaryDirectory() as folder:
        for spec in {*MAIN, *SWEEP}:
            write_files(spec, Path(folder))
        write_plan(Path(folder), MAIN, SWEEP, seconds)
        environ = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
        command = [str(python), str(ROOT / "bench" / "peers" / "forest_engines.py"), folder]
        load = os.getloadavg()[0]
        subprocess.run(command, env=environ | {"PYTHONPATH": str(ROOT)}, check=True)
        found: Results = json.loads((Path(folder) / "results.json").read_text())
    machine = {
        "processor": processor(),
        "caches": caches(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernels": find().target,
        "versions": versions("forests", _PEERS),
        "load": round(load, 1),
        "seconds": seconds,
    }
    return {"machine": machine, **found}


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} us" if seconds >= 1e-6 else f"{seconds * 1e9:.0f} ns"


def _asked(results: Results) -> str:
    lines = ["| work | ratio | 25-75 % of rounds | reach | beyond |", "|---|---|---|---|---|"]
    for name, spec, what, peer, reach, beyond in _ASKED:
        model = results["main"][spec.name]
        found = (model["single"] if what == "single" else model["batches"][what])[peer]
        low, high = found["quartiles"]
        lines.append(f"| {name} | **{found['ratio']:.1f}x** | {low:.1f}-{high:.1f} | {reach}x | {beyond}x |")
    memory = results["main"][FOREST.name]["memory"]
    share = memory["bytes"] / memory["onnxruntime"]
    lines.append(f"| forest 100 x 10, memory beside onnxruntime's | **{share:.2f}x** | | 0.5x | 0.25x |")
    return "\n".join(lines)


def _model(name: str, model: Results) -> str:
    peers = [peer for peer in model["single"] if peer != "ours"]
    lines = [f"### {name}", "", f"| rows | ours, a row | {' | '.join(peers)} |", "|---" * (len(peers) + 2) + "|"]
    for rows, found in (("1, by its own call", model["single"]), *model["batches"].items()):
        cells = [
            f"{_time(found[peer]['row'])} ({found[peer]['ratio']:.1f}x)" if peer in found else "-" for peer in peers
        ]
        label = rows if not rows.isdigit() else f"{int(rows):,}"
        lines.append(f"| {label} | {_time(found['ours']['row'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _sweep(results: Results) -> str:
    rooms = results["machine"]["caches"]
    lines = [
        "| forest | arrays | fits | single row, ours | onnxruntime | 10,000 rows, ours a row | onnxruntime |",
        "|---" * 7 + "|",
    ]
    for name, model in results["sweep"].items():
        size = model["memory"]["bytes"]
        fits = next((level for level, room in rooms.items() if size <= room), "memory")
        single, batch = model["single"], model["batches"]["10000"]
        cells = [
            f"{_time(found['ours']['row'])} | {_time(found['onnxruntime']['row'])} "
            f"({found['onnxruntime']['ratio']:.1f}x)"
            for found in (single, batch)
        ]
        lines.append(f"| {name} | {size / 1024:,.0f} KiB | {fits} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(results: Results) -> str:
    """Return the document."""
    machine = results["machine"]
    sizes = ", ".join(f"{level} {size >> 10:,} KiB" for level, size in machine["caches"].items())
    pins = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    models = "\n\n".join(_model(name, model) for name, model in results["main"].items())
    return f"""# Engines: measured against each other

Made by `python -m bench.engines {machine["seconds"]:g}`: {machine["processor"]}, {machine["cores"]} cores, caches of \
one: {sizes}; Python \
{machine["python"]}, {pins}; kernels {machine["kernels"]}; \
other work on the machine when it began: load {machine["load"]}.

All engines run the same models on the same rows in one process on one core, in turn, in short rounds; times are
processor time, medians over rounds. "ratio" is that of the medians, theirs to ours. Every row differs from the one
before it; all give the same probabilities, which is checked. Ours and onnxruntime include the scaler; onnxruntime runs
on one thread, its single rows by buffers bound once. tl2cgen and treelite get scaled rows, and tl2cgen's matrices are
made beforehand. LightGBM's model has no scaler.

## What was asked for

{_asked(results)}

Memory is that of our arrays beside the growth of the process for one more session of onnxruntime with the model.

## Single rows and batches

{models}

## From one tree cache to the next

Forests of 22 features; "fits" is the nearest cache that holds all arrays. On one row's way a tree of depth d is touched
in d / 2 cache lines, so times grow slowly where a forest leaves a cache.

{_sweep(results)}
"""


def main(arguments: list[str]) -> None:
    """Measure and write, or write alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description="Measure engines on the same models.")
    parser.add_argument("seconds", nargs="?", type=float, default=0.8, help="of a measurement (default: %(default)s)")
    parser.add_argument("--render", action="store_true", help="write the page from the results alone")
    options = parser.parse_args(arguments)
    if not options.render:
        RESULTS.write_text(json.dumps(measure(options.seconds), indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main(sys.argv[1:])
