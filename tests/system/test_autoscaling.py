"""The autoscaler's queries, as the manifests have them, on a real Prometheus that scrapes real servers under a ramp.

What Kubernetes would do with the figures is simulated by its documented formula. A second here is a quarter of a minute
there: Prometheus scrapes every second in the place of 15 s, and the queries' windows are shortened alike. The load is a
hundredth of a real one, and so is the target.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from runtime.metrics import PREDICTING, ROUTES
from tests.runtime.conftest import export_forest
from tests.serving import wait_until
from tests.system.autoscaler import Autoscaler, desired_replicas
from tests.system.manifests import NAMESPACE, adapter_query, autoscaler, keda_trigger, request_rate_metric
from tests.system.paced import Paced
from tests.system.prometheus import SCRAPE_SECONDS, Pod, Prometheus, scraped_pods

pytestmark = pytest.mark.system

FASTER = 15 / SCRAPE_SECONDS
WINDOW = 60 / FASTER
LESS = 100
TARGET = float(request_rate_metric()["target"]["averageValue"]) / LESS

Cluster = tuple[Prometheus, list[Pod]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two pods and a Prometheus."""
    folder = tmp_path_factory.mktemp("cluster")
    export_forest(folder / "model.onnx", "1.0.0")
    with scraped_pods(folder, folder / "model.onnx") as running:
        yield running


def faster(query: str) -> str:
    """Shorten the windows of a query, of which there must be one."""
    shortened, count = re.subn(r"\[1m\]", f"[{WINDOW:g}s]", query)
    assert count == 1, query
    return shortened


def per_pod(prometheus: Prometheus, at: float) -> dict[str, float]:
    """Return what the adapter would tell the autoscaler."""
    return {labels["pod"]: value for labels, value in prometheus.query(faster(adapter_query()), at)}


def settled(prometheus: Prometheus, since: float) -> float:
    """Return a time at which the queries see nothing from before another time, and all until it has been scraped."""
    moment = since + WINDOW + 2 * SCRAPE_SECONDS
    wait_until(lambda: time.time() > moment, "the window is past")
    prometheus.wait_for_scrape_after(moment)
    return moment


def test_pods_that_were_never_asked_count_as_nothing_and_so_do_probes_scrapes_and_pages(cluster: Cluster) -> None:
    prometheus, pods = cluster
    begin = time.time()
    while time.time() < begin + WINDOW:
        for pod in pods:
            for path in ("health", "health/live", "health/ready", "metrics", "", "model/info", "v2/health/ready", "x"):
                pod.server.request("GET", f"/{path}")
    prometheus.wait_for_scrape_after(time.time())
    now = time.time()
    assert prometheus.value(f"sum(rate(http_requests_total[{WINDOW:g}s]))", now) > 10
    assert per_pod(prometheus, now) == {"tickline-a": 0.0, "tickline-b": 0.0}
    assert prometheus.query(faster(keda_trigger()["query"]), now) == [({}, 0.0)]
    # Before anything was scraped there is no figure at all, which is not the same as no load.
    assert per_pod(prometheus, begin - 3600) == {}
    assert prometheus.query(faster(keda_trigger()["query"]), begin - 3600) == []


def test_a_ramp_gives_the_expected_replicas_and_a_killed_worker_no_spike(cluster: Cluster) -> None:
    prometheus, pods = cluster
    load = Paced([pod.server.port for pod in pods])
    scaler, now = Autoscaler(autoscaler()), 0
    with load.running():
        for rate, replicas in ((1.5 * TARGET, 2), (4.5 * TARGET, 5), (14.5 * TARGET, 10)):
            load.rate = rate
            for total in measured(prometheus, pods, load):
                for _ in range(4):  # the autoscaler looks every 15 s
                    now += 15
                    scaler.step(now, total, TARGET)
                assert scaler.replicas == replicas
        kill_a_worker(prometheus, pods[1], load)
    when_the_load_ends_replicas_go_one_by_one(scaler, now)


def measured(prometheus: Prometheus, pods: list[Pod], load: Paced) -> tuple[float, float]:
    """Return the rate that each of the two queries finds, which is the one that the client counted itself."""
    for _ in range(10):
        moment = settled(prometheus, time.time())
        answered = load.answered_between(moment - WINDOW, moment) / WINDOW
        if answered == pytest.approx(load.rate, rel=0.1):
            break  # on a busy machine the client may not keep its rate at once
    assert answered == pytest.approx(load.rate, rel=0.1)
    rates = per_pod(prometheus, moment)
    assert rates == {pod.name: pytest.approx(answered / 2, rel=0.15) for pod in pods}
    ((labels, keda),) = prometheus.query(faster(keda_trigger()["query"]), moment)
    assert not labels
    assert keda == pytest.approx(sum(rates.values()), rel=1e-6)
    return sum(rates.values()), keda


def kill_a_worker(prometheus: Prometheus, pod: Pod, load: Paced) -> None:
    """Kill one of two workers under load; what was counted stays, and nothing is counted twice."""
    load.rate = rate = 4.5 * TARGET
    before = settled(prometheus, time.time())
    counter = f'http_requests_total{{pod="{pod.name}",route="/predict"}}'
    assert prometheus.value(counter, before) > rate * WINDOW  # lost and counted anew, these would be a spike
    victim = int(pod.server.wait_for_line(r"Started server process \[(\d+)\]")[1])
    os.kill(victim, signal.SIGKILL)
    pod.server.wait_for_line(rf"Child process \[{victim}\] died")
    ready = f'workers_ready{{pod="{pod.name}"}}'
    wait_until(lambda: prometheus.value(ready) == 2, "the worker is replaced")
    after = settled(prometheus, time.time())
    data = prometheus.get(
        "query_range", query=faster(keda_trigger()["query"]), start=repr(before), end=repr(after), step="0.5"
    )
    values = [float(value) for _, value in data["result"][0]["values"]]
    assert max(values) < 1.2 * rate
    assert values[-1] == pytest.approx(load.answered_between(after - WINDOW, after) / WINDOW, rel=0.15)
    assert prometheus.value(f"resets({counter}[1m])", after) == 0


def when_the_load_ends_replicas_go_one_by_one(scaler: Autoscaler, now: int) -> None:
    """Let the load end at once: nothing happens for five minutes, then a pod goes each minute, down to two."""
    seen = [(moment, scaler.step(now + moment, 0.0, TARGET)) for moment in range(15, 1500, 15)]
    assert {replicas for moment, replicas in seen if moment < 300} == {10}
    falls = [
        (moment, replicas) for (moment, replicas), (_, last) in zip(seen[1:], seen, strict=False) if replicas < last
    ]
    assert [replicas for _, replicas in falls] == [9, 8, 7, 6, 5, 4, 3, 2]
    assert {later - earlier for (earlier, _), (later, _) in pairwise(falls)} == {60}
    assert seen[-1][1] == 2


@pytest.mark.parametrize(
    ("current", "total", "replicas"),
    [
        (2, 0.0, 0),
        (2, 200.0, 2),
        (2, 219.0, 2),  # within the tolerance of 10 %
        (2, 221.0, 3),
        (4, 361.0, 4),
        (4, 359.0, 4),  # beyond it, but four pods are still needed
        (4, 290.0, 3),
    ],
)
def test_the_formula_is_kubernetes_own(current: int, total: float, replicas: int) -> None:
    assert desired_replicas(current, total, 100.0) == replicas


def test_every_route_that_predicts_counts_and_no_other() -> None:
    patterns = re.findall(r'route=~"([^"]+)"', adapter_query() + keda_trigger()["query"])
    assert len(patterns) == 2
    assert len(set(patterns)) == 1
    assert [route for route in ROUTES if re.fullmatch(patterns[0], route)] == list(PREDICTING)
    assert f'namespace="{NAMESPACE}"' in keda_trigger()["query"]
