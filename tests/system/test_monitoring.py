"""Rules, alerts and dashboard: every expression parsed, and run against what real servers say of themselves."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runtime.conftest import export_forest
from tests.serving import wait_until
from tests.system.manifests import (
    DEPLOY,
    KUBERNETES,
    ROOT,
    adapter_query,
    keda_trigger,
    kustomized,
    only,
    overlay,
    read,
    request_rate_metric,
)
from tests.system.prometheus import Pod, Prometheus, scraped_pods

pytestmark = pytest.mark.system

RULES = DEPLOY / "prometheus" / "rules" / "tickline.yaml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "tickline.json"
OPERATIONS = ROOT / "docs" / "operations.md"
PYTHON = ROOT / ".venv-system" / "bin" / "python"
ROW = {"features": [0.5] * 22}

VARIABLES = {"$__rate_interval": "30s", "$job": "tickline", "$instance": ".+"}
"""What Grafana would put in."""


def rules(kind: str) -> list[dict[str, Any]]:
    """Return all rules of a kind, `record` or `alert`."""
    return [rule for group in read(RULES)["groups"] for rule in group["rules"] if kind in rule]


def panels() -> list[dict[str, Any]]:
    """Return all panels of the dashboard that show something."""
    board = json.loads(DASHBOARD.read_text())
    nested = [each for panel in board["panels"] for each in panel.get("panels", [])]
    return [panel for panel in [*board["panels"], *nested] if panel["type"] != "row"]


def shown() -> dict[str, str]:
    """Return every expression of the dashboard as Grafana would ask it, by panel and query."""
    found = {}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


def promtool(*arguments: str) -> None:
    """Run promtool, which must find nothing."""
    program = shutil.which("promtool")
    assert program, "Debian has it in the package prometheus"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, list[Pod]]]:
    """Two pods that have answered some of everything, and a Prometheus that has seen it happen."""
    folder = tmp_path_factory.mktemp("cluster")
    export_forest(folder / "model.onnx", "1.0.0")
    with scraped_pods(folder, folder / "model.onnx") as (prometheus, pods):
        for count in range(3):  # counters that begin while they are watched, and then grow
            for pod in pods:
                ask_everything(pod)
            seen = f'sum by (pod) (http_requests_total{{route="/reload"}}) == {2 * (count + 1)}'
            wait_until(lambda seen=seen: len(prometheus.query(seen)) == len(pods), "all is scraped")
        yield prometheus, pods


def ask_everything(pod: Pod) -> None:
    """Send requests of every kind, refused and failing ones among them; three times are rows enough for drift."""
    server = pod.server
    for _ in range(20):
        assert server.request("POST", "/predict", ROW).status == 200
        assert server.request("POST", "/predict", {"features": [1e9] * 22}).status == 200
    assert server.request("POST", "/predict", {"features": [1]}).status == 422
    assert server.request("POST", "/predict/batch", {"features": [ROW["features"]] * 50}).status == 200
    for _ in range(5):
        assert server.request("GET", "/symbols/AAPL").status == (501 if pod.name.endswith("b") else 404)
    assert server.request("POST", "/reload", b"").status == 200
    assert server.request("POST", "/reload", b"", Authorization="Bearer x", **{"X-Forwarded-For": "x"}).status == 403


def test_promtool_accepts_the_rules() -> None:
    # The tests of the rules are a command of docs/operations.md, and run with the others of that page.
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


def test_every_alert_has_a_test_of_its_rise_and_of_its_silence() -> None:
    cases = read(DEPLOY / "prometheus" / "tests" / "tickline.yaml")["tests"]
    expected = [(each["alertname"], bool(each["exp_alerts"])) for case in cases for each in case["alert_rule_test"]]
    for rule in rules("alert"):
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(expected), rule["alert"]


def test_kubernetes_has_the_same_rules() -> None:
    for name in ("request-rate", "keda"):
        assert only(overlay(name), "PrometheusRule")["spec"] == read(RULES)
    script = DEPLOY / "prometheus" / "build.py"
    rendered = run_build([str(PYTHON)], script, "render(RULES.read_text())")
    assert rendered == (KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml").read_text(), f"run {script}"


def run_build(python: list[str], script: Path, expression: str) -> str:
    """Return what a script would write."""
    code = f"import runpy, sys; names = runpy.run_path({str(script)!r}); sys.stdout.write(eval({expression!r}, names))"
    return subprocess.run([*python, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_dashboard_is_what_its_script_makes() -> None:
    script = DEPLOY / "grafana" / "build.py"
    assert run_build([str(PYTHON)], script, "build()") == DASHBOARD.read_text(), f"run {script}"
    config_map = only(overlay("request-rate"), "ConfigMap", "tickline-dashboard")
    assert config_map["data"]["tickline.json"] == DASHBOARD.read_text()
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_every_expression_is_parsed_by_another_parser_too() -> None:
    expressions = [rule["expr"] for rule in [*rules("record"), *rules("alert")]]
    expressions += [*shown().values(), adapter_query(), keda_trigger()["query"]]
    code = "import json, sys, promql_parser\nfor each in json.load(sys.stdin): promql_parser.parse(each)"
    subprocess.run([PYTHON, "-c", code], input=json.dumps(expressions), text=True, check=True)
    assert len(expressions) > 60


def test_no_panel_is_empty(cluster: tuple[Prometheus, list[Pod]]) -> None:
    prometheus, _ = cluster

    def empty() -> list[str]:
        return [name for name, expression in shown().items() if not prometheus.query(expression)]

    wait_until(lambda: not empty(), "every panel has data: see test_every_rule_has_data for what is recorded")
    assert len(panels()) > 20
    # What is a share of requests that were asked is a number, and no 0/0.
    for name, expression in shown().items():
        values = [value for _, value in prometheus.query(expression)]
        assert any(value == value for value in values), name


def test_every_rule_has_data(cluster: tuple[Prometheus, list[Pod]]) -> None:
    prometheus, _ = cluster
    for rule in rules("record"):
        wait_until(lambda rule=rule: bool(prometheus.query(rule["record"])), f"{rule['record']} is recorded")
        assert prometheus.query(rule["expr"])
    for rule in rules("alert"):
        prometheus.query(rule["expr"])
        names = set(re.findall(r"[a-z][a-z_:0-9]+(?=\{)|job:[a-z_:0-9]+|pod:[a-z_:0-9]+", rule["expr"]))
        assert names, rule["alert"]
        for name in names:
            assert prometheus.query(name), f"{rule['alert']}: {name}"
    groups = prometheus.get("rules")["groups"]
    assert [each["lastError"] for group in groups for each in group["rules"] if each.get("lastError")] == []


def test_the_failing_pod_shows_and_an_alert_follows(cluster: tuple[Prometheus, list[Pod]]) -> None:
    prometheus, _ = cluster
    failed = prometheus.value("job:inference_errors:rate5m") / prometheus.value("job:inference_requests:rate5m")
    answered = prometheus.value('sum(http_requests_total{route="/symbols/{ticker}",status="501"})')
    assert answered == 15  # ten are what the alert wants at least
    assert failed > 0.0144

    def pending() -> bool:
        alerts = prometheus.get("alerts")["alerts"]
        return any(each["labels"]["alertname"] == "TicklineErrorBudgetBurnsFast" for each in alerts)

    wait_until(pending, "the alert is pending")


def test_the_first_errors_ever_are_seen_though_they_come_within_one_scrape(
    cluster: tuple[Prometheus, list[Pod]],
) -> None:
    prometheus, pods = cluster
    late = f'http_requests_total{{pod="{pods[0].name}",route="/predict",status="504"}}'
    assert prometheus.value(late) == 0
    for _ in range(10):
        assert pods[0].server.request("POST", "/predict", ROW, **{"X-Request-Deadline-Ms": "0"}).status == 504
    prometheus.wait_for_scrape_after(time.time())
    assert prometheus.value(late) == 10
    assert prometheus.value(f"increase({late}[5m])") > 5


def test_drift_is_told_of_every_server(cluster: tuple[Prometheus, list[Pod]]) -> None:
    prometheus, pods = cluster
    assert {labels["pod"]: rows for labels, rows in prometheus.query("drift_rows")} == {
        pod.name: 3 * (20 + 20 + 50) for pod in pods
    }
    # Of two rows again and again nothing is like the training.
    assert len(prometheus.query("score_drift_psi > 0.25")) == len(pods)
    assert len(prometheus.query("feature_drift_psi > 0.25")) == len(pods) * len(ROW["features"])


def test_every_alert_leads_to_its_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in rules("alert"):
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert ROOT / page == OPERATIONS
        assert anchor == rule["alert"].lower()
        assert anchor in anchors
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_objectives_targets_and_limits_are_the_same_everywhere() -> None:
    target = request_rate_metric()["target"]["averageValue"]
    assert keda_trigger()["threshold"] == target
    (saturated,) = [rule["expr"] for rule in rules("alert") if rule["alert"] == "TicklineSaturated"]
    assert saturated.endswith(f"> 1.1 * {target}")
    (memory,) = [rule["expr"] for rule in rules("alert") if rule["alert"] == "TicklineMemoryNearLimit"]
    assert memory.strip().endswith("> 0.9 * 512 * 1024 * 1024")
    (container,) = only(overlay("plain"), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "512Mi"}
    limits = {
        panel["title"]: float(each["expr"][7:-1])
        for panel in panels()
        for each in panel["targets"]
        if each["legendFormat"] == "limit"
    }
    assert limits["CPU by server"] == 0.5
    assert limits["Memory by server"] == pytest.approx(512 * 2**20, rel=1e-5)
    assert limits["Requests for predictions by server"] == float(target)
    (drift,) = [rule["expr"] for rule in rules("alert") if rule["alert"] == "TicklineDrift"]
    assert float(drift.rpartition(" > ")[2]) == limits["Score"] == limits["Features that moved most"]
    texts = [RULES.read_text(), adapter_query(), keda_trigger()["query"]]
    assert len(set(re.findall(r'route=~"([^"]+)"', "".join(texts)))) == 1


def test_compose_and_grafana_name_what_is_there() -> None:
    configuration = read(DEPLOY / "prometheus" / "prometheus.yml")
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in configuration["scrape_configs"]} == {
        "tickline": ["api:5000"],
        "prometheus": ["localhost:9090"],
    }
    (source,) = read(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    board = json.loads(DASHBOARD.read_text())
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "job", "instance"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {"$datasource"}


def test_the_service_monitor_scrapes_the_service() -> None:
    objects = overlay("request-rate")
    spec = only(objects, "ServiceMonitor")["spec"]
    service = only(objects, "Service")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][spec["jobLabel"]] == "tickline"
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["path"] == "/metrics"
    # A window of a minute holds four scrapes, of which one may be lost.
    assert endpoint["interval"] == "15s"


def test_the_pod_monitor_scrapes_the_pods_of_kserve_and_rules_know_their_container() -> None:
    monitor = only(overlay("request-rate"), "PodMonitor")["spec"]
    served = kustomized(KUBERNETES / "kserve")
    # KServe gives a pod the labels of its InferenceService, and this one.
    labels = only(served, "InferenceService")["metadata"]["labels"] | {"serving.kserve.io/inferenceservice": "tickline"}
    selector = monitor["selector"]
    assert selector["matchLabels"].items() <= labels.items()
    assert [(each["operator"], each["key"] in labels) for each in selector["matchExpressions"]] == [("Exists", True)]
    assert labels[monitor["jobLabel"]] == "tickline"
    deployed = only(overlay("request-rate"), "Deployment")["spec"]["template"]
    assert selector["matchExpressions"][0]["key"] not in deployed["metadata"]["labels"]
    (container,) = only(served, "ServingRuntime")["spec"]["containers"]
    names = [each["port"] for each in monitor["podMetricsEndpoints"]]
    assert names == [container["ports"][0]["name"], "user-port"]
    (scrape,) = only(overlay("request-rate"), "ServiceMonitor")["spec"]["endpoints"]
    for each in monitor["podMetricsEndpoints"]:
        assert each | {"port": ""} == scrape | {"port": ""}
    containers = set(re.findall(r'container=~?"([^"]+)"', RULES.read_text()))
    assert containers == {f"{deployed['spec']['containers'][0]['name']}|{container['name']}"}


def test_every_yaml_file_has_one_meaning() -> None:
    for path in DEPLOY.rglob("*.yaml"):
        assert list(yaml.safe_load_all(path.read_text())), path
    assert kustomized(KUBERNETES / "kserve")
    assert os.access(PYTHON, os.X_OK)
