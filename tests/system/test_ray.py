"""Scoring on a real Ray, on this machine or on a cluster by its address: the same files as the local engine writes."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickline
from tests.foreign_files import german
from tests.runtime.scoring.twin import bars, command, write_parquet
from tests.serving import wait_until
from tests.system.containers import ROOT

pytestmark = pytest.mark.system

PROGRAMS = ROOT / ".venv-ray" / "bin"

# Nothing listens beyond loopback, so nobody has to be kept out; no end waits for actors that Ray Data leaves behind.
ENVIRON = {
    **os.environ,
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a cluster of two cores; ended with what it has started, where `ray stop` would end every other too."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # Ray's sockets need a short path
    said = tmp_path_factory.mktemp("cluster") / "said"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={folder}", "--num-cpus=2"]
    options += ["--object-store-memory=80000000", "--include-dashboard=false", "--include-log-monitor=false"]
    start: list[str | Path] = [PROGRAMS / "ray", "start", "--head", "--block", "--no-monitor", *options]
    with said.open("w") as output:
        head = subprocess.Popen(start, stdout=output, stderr=subprocess.STDOUT, env=ENVIRON, text=True)
    try:
        wait_until(lambda: "Ray runtime started" in said.read_text(), "the cluster has started", head, seconds=120)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(60)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def job(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder with bars, two of which are bad, and their scores by the local engine; the options of that job.

    The bars of one ticker are as a spreadsheet set to German writes them.
    """
    folder = tmp_path_factory.mktemp("job")
    table = bars(30, 1000)
    table.loc[[5, 20_000], "Close"] = np.nan
    write_parquet(table, folder / "in" / "bars.parquet", 2000)
    (folder / "in" / "SAP.csv").write_bytes(german(bars(2, 1000, seed=1)[:1000]).encode())
    options = ["--model-path", models, "--part-rows", 1000]
    assert tickline.main(command(folder / "in", folder / "local", *options)) == 3
    return folder, options


def _arguments(job: tuple[Path, list[Any]], out: Path, *options: Any) -> list[Any]:
    folder, same = job
    return [PROGRAMS / "tickline", *command(folder / "in", out, *same, "--engine", "ray", *options)]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ray_on_this_machine_writes_what_the_local_engine_writes(job: tuple[Path, list[Any]], tmp_path: Path) -> None:
    done = subprocess.run(_arguments(job, tmp_path / "out"), capture_output=True, text=True, env=ENVIRON)
    assert done.returncode == 3, done.stderr
    assert "errors   2 rows" in done.stdout
    assert _files(tmp_path / "out") == _files(job[0] / "local")


def test_a_job_that_is_killed_on_a_cluster_goes_on_there(
    cluster: str, job: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = _arguments(job, out, "--ray-address", cluster)
    killed = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=ENVIRON, text=True)
    wait_until(lambda: list((out / ".job").glob("part-*.json")), "a part is done", killed, seconds=120)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (out / "manifest.json").exists()

    resumed = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRON)
    assert resumed.returncode == 3, resumed.stderr
    assert "errors   2 rows" in resumed.stdout
    assert _files(out) == _files(job[0] / "local")


def test_a_cluster_that_is_not_there_is_one_line(job: tuple[Path, list[Any]], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = _arguments(job, tmp_path / "out", "--ray-address", address)
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRON)
    assert done.returncode == 1
    expected = f"tickline: Ray at {address}: cannot be used: [Errno 111] Connection refused"
    assert done.stderr.splitlines() == [expected]
