"""What others' linters and schemas say of the files that deploy: each finding is mended or explained."""

import json
from pathlib import Path

import pytest

from tests.system.containers import ROOT, TOOLS, run
from tests.system.manifests import KUBERNETES as MANIFESTS
from tests.system.manifests import kustomized, only

pytestmark = pytest.mark.system

DOCKERFILES = ("Dockerfile", "deploy/train/Dockerfile", "deploy/mlflow/Dockerfile")
OVERLAYS = sorted(path.name for path in (ROOT / "deploy" / "kubernetes" / "overlays").iterdir())
KUBERNETES = "1.34"
CHECKOV = (TOOLS / "checkov", "--config-file", "tests/system/checkov.yaml")
CUSTOM_KINDS = {"PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
"""Kinds of which the schemas of Kubernetes know nothing; other tests check their fields."""


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of objects an overlay."""
    folder = tmp_path_factory.mktemp("manifests")
    for name in OVERLAYS:
        (folder / f"{name}.yaml").write_text(run("kubectl", "kustomize", f"deploy/kubernetes/overlays/{name}"))
    return folder


def test_the_dockerfiles_have_no_lint() -> None:
    assert run(TOOLS / "hadolint", *DOCKERFILES) == ""


def test_the_dockerfiles_have_no_weakness_that_is_not_explained() -> None:
    run(*CHECKOV, "--framework", "dockerfile", "--file", *DOCKERFILES)


def test_compose_keeps_to_its_schema() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_keep_to_the_schemas_of_kubernetes(manifests: Path, overlay: str) -> None:
    path = manifests / f"{overlay}.yaml"
    report = run(TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", KUBERNETES, path)
    for line in report.splitlines():
        if "find schema for kind" in line:
            assert line.partition("for kind ")[2].split()[0] in CUSTOM_KINDS, line
        else:
            assert " passed for resource " in line
    assert "deployment/tickline" in report


def test_the_pods_that_kserve_makes_keep_to_the_schemas_of_kubernetes(tmp_path: Path) -> None:
    runtime = only(kustomized(MANIFESTS / "kserve"), "ServingRuntime")
    fields = {"annotations", "containers", "protocolVersions", "supportedModelFormats"}
    assert set(runtime["spec"]) == fields
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": runtime["metadata"]}
    path = tmp_path / "pod.yaml"
    path.write_text(json.dumps({**pod, "spec": {"containers": runtime["spec"]["containers"]}}))
    report = run(TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", KUBERNETES, path)
    assert " passed for resource " in report


def test_manifests_have_no_weakness_that_is_not_explained(manifests: Path) -> None:
    run(*CHECKOV, "--framework", "kubernetes", "--directory", manifests)


def test_prometheus_takes_its_configuration() -> None:
    run("promtool", "check", "config", "deploy/prometheus/prometheus.yml")
