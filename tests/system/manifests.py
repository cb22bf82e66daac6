"""What the files in `deploy/` say, read as the programs that take them would."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("plain", "request-rate", "keda")
NAMESPACE = "stock-prediction"

Object = dict[str, Any]


@cache
def _kustomized(folder: Path) -> str:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kustomized(folder: Path) -> list[Object]:
    """Return the objects that `kubectl apply -k` would send."""
    return [document for document in yaml.safe_load_all(_kustomized(folder)) if document]


def overlay(name: str) -> list[Object]:
    """Return the objects of an overlay."""
    return kustomized(KUBERNETES / "overlays" / name)


def only(objects: list[Object], kind: str, name: str = "") -> Object:
    """Return the one object of a kind, and of a name where there are several."""
    (found,) = [each for each in objects if each["kind"] == kind and name in ("", each["metadata"]["name"])]
    return found


def read(path: Path) -> Any:
    """Return a YAML document."""
    return yaml.safe_load(path.read_text())


def autoscaler() -> Object:
    """Return the specification of the autoscaler on the request rate."""
    spec: Object = only(overlay("request-rate"), "HorizontalPodAutoscaler")["spec"]
    return spec


def request_rate_metric() -> Object:
    """Return the autoscaler's metric of the request rate."""
    (metric,) = [each["pods"] for each in autoscaler()["metrics"] if each["type"] == "Pods"]
    found: Object = metric
    return found


def adapter_query() -> str:
    """Return what Prometheus Adapter asks for the autoscaler's metric, for all pods of the namespace.

    The adapter puts in the series that `seriesQuery` finds, the labels that `resources` names for the objects that it
    is asked about, and those by which it groups.
    """
    rules = read(KUBERNETES / "helm" / "prometheus-adapter.yaml")["rules"]["custom"]
    (rule,) = [each for each in rules if each["name"]["as"] == request_rate_metric()["metric"]["name"]]
    series = re.fullmatch(r"\^(\w+)\$", rule["name"]["matches"])
    assert series is not None
    assert rule["seriesQuery"].startswith(series[1] + "{")
    resources = {each["resource"]: label for label, each in rule["resources"]["overrides"].items()}
    values = {
        "Series": series[1],
        "LabelMatchers": f'{resources["namespace"]}="{NAMESPACE}",{resources["pod"]}=~"tickline-.+"',
        "GroupBy": resources["pod"],
    }
    query: str = rule["metricsQuery"]
    for name, value in values.items():
        query = query.replace(f"<<.{name}>>", value)
    assert "<<" not in query
    return query


def keda_trigger() -> Object:
    """Return KEDA's trigger on the request rate."""
    triggers = only(overlay("keda"), "ScaledObject")["spec"]["triggers"]
    (trigger,) = [each["metadata"] for each in triggers if each["type"] == "prometheus"]
    found: Object = trigger
    return found
