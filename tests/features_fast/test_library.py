"""Where kernels come from: what is loaded, what is refused and why, and that nothing compiles behind the scenes."""

import builtins
import itertools
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import event

from features_fast import Stream, TicklineError, backend, compilations, compute, compute_last, compute_panel, library
from features_fast import _layout as at
from features_fast.library import (
    Library,
    compile_kernels,
    feature_targets,
    fingerprint,
    library_path,
    load,
    targets,
)
from tests.features_fast import naive
from tests.features_fast.conftest import Writes

Use = Callable[[Library], None]
V3_FLAGS = "flags\t\t: fpu avx avx2 bmi1 bmi2 f16c fma abm movbe xsave\n"
V4_FLAGS = V3_FLAGS.replace("\n", " avx512f avx512bw avx512cd avx512dq avx512vl avx512_vbmi2\n")


def everything(bars: naive.Bars) -> list[np.ndarray[Any, Any]]:
    """Return the rows of every function, one after the other."""
    stream = Stream()
    history = stream.extend(*bars)
    restored = Stream(np.float64)
    restored.restore(stream.snapshot())
    newest = restored.update((1.0, 2.0, 0.5, 1.5, 3.0))
    offsets = [0, len(bars[3]) // 3, len(bars[3])]
    open, high, low, close, volume = (np.tile(field, 9) for field in bars)
    many, starts = (open, high, low, close, volume), np.arange(10) * len(bars[3])
    rows = [
        compute(*bars),
        compute(*bars, dtype=np.float64),
        compute_last(*bars),
        compute_last(*bars, dtype=np.float64),
        compute_panel(*bars, offsets),
        compute_panel(*many, starts),
        compute_panel(*many, starts, dtype=np.float64),
        history,
    ]
    return rows if newest is None else [*rows, newest]


@pytest.mark.parametrize("name", naive.adversarial())
def test_both_backends_agree_bit_for_bit(name: str, compiled: Library, built: dict[str, Library], use: Use) -> None:
    bars = naive.adversarial()[name]
    use(compiled)
    expected = everything(bars)
    for kernels in built.values():
        use(kernels)
        for rows, other in zip(expected, everything(bars), strict=True):
            assert rows.tobytes() == other.tobytes(), kernels.backend


def test_backends_agree_on_a_long_series(compiled: Library, built: dict[str, Library], use: Use) -> None:
    bars = naive.bars_around(naive.walk(100_003))
    use(compiled)
    expected = compute(*bars, dtype=np.float64).tobytes()
    for kernels in built.values():
        use(kernels)
        assert compute(*bars, dtype=np.float64).tobytes() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_rows_that_go_past_the_caches_are_the_same(
    dtype: type[np.floating], offset: int, compiled: Library, built: dict[str, Library], use: Use
) -> None:
    count = at.CACHED // (at.COLUMNS * np.dtype(dtype).itemsize) + 3
    bars = naive.bars_around(naive.walk(count))
    offsets = [0, 7, 60, 60, 400, count - 131, count]
    room = np.zeros(count * at.COLUMNS + offset + 1, dtype)
    rows = room[offset:-1].reshape(count, at.COLUMNS)
    # A stream keeps its rows in the caches.
    expected = np.concatenate(
        [Stream(dtype).extend(*(field[i:j] for field in bars)) for i, j in itertools.pairwise(offsets)]
    )
    for kernels in (compiled, *built.values()):
        use(kernels)
        rows[:] = 0.0
        compute_panel(*bars, offsets, out=rows, threads=2)
        assert rows.tobytes() == expected.tobytes(), kernels.backend
        assert (room[:offset] == 0.0).all()
        assert room[-1] == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_rows_of_tickers_side_by_side_that_go_past_the_caches_are_the_same(
    dtype: type[np.floating], offset: int, compiled: Library, built: dict[str, Library], use: Use
) -> None:
    # Enough that eight and eight begin at the same place of a cache line, and some are left over.
    lengths = [503, *range(490, 500)] * 18
    offsets = np.cumsum([0, *lengths])
    count = int(offsets[-1])
    assert at.CACHED_APART < count * at.COLUMNS * np.dtype(dtype).itemsize < at.CACHED
    bars = naive.bars_around(naive.walk(count))
    room = np.zeros(count * at.COLUMNS + offset + 1, dtype)
    rows = room[offset:-1].reshape(count, at.COLUMNS)
    expected = np.concatenate(
        [Stream(dtype).extend(*(field[i:j] for field in bars)) for i, j in itertools.pairwise(offsets)]
    )
    for kernels in (compiled, *built.values()):
        use(kernels)
        rows[:] = 0.0
        compute_panel(*bars, offsets, out=rows, threads=2)
        assert rows.tobytes() == expected.tobytes(), kernels.backend
        assert (room[:offset] == 0.0).all()
        assert room[-1] == 0.0


def test_the_backend_is_named(compiled: Library, built: dict[str, Library], use: Use) -> None:
    use(compiled)
    assert backend() == "just in time: asked for by a test"
    for target, kernels in built.items():
        use(kernels)
        assert backend() == f"ahead of time, {target}"


def test_nothing_compiles_after_the_first_use(compiled: Library, use: Use) -> None:
    use(compiled)
    before = compilations()
    assert before >= 4
    with event.install_recorder("numba:compile") as recorder:
        everything(naive.bars_around(naive.walk(300)))
        compute([1.0], [1.0], [1.0], [1.0], [0.0])
    assert recorder.buffer == []
    assert compilations() == before


def test_compiling_needs_nothing_that_can_be_written(compiled: Library, writes: Writes, tmp_path: Path) -> None:
    # As on a read-only root, by a user without a home. Python's own cache of modules does without where it must.
    assert compiled.backend.startswith("just in time")
    assert [path for path in writes.paths if ".pyc" not in path and "__pycache__" not in path] == []
    writes.watched = True
    (tmp_path / "probe").write_text("seen")
    writes.watched = False
    assert writes.paths.pop() == str(tmp_path / "probe")


def test_the_first_use_compiles_where_nothing_was_built(
    monkeypatch: pytest.MonkeyPatch, compiled: Library, tmp_path: Path
) -> None:
    found, reason = library._find(tmp_path)
    assert found is None
    assert reason == "; ".join(f"no _kernels-{target}.so" for target in feature_targets())
    asked = []

    def compile_once(reason: str) -> Library:
        asked.append(reason)
        return compiled

    monkeypatch.setattr(library, "_library", None)
    monkeypatch.setattr(library, "_reason", reason)
    monkeypatch.setattr(library, "compile_kernels", compile_once)
    assert backend() == f"just in time: {reason}"
    assert asked == []
    assert library.library() is library.library() is compiled
    assert asked == [reason]


def test_the_best_library_that_fits_is_taken(folder: Path) -> None:
    found, _ = library._find(folder)
    assert found is not None
    assert found.backend == f"ahead of time, {feature_targets()[0]}"


def test_a_library_that_does_not_load_is_passed_over(folder: Path, tmp_path: Path) -> None:
    best, *others = feature_targets()
    for target in others:
        shutil.copy(library_path(target, folder), tmp_path)
    library_path(best, tmp_path).write_bytes(b"not a library")
    found, reason = library._find(tmp_path)
    if found is None:
        assert reason.startswith(f"{library_path(best).name}: expected a library of kernels, not ")
    else:
        assert found.backend == f"ahead of time, {others[0]}"


def test_a_library_of_other_source_is_refused(folder: Path, tmp_path: Path) -> None:
    path = library_path(feature_targets()[0], tmp_path)
    whole = library_path(feature_targets()[0], folder).read_bytes()
    assert whole.count(fingerprint().encode()) == 1
    path.write_bytes(whole.replace(fingerprint().encode(), b"0" * 64))
    with pytest.raises(TicklineError, match=r"built from other source; build it again with python -m features_fast"):
        load(path)


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "_kernels-none.so"
    path.write_bytes(b"no ELF file")
    with pytest.raises(TicklineError, match=r"^_kernels-none.so: expected a library of kernels, not "):
        load(path)


def test_without_numba_and_library_the_error_says_both(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_numba(name: str, *rest: Any) -> Any:
        if name == "numba":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_numba)
    with pytest.raises(
        TicklineError, match=r"no kernels built ahead of time \(none here\) and numba, .* not installed"
    ):
        compile_kernels("none here")


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", V4_FLAGS, ["x86-64-v4", "x86-64-v3", "x86-64"]),
        ("x86_64", V4_FLAGS.replace(" avx512vl", ""), ["x86-64-v3", "x86-64"]),
        ("x86_64", V4_FLAGS.replace(" avx512_vbmi2", ""), ["x86-64-v3", "x86-64"]),
        ("x86_64", V4_FLAGS.replace(" fma", ""), ["x86-64"]),
        ("x86_64", V3_FLAGS, ["x86-64-v3", "x86-64"]),
        ("x86_64", V3_FLAGS.replace(" avx2", ""), ["x86-64"]),
        ("x86_64", None, ["x86-64"]),
        ("aarch64", None, ["aarch64"]),
    ],
)
def test_a_processor_gets_no_instructions_that_it_lacks(
    machine: str, flags: str | None, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text("processor\t: 0\n" + flags)
    assert feature_targets(cpuinfo) == expected
    assert targets(cpuinfo) == [target for target in expected if target != "x86-64-v4"]


def test_a_process_with_a_built_library_holds_no_numba(folder: Path) -> None:
    path = library_path(feature_targets()[0], folder)
    code = (
        "import sys, pathlib, numpy as np\n"
        "import features_fast\n"
        "from features_fast import library\n"
        f"library._library = library.load(pathlib.Path({str(path)!r}))\n"
        "close = np.linspace(1.0, 2.0, 300)\n"
        "rows = features_fast.compute(close, close, close, close, close)\n"
        "features_fast.compute_panel(close, close, close, close, close, [0, 100, 300])\n"
        "stream = features_fast.Stream()\n"
        "stream.update((1.0, 1.0, 1.0, 1.0, 1.0))\n"
        "loaded = [name for name in ('numba', 'llvmlite', 'pandas', 'scipy') if name in sys.modules]\n"
        "print(loaded, features_fast.compilations(), np.isfinite(rows[49:]).all())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "0", "True"]


def test_a_workspace_begins_at_its_place_in_a_page() -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: library.workspace.address)
        assert library.workspace.address % at.PAGE == other.result() % at.PAGE == at.WORKSPACE_PLACE
