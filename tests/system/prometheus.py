"""A real Prometheus on loopback, and two servers that it takes for pods."""

import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from bench.control_group import ControlGroup, bounded
from tests.serving import DEADLINE_SECONDS, RunningServer, free_port, running_server, wait_until
from tests.system.manifests import DEPLOY, NAMESPACE

SCRAPE_SECONDS = 1

Sample = tuple[dict[str, str], float]


class Prometheus:
    """A Prometheus that runs.

    Parameters
    ----------
    port : int
        Where it listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API; fails where it says that the question is wrong."""
        url = f"{self._url}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """Return labels and value of every series of an expression, at a time."""
        data = self.get("query", query=expression, time=repr(time.time() if at is None else at))
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, expression: str, at: float | None = None) -> float:
        """Return the sum of an expression's series; nothing is a failure."""
        found = self.query(expression, at)
        assert found, f"no data: {expression}"
        return sum(value for _, value in found)

    def wait_for_scrape_after(self, moment: float) -> None:
        """Return when every target has been scraped after a moment."""

        def scraped() -> bool:
            return all(value > moment for _, value in self.query("timestamp(up)")) and bool(self.query("up"))

        wait_until(scraped, "all targets are scraped")


@contextmanager
def running_prometheus(folder: Path, configuration: dict[str, Any]) -> Iterator[Prometheus]:
    """Run Prometheus on a configuration."""
    program = shutil.which("prometheus")
    assert program, "Debian has it in the package prometheus"
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    port = free_port()
    options = (
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([program, *options], stdout=log, stderr=log, text=True) as process,
    ):
        try:
            prometheus = Prometheus(port)

            def ready() -> bool:
                try:
                    return bool(prometheus.query("vector(1)"))
                except (OSError, AssertionError):
                    return False

            wait_until(ready, "Prometheus is ready", process)
            yield prometheus
        finally:
            process.send_signal(signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Pod:
    """A server that Prometheus takes for a pod."""

    name: str
    server: RunningServer


@contextmanager
def scraped_pods(folder: Path, model: Path) -> Iterator[tuple[Prometheus, list[Pod]]]:
    """Run two pods and a Prometheus with our rules, which scrapes them under the labels that a ServiceMonitor gives.

    The first pod has one worker, and half a processor like a container of the Deployment; its control group is scraped
    under the names that kubelet gives. The second one has two workers, one of which can be killed.
    """
    with ExitStack() as stack:
        group = stack.enter_context(bounded(0.5, 512))
        pods = [
            Pod(f"tickline-{name}", stack.enter_context(running_server(model, wrap=wrap, WORKERS=workers)))
            for name, workers, wrap in (("a", "1", group.wrap([])), ("b", "2", []))
        ]
        jobs = [
            _job("tickline", pod.name, pod.server.port, service="tickline", endpoint="http", container="tickline")
            for pod in pods
        ]
        jobs.append(_job("kubelet", pods[0].name, stack.enter_context(_kubelet(group, pods[0].name))))
        configuration: dict[str, Any] = {
            "global": {f"{what}_interval": f"{SCRAPE_SECONDS}s" for what in ("scrape", "evaluation")},
            "scrape_configs": jobs,
            "rule_files": [str(DEPLOY / "prometheus" / "rules" / "*.yaml")],
        }
        configuration["global"]["scrape_timeout"] = f"{SCRAPE_SECONDS}s"
        prometheus = stack.enter_context(running_prometheus(folder, configuration))
        wait_until(lambda: len(prometheus.query("up == 1")) == len(jobs), "all targets are scraped")
        yield prometheus, pods


def _job(job: str, pod: str, port: int, **labels: str) -> dict[str, Any]:
    if job == "tickline":
        labels |= {"namespace": NAMESPACE, "pod": pod}
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job, **labels}}
    return {"job_name": f"{job}-{pod}", "honor_labels": job == "kubelet", "static_configs": [target]}


def _working_set(folder: Path) -> int:
    """Return what kubelet calls so: the memory of a control group without pages of files that nobody used lately."""
    unified = (folder / "memory.current").exists()
    used = int((folder / ("memory.current" if unified else "memory.usage_in_bytes")).read_text())
    fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return max(0, used - int(fields["inactive_file" if unified else "total_inactive_file"]))


@contextmanager
def _kubelet(group: ControlGroup, pod: str) -> Iterator[int]:
    """Serve what a control group counted, as kubelet does; yield the port."""
    labels = f'{{namespace="{NAMESPACE}",pod="{pod}",container="tickline"}}'

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            periods, stopped = group.throttling()
            text = (
                f"# TYPE container_cpu_cfs_periods_total counter\ncontainer_cpu_cfs_periods_total{labels} {periods}\n"
                "# TYPE container_cpu_cfs_throttled_periods_total counter\n"
                f"container_cpu_cfs_throttled_periods_total{labels} {stopped}\n"
                "# TYPE container_memory_working_set_bytes gauge\n"
                f"container_memory_working_set_bytes{labels} {_working_set(group.memory)}\n"
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
