"""Scoring on a real Ray, on this machine: the same files as the local engine writes, also after a kill."""

import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tickline
from tests.runtime.scoring.twin import bars, command, write_parquet

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-ray" / "bin" / "python"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ray_writes_what_the_local_engine_writes_also_after_a_kill(models: Path, tmp_path: Path) -> None:
    table = bars(30, 1000)
    table.loc[[5, 20_000], "Close"] = np.nan
    write_parquet(table, tmp_path / "bars.parquet", 2000)
    local, out = tmp_path / "local", tmp_path / "out"
    options = ["--model-path", models, "--part-rows", 1000]
    assert tickline.main(command(tmp_path / "bars.parquet", local, *options)) == 3

    arguments = command(tmp_path / "bars.parquet", out, *options, "--engine", "ray", "--workers", 2)
    killed = subprocess.Popen([PYTHON, "-m", "tickline", *arguments], stdout=subprocess.DEVNULL)
    while not list((out / ".job").glob("part-*.json")):
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (out / "manifest.json").exists()

    resumed = subprocess.run([PYTHON, "-m", "tickline", *arguments], capture_output=True, text=True)
    assert resumed.returncode == 3, resumed.stderr
    assert "errors   2 rows" in resumed.stdout
    assert _files(out) == _files(local)
