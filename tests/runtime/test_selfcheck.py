"""The self-check reads the machine as it is, and warns where settings and machine do not fit."""

import argparse
import os
from pathlib import Path

import pytest

from runtime.selfcheck import check, read_cpu_quota, read_memory_limit
from runtime.settings import read_settings
from tests.serving import RunningServer


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_both_versions_of_control_groups(
    files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "536870912\n"}, 536870912),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 268435456),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
)
def test_the_memory_limit_of_both_versions_of_control_groups(
    files: dict[str, str], limit: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_memory_limit(tmp_path) == limit
    assert check(read_settings(argparse.Namespace(), {}), tmp_path).memory_limit == limit


@pytest.mark.parametrize(
    ("files", "membership", "quota", "limit"),
    [
        (
            {"a.slice/b.service/cpu.max": "50000 100000\n", "a.slice/b.service/memory.max": "1000\n"},
            "0::/a.slice/b.service\n",
            0.5,
            1000,
        ),
        (
            {
                "a.slice/cpu.max": "150000 100000\n",
                "a.slice/b.service/cpu.max": "max 100000\n",
                "a.slice/memory.max": "max\n",
                "memory.max": "2000\n",
            },
            "0::/a.slice/b.service\n",
            1.5,
            2000,
        ),
        (
            {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "250000 100000\n", "a/b/memory.max": "3000\n"},
            "0::/a/b\n",
            1.5,
            3000,
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "cpu/docker/c/cpu.cfs_quota_us": "75000\n",
                "cpu/docker/c/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/docker/c/memory.limit_in_bytes": "4000\n",
            },
            "4:memory:/docker/c\n2:cpu,cpuacct:/docker/c\n1:name=systemd:/a:b\n0::/\n",
            0.75,
            4000,
        ),
        (
            {"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            "2:cpu,cpuacct:/docker/c\n0::/docker/c\n",  # the container's own mount shows its group as the root
            0.25,
            None,
        ),
        ({"other/cpu.max": "50000 100000\n", "other/memory.max": "1000\n"}, "0::/a\n", None, None),
    ],
)
def test_groups_around_that_of_the_process_bound_it_too(
    files: dict[str, str], membership: str, quota: float | None, limit: int | None, tmp_path: Path
) -> None:
    for name, text in {"self": membership, **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    assert read_cpu_quota(tmp_path, tmp_path / "self") == quota
    assert read_memory_limit(tmp_path, tmp_path / "self") == limit


def test_too_many_threads_are_a_warning_that_names_the_settings(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    for workers, expected in ((1, False), (cores, False), (cores + 1, True)):
        settings = read_settings(argparse.Namespace(), {"WORKERS": str(workers)})
        found = any(
            warning.startswith(f"WORKERS {workers} x ENGINE_THREADS 1")
            for warning in check(settings, tmp_path).warnings
        )
        assert found is expected


def test_more_workers_that_burn_a_processor_than_there_are_is_a_warning(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    for workers, poll, expected in ((cores, "50", False), (cores + 1, "50", True), (cores + 1, "0", False)):
        settings = read_settings(argparse.Namespace(), {"WORKERS": str(workers), "BUSY_POLL_US": poll})
        warnings = check(settings, tmp_path).warnings
        assert any(warning.startswith(f"BUSY_POLL_US {poll}: ") for warning in warnings) is expected


def test_a_small_quota_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    found = check(read_settings(argparse.Namespace(), {"WORKERS": "1"}), tmp_path)
    assert found.cpu_quota == 0.5
    assert any("quota of 0.5" in warning for warning in found.warnings)


def test_model_info_and_the_log_show_it(server: RunningServer) -> None:
    shown = server.request("GET", "/model/info").json()["self_check"]
    assert shown["cores"] == len(os.sched_getaffinity(0))
    assert (shown["workers"], shown["engine_threads"], shown["lane"]) == (1, 1, "fast")
    assert server.wait_for_line(rf"{shown['cores']} cores, quota .*, lane fast")
