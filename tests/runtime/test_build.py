"""Building the kernels of batches: a library that needs nothing of numba, or one clear line."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from features_fast.errors import TicklineError
from runtime import build as build_module
from runtime.build import build, main


def test_the_library_loads_without_numba(codec_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from runtime.codec import load; "
        f"print(load(Path({str(codec_path)!r})).target, 'numba' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert answer.split() == [codec_path.stem.removeprefix("_codec-"), "False"]


def test_a_missing_compiler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(TicklineError, match="is needed and not installed"):
        build("x86-64", tmp_path / "made")


def test_a_failing_compiler_says_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    monkeypatch.setattr(build_module, "TARGETS", {platform.machine(): ("x86-64",)})
    assert main([str(tmp_path / "made")]) == 1
    assert "out of luck" in capsys.readouterr().err
