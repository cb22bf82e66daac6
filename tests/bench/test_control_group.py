"""Control groups: what is written where. That the kernel holds a server to it, the system tests see."""

import subprocess
from pathlib import Path

import pytest

from bench.control_group import bounded
from bench.servers import MeasureError


def test_version_2_has_one_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    with bounded(0.5, 512, tmp_path) as group:
        assert group.cpu == group.memory
        assert (group.cpu / "cpu.max").read_text() == "50000 100000"
        assert (group.memory / "memory.max").read_text() == str(512 * 2**20)


def test_version_1_has_a_group_for_each_controller(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory").mkdir()
    with bounded(1.5, 64, tmp_path) as group:
        assert (group.cpu / "cpu.cfs_quota_us").read_text() == "150000"
        assert (group.cpu / "cpu.cfs_period_us").read_text() == "100000"
        assert (group.memory / "memory.limit_in_bytes").read_text() == str(64 * 2**20)
        (group.cpu / "cpu.stat").write_text("nr_periods 30\nnr_throttled 4\nthrottled_time 12\n")
        assert group.throttling() == (30, 4)


def test_a_command_joins_the_group_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory").mkdir()
    with bounded(0.5, 64, tmp_path) as group:
        command = group.wrap(["/bin/sh", "-c", "echo $$; echo $0", "a word"])
        pid, word = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert [(folder / "cgroup.procs").read_text().strip() for folder in (group.cpu, group.memory)] == [pid, pid]
        assert word == "a word"


def test_what_cannot_be_bounded_is_said(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match=r"no control group in .*needs root"), bounded(0.5, 64, tmp_path / "none"):
        pass
