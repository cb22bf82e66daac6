"""Building the kernels of batches: a library that needs nothing of numba, or one clear line."""

import subprocess
import sys
from pathlib import Path

import pytest

from features_fast import build as build_module
from features_fast.build import build
from runtime.build import CODEC
from runtime.codec import library_path


def test_the_library_loads_without_numba(codec_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from runtime.codec import load; "
        f"print(load(Path({str(codec_path)!r})).target, 'numba' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert answer.split() == [codec_path.stem.removeprefix("_codec-"), "False"]


def test_the_command_is_that_of_all_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def record(command: list[str], environment: dict[str, str]) -> None:
        built.append(command)
        if command[0] == "cc":
            Path(command[command.index("-o") + 1]).write_bytes(b"")

    monkeypatch.setattr(build_module, "_run", record)
    assert build("x86-64", tmp_path, CODEC) == library_path("x86-64", tmp_path)
    assert built[0][1:4] == ["-m", "runtime.build", "--object"]
