"""A pod of the manifests, run by Podman: what it asks for is what the kernel holds it to."""

import io
import json
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.serving import wait_until
from tests.system.containers import docker, run

pytestmark = pytest.mark.system

QUOTAS = ("/sys/fs/cgroup/cpu.max", *(f"/sys/fs/cgroup/cpu/cpu.cfs_{part}_us" for part in ("quota", "period")))
"""Where a container reads its processor time: by cgroups of version 2, and of version 1."""

CONTAINER = "tickline-pod-0-tickline"
HEALTH = ("python", "-I", "-S", "/opt/tickline/bin/healthcheck.py")


def lower_limits() -> None:
    """Give runc limits that it may raise again where this process may not."""
    for limit, most in ((resource.RLIMIT_NOFILE, 4096), (resource.RLIMIT_NPROC, 8192)):
        resource.setrlimit(limit, (most, most))


@pytest.fixture(scope="module")
def runroot() -> Iterator[str]:
    """A folder with a short name: Podman takes none of more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="podman", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture(scope="module")
def podman(image: str, models: Path, runroot: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The command line of a Podman with the manifests' pod; it keeps everything in a folder of its own."""
    folder = tmp_path_factory.mktemp("podman")
    command = ["podman", "--root", str(folder / "root"), "--runroot", runroot]
    command += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
    archive = folder / "image.tar"
    docker("save", "--output", str(archive), image)
    run(*command, "load", "--quiet", "--input", archive)
    archive.unlink()
    objects = list(yaml.safe_load_all(run("kubectl", "kustomize", "deploy/kubernetes/overlays/plain")))
    kept = [each for each in objects if each["kind"] in ("ConfigMap", "Deployment")]
    (pod,) = [each["spec"]["template"]["spec"] for each in kept if each["kind"] == "Deployment"]
    (server,) = pod["containers"]
    server |= {"image": f"localhost/{image}", "imagePullPolicy": "Never"}
    # Podman probes by curl inside the container, where there is none; the health check below asks instead. It maps
    # ports in networks of its own only; this pod has loopback alone.
    for left_out in ("startupProbe", "livenessProbe", "readinessProbe", "ports"):
        del server[left_out]
    pod["volumes"] = [*pod.get("volumes", []), {"name": "model", "hostPath": {"path": str(models)}}]
    server["volumeMounts"] = [
        *server.get("volumeMounts", []),
        {"name": "model", "mountPath": "/models", "readOnly": True},
    ]
    played = [*command, "play", "kube", "--network", "none"]
    manifest = io.StringIO()
    yaml.safe_dump_all(kept, manifest)
    (folder / "pod.yaml").write_text(manifest.getvalue())
    try:
        done = subprocess.run(
            [*played, folder / "pod.yaml"], capture_output=True, text=True, check=False, preexec_fn=lower_limits
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield command
    finally:
        run(*command, "pod", "rm", "--force", "--time", "0", "--all")
        run(*command, "image", "rm", "--force", "--all")


def inside(podman: list[str], *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in the pod's container."""
    return subprocess.run([*podman, "exec", CONTAINER, *command], capture_output=True, text=True, check=False)


def test_the_pod_serves(podman: list[str]) -> None:
    wait_until(lambda: inside(podman, *HEALTH).returncode == 0, "the pod is ready")
    code = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:5000/predict/demo').read().decode())"
    assert json.loads(inside(podman, "python", "-c", code).stdout)["prediction_label"] in ("UP", "DOWN")


def test_the_pod_is_held_to_what_it_asks_for(podman: list[str]) -> None:
    assert inside(podman, "id", "-u").stdout == "10001\n"
    assert inside(podman, "touch", "/file").returncode != 0
    status = inside(podman, "cat", "/proc/1/status").stdout.split("\n")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    quota = inside(podman, "sh", "-c", f"cat {' '.join(QUOTAS)} 2>/dev/null || true")
    assert quota.stdout.split() == ["50000", "100000"]
    assert inside(podman, "python", "-c", "bytearray(600 * 2**20)").returncode == 137
    wait_until(lambda: inside(podman, *HEALTH).returncode == 0, "the server is still ready")
