"""All engines on the same models, in turn, in one process: ``python bench/peers/forest_engines.py FOLDER``.

Runs in the environment of `requirements/peer-forests.txt`, with the repository on the path.
"""

import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime
import tl2cgen
import treelite

from runtime.compiled.engine import CompiledEngine
from runtime.compiled.lowering import read_program

SINGLE_ROWS = 200
BATCHES = (1, 10, 100, 1_000, 10_000, 100_000)
SWEEP_BATCH = 10_000
_SESSIONS = 4
"""Sessions over which the memory of one is averaged."""

_SLOW, _FEWER_ROWS = {"treelite GTIL", "scikit-learn"}, 10_000
"""Engines that would take most of the time, and the rows beyond which they are left out."""

_SCALES = np.geomspace(0.01, 1000, 22)

Work = Callable[[], object]


def rows_of(count: int) -> Any:
    """Return rows as in training, but others."""
    return (np.random.default_rng(9).normal(size=(count, len(_SCALES))) * _SCALES).astype(np.float32)


class Ours:
    """The compiled engine, scaler included."""

    def __init__(self, path: Path) -> None:
        before = _resident()
        self.engine = CompiledEngine(read_program(path.with_suffix(".onnx").read_bytes()), {})
        self.bytes = self.engine.memory_bytes
        self.grown = _resident() - before

    def single(self, rows: Any) -> Work:
        """Return work over all rows, one by one."""
        row, predict = self.engine.row, self.engine.predict_one

        def work() -> None:
            for values in rows:
                row[0] = values
                predict()

        return work

    def batch(self, rows: Any) -> Work:
        """Return work over all rows at once."""
        return lambda: self.engine.predict(rows)


class Onnxruntime:
    """onnxruntime on one thread, by buffers that are bound once, scaler included."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        # The first session brings memory of the library, and what parsing leaves behind serves the next one.
        sessions, before = [], 0
        for index in range(2 + _SESSIONS):
            before = _resident() if index == 2 else before
            sessions.append(onnxruntime.InferenceSession(str(path.with_suffix(".onnx")), options))
        self.grown = (_resident() - before) // _SESSIONS
        self.session = sessions[0]

    def single(self, rows: Any) -> Work:
        """Return work over all rows, one by one."""
        row, answer = np.zeros((1, rows.shape[1]), np.float32), np.zeros((1, 2), np.float32)
        binding = self.session.io_binding()
        binding.bind_input("features", "cpu", 0, np.float32, row.shape, row.ctypes.data)
        binding.bind_output("probabilities", "cpu", 0, np.float32, answer.shape, answer.ctypes.data)
        run, bound = self.session._sess.run_with_iobinding, binding._iobinding
        self._kept = row, answer, binding

        def work() -> None:
            for values in rows:
                row[0] = values
                run(bound, None)

        return work

    def batch(self, rows: Any) -> Work:
        """Return work over all rows at once."""
        return lambda: self.session.run(["probabilities"], {"features": rows})


class Tl2cgen:
    """C code of the trees by tl2cgen and gcc, on rows that are scaled already, in matrices made beforehand."""

    def __init__(self, path: Path) -> None:
        library = path.with_suffix(".so")
        self.scaler, classifier = joblib.load(path.with_suffix(".joblib"))
        model = treelite.sklearn.import_model(classifier)
        tl2cgen.export_lib(model, toolchain="gcc", libpath=str(library), params={"parallel_comp": 16})
        self.predictor = tl2cgen.Predictor(str(library), nthread=1)

    def single(self, rows: Any) -> Work:
        """Return work over all rows, one by one."""
        matrices = [tl2cgen.DMatrix(row[None], dtype="float32") for row in self.scaler.transform(rows)]
        return lambda: [self.predictor.predict(matrix) for matrix in matrices]

    def batch(self, rows: Any) -> Work:
        """Return work over all rows at once."""
        matrix = tl2cgen.DMatrix(self.scaler.transform(rows), dtype="float32")
        return lambda: self.predictor.predict(matrix)


class Gtil:
    """treelite's own interpreter, on rows that are scaled already."""

    def __init__(self, path: Path) -> None:
        text = path.with_suffix(".txt")
        self.scaler = None
        if text.exists():
            self.model = treelite.frontend.load_lightgbm_model(text)
        else:
            self.scaler, classifier = joblib.load(path.with_suffix(".joblib"))
            self.model = treelite.sklearn.import_model(classifier)

    def _scaled(self, rows: Any) -> Any:
        return rows if self.scaler is None else self.scaler.transform(rows)

    def single(self, rows: Any) -> Work:
        """Return work over all rows, one by one."""
        given = [row[None] for row in self._scaled(rows)]
        return lambda: [treelite.gtil.predict(self.model, row, nthread=1) for row in given]

    def batch(self, rows: Any) -> Work:
        """Return work over all rows at once."""
        scaled = self._scaled(rows)
        return lambda: treelite.gtil.predict(self.model, scaled, nthread=1)


class Lleaves:
    """LightGBM's trees compiled by lleaves."""

    def __init__(self, path: Path) -> None:
        import lleaves

        self.model = lleaves.Model(model_file=str(path.with_suffix(".txt")))
        self.model.compile()

    def single(self, rows: Any) -> Work:
        """Return work over all rows, one by one."""
        given = [row[None] for row in rows]
        return lambda: [self.model.predict(row, n_jobs=1) for row in given]

    def batch(self, rows: Any) -> Work:
        """Return work over all rows at once."""
        return lambda: self.model.predict(rows, n_jobs=1)


class ScikitLearn:
    """scikit-learn itself, scaler included, on one thread."""

    def __init__(self, path: Path) -> None:
        self.model = joblib.load(path.with_suffix(".joblib"))
        if hasattr(self.model[-1], "n_jobs"):
            self.model[-1].n_jobs = None

    def single(self, rows: Any) -> Work:
        """Return work over all rows, one by one."""
        given = [row[None] for row in rows]
        return lambda: [self.model.predict_proba(row) for row in given]

    def batch(self, rows: Any) -> Work:
        """Return work over all rows at once."""
        return lambda: self.model.predict_proba(rows)


def _resident() -> int:
    """Return the bytes that this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def engines(stem: str) -> dict[str, Any]:
    """Return the engines that run a kind of model."""
    every: dict[str, Any] = {"ours": Ours, "onnxruntime": Onnxruntime}
    if stem.startswith("LightGBM"):
        return every | {"lleaves": Lleaves, "treelite GTIL": Gtil}
    if stem.startswith("logistic"):
        return every | {"scikit-learn": ScikitLearn}
    return every | {"tl2cgen": Tl2cgen, "treelite GTIL": Gtil, "scikit-learn": ScikitLearn}


def seconds_of(work: Work) -> float:
    """Return the processor time of a call, which other processes disturb least."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def paired(works: dict[str, Work], rows: dict[str, int], seconds: float) -> dict[str, Any]:
    """Time all in turn for about so many seconds; return medians in seconds a row, and ratios to ours of each round."""
    calls = {}
    for name, work in works.items():
        seconds_of(work)  # the first call touches the memory of the answer
        calls[name] = max(1, int(2e-3 / max(seconds_of(work), 1e-7))) if rows[name] <= _FEWER_ROWS else 1
    times: dict[str, list[float]] = {name: [] for name in works}
    end = time.perf_counter() + seconds
    while len(times["ours"]) < 3 or (time.perf_counter() < end and len(times["ours"]) < 60):
        for name, work in works.items():
            taken = seconds_of(lambda work=work, name=name: [work() for _ in range(calls[name])])  # type: ignore[misc]
            times[name].append(taken / calls[name] / rows[name])
    found: dict[str, Any] = {}
    for name, samples in times.items():
        ratios = np.array(samples) / np.array(times["ours"])
        found[name] = {
            "row": statistics.median(samples),
            "ratio": statistics.median(samples) / statistics.median(times["ours"]),
            "quartiles": [float(value) for value in np.percentile(ratios, [25, 75])],
        }
    return found


def check(made: dict[str, Any], rows: Any) -> None:
    """Stop where engines do not answer alike; thresholds of float64 may decide otherwise on a row in a thousand."""
    answers = {name: np.asarray(engine.batch(rows)()).reshape(len(rows), -1)[:, -1] for name, engine in made.items()}
    for name, answer in answers.items():
        differ = int((np.abs(answer - answers["ours"]) > 1e-4).sum())
        if differ > len(rows) // 1_000:
            raise SystemExit(f"{name}: {differ} of {len(rows)} probabilities differ from ours")


def measure(path: Path, batches: tuple[int, ...], names: set[str] | None, seconds: float) -> dict[str, Any]:
    """Measure all engines on a model: single rows, and batches."""
    made = {name: kind(path) for name, kind in engines(path.name).items() if names is None or name in names}
    rows = rows_of(max(batches))
    check(made, rows[:1_000])
    few = {name: 5 if name == "scikit-learn" else SINGLE_ROWS for name in made}
    single = paired({name: engine.single(rows[: few[name]]) for name, engine in made.items()}, few, seconds)
    results: dict[str, Any] = {"single": single, "batches": {}}
    for count in batches:
        works = {
            name: engine.batch(rows[:count])
            for name, engine in made.items()
            if count <= _FEWER_ROWS or name not in _SLOW
        }
        results["batches"][count] = paired(works, dict.fromkeys(works, count), seconds)
    ours = made["ours"]
    results["memory"] = {"bytes": ours.bytes, "grown": ours.grown, "onnxruntime": made["onnxruntime"].grown}
    return results


def main(folder: Path) -> None:
    """Write what was measured beside the plan; what libraries print goes where they print it."""
    warnings.simplefilter("ignore")  # scikit-learn and LightGBM miss feature names, row by row
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    plan = json.loads((folder / "plan.json").read_text())
    seconds = plan["seconds"]
    done: dict[str, dict[str, Any]] = {"main": {}, "sweep": {}}
    for spec in plan["main"]:
        sys.stderr.write(f"{spec['name']}\n")
        done["main"][spec["name"]] = measure(folder / spec["stem"], BATCHES, None, seconds)
    for spec in plan["sweep"]:
        sys.stderr.write(f"{spec['name']}, ours and onnxruntime\n")
        path = folder / spec["stem"]
        done["sweep"][spec["name"]] = measure(path, (SWEEP_BATCH,), {"ours", "onnxruntime"}, seconds)
    (folder / "results.json").write_text(json.dumps(done))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
