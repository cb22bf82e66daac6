"""The stack of docker-compose.yml, started for real but for Grafana, whose image is only configured."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import DEADLINE_SECONDS, Connection, wait_until
from tests.system.containers import ROOT, docker, run

pytestmark = pytest.mark.system

PROJECT = ("docker-compose", "--project-name", "tickline-test")
IMAGES = {"tickline-train": "deploy/train/Dockerfile", "tickline-mlflow": "deploy/mlflow/Dockerfile"}
PORTS = {"api": 5000, "mlflow": 5001, "prometheus": 9090, "grafana": 3000}


def configuration() -> Any:
    """Return the services of docker-compose.yml, those of profiles too."""
    text = run(*PROJECT, "--profile", "train", "config")
    code = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    python = str(ROOT / ".venv-system" / "bin" / "python")
    return json.loads(
        subprocess.run([python, "-c", code], input=text, capture_output=True, text=True, check=True).stdout
    )


def ask(url: str) -> Any:
    """Return the JSON document of a URL."""
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.load(reply)


@pytest.fixture(scope="module")
def stack(image: str) -> Iterator[None]:
    """All services but Grafana, healthy: compose starts each one after those that it depends on."""
    services = configuration()["services"]
    docker("tag", image, services["api"]["image"])
    for name, file in IMAGES.items():
        tags = {service["image"] for service in services.values() if service["image"].startswith(name + ":")}
        docker("build", "--network", "host", "--file", file, "--tag", *tags, str(ROOT))
    try:
        run(*PROJECT, "up", "--detach", "--no-build", "api", "mlflow", "prometheus")
        services = ("api", "mlflow", "prometheus")
        wait_until(lambda: all(map(healthy, services)), "the stack is healthy", seconds=3 * DEADLINE_SECONDS)
        yield
    finally:
        run(*PROJECT, "--profile", "train", "down", "--volumes", "--timeout", "5")


def healthy(service: str) -> bool:
    """Tell whether a service's container is healthy."""
    name = run(*PROJECT, "ps", "--quiet", service)
    return docker("inspect", "--format", "{{.State.Health.Status}}", name) == "healthy"


def test_every_service_is_pinned_hardened_bounded_and_checked() -> None:
    services = configuration()["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {name: [f"127.0.0.1:{port}:{port}/tcp"] for name, port in PORTS.items()}
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        assert tag[-1].isdigit(), f"{name}: {service['image']} is not pinned"
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name  # noqa: PT018
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "cpus", "pids_limit"} <= service.keys(), name
    assert services["train"]["profiles"] == ["train"]
    locked = (ROOT / "requirements" / "mlflow.txt").read_text()
    assert f"\nmlflow=={services['mlflow']['image'].rpartition(':')[2]} " in locked


def test_the_api_serves_a_model_that_was_trained_here(stack: None) -> None:
    connection = Connection(PORTS["api"])
    assert connection.request("GET", "/predict/demo").json()["prediction_label"] in ("UP", "DOWN")
    assert connection.request("GET", "/model/info").json()["name"] == "random_forest"
    connection.close()


def test_prometheus_scrapes_the_api(stack: None) -> None:
    query = urllib.parse.urlencode({"query": 'up{job="tickline"}'})

    def scraped() -> bool:
        result = ask(f"http://127.0.0.1:{PORTS['prometheus']}/api/v1/query?{query}")["data"]["result"]
        return [sample["value"][1] for sample in result] == ["1"]

    wait_until(scraped, "Prometheus has scraped the api")
    rules = ask(f"http://127.0.0.1:{PORTS['prometheus']}/api/v1/rules")["data"]["groups"]
    assert all(rule["health"] in ("ok", "unknown") for group in rules for rule in group["rules"])
    assert rules


def test_mlflow_answers_this_machine_and_its_neighbours(stack: None) -> None:
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    found = ask(f"http://127.0.0.1:{PORTS['mlflow']}{path}")
    assert found["experiment"]["name"] == "Default"
    code = f"import urllib.request as r; print(r.urlopen('http://mlflow:{PORTS['mlflow']}{path}').status)"
    assert run(*PROJECT, "exec", "-T", "api", "python", "-c", code) == "200"


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the train profile."""
    command = [*PROJECT, "run", "--rm", "-T", "train", "--source", "sp500", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_train_profile_has_the_api_serve_the_champion_of_the_registry(stack: None) -> None:
    first = train("--model", "logistic")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "version 1 of tickline is the champion now" in first.stdout
    assert "served by http://127.0.0.1:5000" in first.stdout
    # Far too few and too deep trees lose more than the champion: they are registered, and not served.
    second = train("--set", "n_estimators=3", "--set", "max_depth=30")
    assert second.returncode == 1, second.stdout + second.stderr
    assert "version 2 of tickline stays the challenger" in second.stdout
    found = ask(f"http://127.0.0.1:{PORTS['mlflow']}/api/2.0/mlflow/registered-models/get?name=tickline")
    aliases = {entry["alias"]: entry["version"] for entry in found["registered_model"]["aliases"]}
    assert aliases == {"champion": "1", "challenger": "2"}
    connection = Connection(PORTS["api"])
    assert connection.request("GET", "/model/info").json()["name"] == "logistic"
    assert b'model_reloads_total{result="success"} 1' in connection.request("GET", "/metrics").body
    connection.close()
