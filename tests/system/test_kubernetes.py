"""The manifests against the server: what they promise it keeps, and what they set it knows."""

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import command_line
from runtime.registry import CHAMPION, REGISTERED_MODEL, Reference, parse_reference
from runtime.settings import SETTINGS
from tests.serving import DEADLINE_SECONDS, RunningServer, running_server, wait_until
from tests.system.manifests import (
    DEPLOY,
    KUBERNETES,
    NAMESPACE,
    OVERLAYS,
    ROOT,
    Object,
    autoscaler,
    kustomized,
    only,
    overlay,
    read,
    request_rate_metric,
)

pytestmark = pytest.mark.system

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ROW = b'{"features":[' + b",".join([b"0.5"] * 22) + b"]}"


def pod() -> Object:
    """Return the pod of the Deployment."""
    spec: Object = only(overlay("plain"), "Deployment")["spec"]["template"]["spec"]
    return spec


def container() -> Object:
    """Return its container."""
    (found,) = pod()["containers"]
    return dict(found)


def settings() -> dict[str, str]:
    """Return what the ConfigMap sets."""
    (reference,) = container()["envFrom"]
    config_map = only(overlay("plain"), "ConfigMap", reference["configMapRef"]["name"])
    found: dict[str, str] = config_map["data"]
    return found


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[RunningServer]:
    """A server with the settings of the ConfigMap, but for the place of the model, and with a token."""
    chosen = {name: value for name, value in settings().items() if name != "MODEL_PATH"}
    with running_server(model, RELOAD_TOKEN="secret", **chosen) as running:
        yield running


def test_every_key_is_a_setting_and_its_value_is_taken() -> None:
    known = {setting.variable: setting for setting in SETTINGS}
    for name, value in settings().items():
        known[name].read(value)
    assert [each["name"] for each in container()["env"]] == ["RELOAD_TOKEN", "PREDICT_TOKENS"]
    for token in container()["env"]:
        assert token["name"] in known
        assert token["valueFrom"]["secretKeyRef"]["optional"] is True
    # What the manifests themselves fix is no operator's to change; one worker, as the limit is half a processor.
    fixed = {"HOST", "PORT", "METRICS_PORT", "GRPC_PORT", "TLS_CERT_FILE", "TLS_KEY_FILE"}  # ports, probes and scrapes
    secret = {"RELOAD_TOKEN", "RELOAD_TOKEN_FILE", "PREDICT_TOKENS", "PREDICT_TOKEN_FILE"}
    assert set(known) - set(settings()) == fixed | secret
    assert settings()["WORKERS"] == "1"


def test_probes_ask_for_what_the_server_answers(server: RunningServer) -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    default = next(setting.default for setting in SETTINGS if setting.variable == "PORT")
    assert ports == {"http": int(default)}
    paths = {}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        request = container()[probe]["httpGet"]
        assert request["port"] in ports
        assert server.request("GET", request["path"]).status == 200
        paths[probe] = request["path"]
    assert paths["livenessProbe"] != paths["readinessProbe"]
    (service_port,) = only(overlay("plain"), "Service")["spec"]["ports"]
    assert (service_port["port"], service_port["targetPort"]) == (80, "http")


def test_the_server_starts_sooner_than_its_startup_probe_gives_up() -> None:
    probe = container()["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 60


def test_kserve_asks_for_what_the_server_answers(server: RunningServer) -> None:
    runtime = only(kustomized(KUBERNETES / "kserve"), "ServingRuntime")["spec"]
    (each,) = runtime["containers"]
    assert each["resources"] == container()["resources"]
    for probe in ("readinessProbe", "livenessProbe"):
        request = each[probe]["httpGet"]
        assert request["port"] == each["ports"][0]["containerPort"]
        assert server.request("GET", request["path"]).status == 200
    service = only(kustomized(KUBERNETES / "kserve"), "InferenceService")["spec"]["predictor"]["model"]
    assert service["protocolVersion"] in runtime["protocolVersions"]
    assert service["modelFormat"]["name"] in [known["name"] for known in runtime["supportedModelFormats"]]
    known = {setting.variable: setting for setting in SETTINGS}
    for variable in each["env"]:
        if "value" in variable:
            known[variable["name"]].read(variable["value"])


def test_kserve_takes_tokens_for_predictions_from_the_secret_of_the_deployment(model: Path) -> None:
    (each,) = only(kustomized(KUBERNETES / "kserve"), "ServingRuntime")["spec"]["containers"]
    secrets = [variable for variable in each["env"] if "valueFrom" in variable]
    assert secrets == [variable for variable in container()["env"] if variable["name"] == "PREDICT_TOKENS"]
    assert secrets[0]["valueFrom"]["secretKeyRef"]["optional"] is True
    with running_server(model, PREDICT_TOKENS="first,second") as running:
        name = running.request("GET", "/model/info", Authorization="Bearer first").json()["name"]
        tensor = {"name": "features", "datatype": "FP32", "shape": [1, 22], "data": [0.5] * 22}
        infer = f"/v2/models/{name}/infer"
        assert running.request("POST", infer, {"inputs": [tensor]}).status == 401
        for token in ("first", "second"):
            reply = running.request("POST", infer, {"inputs": [tensor]}, Authorization=f"Bearer {token}")
            assert reply.status == 200
        for path in (each["readinessProbe"]["httpGet"]["path"], each["livenessProbe"]["httpGet"]["path"], "/metrics"):
            assert running.request("GET", path).status == 200


def test_the_ingress_leads_to_routes_and_hides_what_is_not_for_callers(server: RunningServer, tmp_path: Path) -> None:
    objects = kustomized_with(tmp_path, "components/ingress", "components/model-volume")
    (rule,) = only(objects, "Ingress")["spec"]["rules"]
    paths = {path["path"] for path in rule["http"]["paths"]}
    documented = set(server.request("GET", "/openapi.json").json()["paths"])
    for path in paths:
        assert any(each == path or each.startswith(f"{path}/") for each in documented), path
    assert not {"/", "/metrics", "/reload", "/health"} & paths
    annotations = only(objects, "Ingress")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == settings()["MAX_BODY_BYTES"]
    volumes = only(objects, "Deployment")["spec"]["template"]["spec"]
    assert volumes["containers"][0]["volumeMounts"][0]["mountPath"] == settings()["MODEL_PATH"]
    assert len(only(objects, "NetworkPolicy")["spec"]["ingress"][0]["from"]) == 4


def test_the_init_container_pulls_where_the_server_looks(tmp_path: Path) -> None:
    objects = kustomized_with(tmp_path, "components/model-registry")
    spec = only(objects, "Deployment")["spec"]["template"]["spec"]
    (pull,), (serve,) = spec["initContainers"], spec["containers"]
    options = command_line.parse(pull["args"])
    assert parse_reference(options.model) == Reference(REGISTERED_MODEL, CHAMPION, None)
    assert options.model_path == settings()["MODEL_PATH"]
    assert [mount["mountPath"] for mount in (*pull["volumeMounts"], *serve["volumeMounts"])] == [options.model_path] * 2
    assert "readOnly" not in pull["volumeMounts"][0]
    assert (pull["image"], pull["securityContext"]) == (serve["image"], serve["securityContext"])
    address = urllib.parse.urlsplit(pull["env"][0]["value"])
    server, names = only(objects, "NetworkPolicy")["spec"]["egress"]
    assert server["ports"] == [{"port": address.port, "protocol": "TCP"}]
    assert str(address.hostname).split(".")[1] in server["to"][0]["namespaceSelector"]["matchLabels"].values()
    assert {port["port"] for port in names["ports"]} == {53}


def kustomized_with(folder: Path, *components: str) -> list[Object]:
    """Return the base with components, by a kustomization in a folder of its own."""
    base, *others = (os.path.relpath(KUBERNETES / name, folder) for name in ("base", *components))
    (folder / "kustomization.yaml").write_text(json.dumps({"resources": [base], "components": others}))
    return kustomized(folder)


def test_the_image_is_named_once() -> None:
    (image,) = read(KUBERNETES / "image" / "kustomization.yaml")["images"]
    named = f"{image['newName']}:{image['newTag']}" + (f"@{image['digest']}" if "digest" in image else "")
    assert container()["image"] == named
    assert only(kustomized(KUBERNETES / "kserve"), "ServingRuntime")["spec"]["containers"][0]["image"] == named
    files = [path for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".yml")]
    name = re.compile(rf"{re.escape(image['newName'])}(?![\w-])")  # not that of the training image
    assert [path.parent.name for path in files if name.search(path.read_text())] == ["image"]


def test_the_pod_has_time_to_leave_and_then_to_drain() -> None:
    waits = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = int(settings()["GRACE_SECONDS"])
    assert pod()["terminationGracePeriodSeconds"] == waits + grace + 5
    assert settings()["DRAIN_SECONDS"] == "0"  # the wait before the signal takes its place


def test_a_server_that_is_stopped_refuses_new_connections_and_answers_what_it_has(model: Path) -> None:
    with running_server(model) as running, running.raw() as begun, running.raw() as idle:
        head = (
            b"POST /predict/batch?on_error=fail HTTP/1.1\r\nHost: x\r\n"  # which the application answers, however small
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        body = ROW.replace(b"[", b"[[", 1).replace(b"]", b"]]", 1)
        begun.sendall(head % len(body) + body[:10])
        in_flight = b"requests_in_flight 2.0"  # the batch that has begun, and the scrape itself
        wait_until(lambda: in_flight in running.request("GET", "/metrics").body, "the batch has begun")
        running.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", running.port), DEADLINE_SECONDS).close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(refused, "new connections are refused", running.process)
        assert idle.recv(1) == b""
        assert running.process.poll() is None
        begun.sendall(body[10:])
        reply = http.client.HTTPResponse(begun)
        reply.begin()
        assert reply.status == 200
        assert running.process.wait(DEADLINE_SECONDS) == 0


def test_the_token_of_the_secret_is_asked_for(server: RunningServer) -> None:
    assert server.request("POST", "/reload", b"").status == 401
    assert server.request("POST", "/reload", b"", Authorization="Bearer secret").status == 200


def test_tokens_for_predictions_are_asked_for_and_two_of_them_hold_at_once(model: Path) -> None:
    """As while one is replaced: the secret of the pods has the old one and the new one."""
    with running_server(model, PREDICT_TOKENS="old,new") as running:
        assert running.request("POST", "/predict", ROW).status == 401
        for token in ("old", "new"):
            assert running.request("POST", "/predict", ROW, Authorization=f"Bearer {token}").status == 200
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert running.request("GET", container()[probe]["httpGet"]["path"]).status == 200
        assert running.request("GET", "/metrics").status == 200


def test_the_pod_is_restricted() -> None:
    assert (
        only(overlay("plain"), "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    security = container()["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    user = pod()["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text()
    assert pod()["automountServiceAccountToken"] is False
    account = only(overlay("plain"), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod()["serviceAccountName"] == account["metadata"]["name"]
    assert container()["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }


def test_roles_let_nobody_read_secrets_and_the_server_do_nothing() -> None:
    objects = overlay("plain")
    for rule in only(objects, "Role")["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if "secrets" in rule["resources"]:
            assert (rule["verbs"], rule["resourceNames"]) == (
                ["patch"],
                [each["valueFrom"]["secretKeyRef"]["name"] for each in container()["env"]],
            )
    subjects = [
        subject["kind"] for each in objects if each["kind"].endswith("RoleBinding") for subject in each["subjects"]
    ]
    assert subjects == ["Group"]
    assert not [each for each in objects if each["kind"].startswith("Cluster")]


def test_selectors_find_the_pods_and_everything_has_its_namespace() -> None:
    for name in OVERLAYS:
        objects = overlay(name)
        labels = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
        policy = only(objects, "NetworkPolicy")["spec"]
        for selector in (
            only(objects, "Deployment")["spec"]["selector"]["matchLabels"],
            only(objects, "Service")["spec"]["selector"],
            only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            policy["podSelector"]["matchLabels"],
            *(each["labelSelector"]["matchLabels"] for each in pod()["topologySpreadConstraints"]),
        ):
            assert selector.items() <= labels.items()
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["ingress"][0]["ports"] == [{"port": container()["ports"][0]["containerPort"], "protocol": "TCP"}]
        assert not policy.get("egress")
        for each in objects:
            assert each["metadata"].get("namespace", NAMESPACE) == NAMESPACE
            assert each["kind"] == "Namespace" or "namespace" in each["metadata"], each["kind"]


def test_one_autoscaler_owns_the_replicas() -> None:
    for name in OVERLAYS:
        owners = [each for each in overlay(name) if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
        assert [each["kind"] for each in owners] == ["ScaledObject" if name == "keda" else "HorizontalPodAutoscaler"]
        assert owners[0]["spec"]["scaleTargetRef"] == {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "tickline",
        }
        assert "replicas" not in only(overlay(name), "Deployment")["spec"]


def test_both_ways_to_scale_say_the_same() -> None:
    hpa, keda = autoscaler(), only(overlay("keda"), "ScaledObject")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 10)
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (2, 10)
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    resources = {each["resource"]["name"]: each["resource"]["target"] for each in hpa["metrics"] if "resource" in each}
    assert resources == {
        "cpu": {"type": "AverageValue", "averageValue": "350m"},  # 70 % of 500m
        "memory": {"type": "AverageValue", "averageValue": "409Mi"},  # 80 % of 512 MiB
    }
    assert hpa["metrics"][0]["pods"] == request_rate_metric()
    triggers = {each["type"]: (each["metricType"], each["metadata"].get("value")) for each in keda["triggers"]}
    assert triggers == {
        "prometheus": ("AverageValue", None),
        "cpu": ("AverageValue", "350m"),
        "memory": ("AverageValue", "409Mi"),
    }


def test_argo_cd_finds_what_it_syncs() -> None:
    application = read(DEPLOY / "argocd" / "application.yaml")["spec"]
    assert kustomized(ROOT / application["source"]["path"])
    assert application["destination"]["namespace"] == NAMESPACE


def blocks(kind: str) -> list[str]:
    """Return the commands of a kind of blocks in docs/operations.md, a line each."""
    found = re.findall(rf"^ *```{kind}\n(.*?)^ *```$", OPERATIONS, re.DOTALL | re.MULTILINE)
    return [line.strip() for block in found for line in block.splitlines()]


def test_the_pages_commands_run_where_they_need_no_cluster(server: RunningServer) -> None:
    generated = KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml"
    before = generated.read_bytes()
    commands = dict.fromkeys(blocks("bash"))
    assert len(commands) == 11
    for command in commands:
        here = command.replace("http://localhost:5000", f"http://127.0.0.1:{server.port}")
        done = subprocess.run(shlex.split(here), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert generated.read_bytes() == before


def test_the_pages_other_commands_name_what_is_there() -> None:
    commands = "\n".join(blocks("console"))
    for path in re.findall(r"(?:-k|-f|--values) (\S+)", commands):
        assert (ROOT / path).exists(), path
    named = {(each["kind"].lower(), each["metadata"]["name"]) for name in OVERLAYS for each in overlay(name)}
    for kind, name in re.findall(r"\b(deployment|service|horizontalpodautoscaler)[/ ](\w+)", commands):
        assert (kind, name) in named
    assert set(re.findall(r"-n (\S+)", commands)) == {NAMESPACE}
    assert set(re.findall(r"secret (?:generic )?(\S+)", commands)) == {
        each["valueFrom"]["secretKeyRef"]["name"] for each in container()["env"]
    }
    assert request_rate_metric()["metric"]["name"] in commands
    for target in re.findall(r"\]\(([^)]+)\)", OPERATIONS):
        path, _, anchor = target.partition("#")
        page = ROOT / "docs" / path if path else ROOT / "docs" / "operations.md"
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
