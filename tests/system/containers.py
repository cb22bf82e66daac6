"""Containers for tests: started on a loopback port of their own, removed at the end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving import Connection, wait_until

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / ".venv-system" / "bin"
"""Programs that `make test-system` installs apart from the development environment."""

LABELS = {"VERSION": "1.2.3", "REVISION": "0123abc", "CREATED": "2026-01-15T10:30:00Z"}
"""Build arguments that become the image's labels."""

BASE = "python:3.11-slim"
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def run(*command: str | Path) -> str:
    """Run a command that has to succeed, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{(done.stdout + done.stderr)[-5000:]}"
    return done.stdout.strip()


def docker(*arguments: str) -> str:
    """Run a Docker command and return what it prints."""
    return run("docker", *arguments)


@contextmanager
def container(image: str, models: Path | None, *options: str) -> Iterator[tuple[str, int]]:
    """Run a container of the server; yield its name and its port on loopback."""
    mount = () if models is None else ("--mount", f"type=bind,source={models},target=/models,readonly")
    name = docker("run", "--detach", "--publish", "127.0.0.1::5000", *mount, *options, image)
    try:
        yield name, int(docker("port", name, "5000/tcp").rpartition(":")[2])
    finally:
        docker("rm", "--force", name)


def wait_until_healthy(name: str) -> None:
    """Wait for the image's own health check."""

    def healthy() -> bool:
        state, health = docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", name).split()
        assert state == "running", docker("logs", name)
        return health == "healthy"

    wait_until(healthy, "the container is healthy")


def wait_until_ready(port: int) -> None:
    """Wait for the server alone, which the health check asks only now and then."""

    def ready() -> bool:
        try:
            connection = Connection(port)
            try:
                return connection.request("GET", "/health/ready").status == 200
            finally:
                connection.close()
        except OSError:
            return False

    wait_until(ready, "the server is ready")
