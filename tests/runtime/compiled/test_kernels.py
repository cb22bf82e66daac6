"""Where the kernels come from: a library that fits, or one clear line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features_fast.errors import TicklineError
from features_fast.library import targets
from runtime.compiled.kernels import find, fingerprint, library_path, load


def test_the_library_that_was_built_is_found() -> None:
    assert find().target in targets()


def test_without_a_library_one_line_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(TicklineError, match=r"no kernels built ahead of time: .*python -m runtime\.build makes it"):
        find(tmp_path)


def test_a_library_of_other_source_is_stale(tmp_path: Path) -> None:
    path = library_path(targets()[0], tmp_path)
    shutil.copy(library_path(targets()[0]), path)
    content = path.read_bytes()

    assert content.count(fingerprint().encode()) == 1
    path.write_bytes(content.replace(fingerprint().encode(), b"0" * 64))
    with pytest.raises(TicklineError, match=r"built from other source; build it again with python -m runtime\.build"):
        load(path)
    with pytest.raises(TicklineError, match="built from other source"):
        find(tmp_path)


def test_what_is_no_library_is_said_to_be_none(tmp_path: Path) -> None:
    path = library_path(targets()[0], tmp_path)
    path.write_bytes(b"text")
    with pytest.raises(TicklineError, match="expected a library of kernels"):
        load(path)


def test_an_engine_runs_without_numba() -> None:
    code = (
        "import sys; from runtime.compiled.engine import CompiledEngine; from runtime.compiled.program import Program; "
        "print(CompiledEngine(Program(3, 3, ()), {}).predict_one().shape, {'numba', 'llvmlite'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert answer.split() == ["(3,)", "set()"]
