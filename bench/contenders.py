"""Who is measured: this server in both lanes, and its peers, started as their own documentation advises for speed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import dialects
from bench.dialects import Dialect
from bench.peer_environments import ROOT, environment
from bench.servers import Contender, MeasureError, Request, find_program, free_port

NGINX = "nginx, static 11 bytes"

MOST_TOGETHER = 32
"""Requests that a peer with dynamic batching takes together: as many as the benchmark has connections at most."""

_APPS = Path(__file__).parent / "peers"
_UVICORN = "{bin}/uvicorn --loop uvloop --http httptools --workers 1 --no-access-log --log-level warning --port {port}"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that others offer, on the same model.

    Attributes
    ----------
    key : str
        Its place in the results.
    name : str
        What tables call it.
    command : str
        How it is started; `{bin}` stands for the programs of its environment, `{apps}` for `bench/peers`, `{folder}`
        for a folder of its own, `{port}` for its port.
    advice : str
        What of its start follows its documentation on speed.
    packages : tuple of str
        Whose versions are told.
    dialect : Dialect
        How it is asked.
    model : str
        What it loads: onnx, or joblib where scikit-learn itself predicts.
    environ : mapping
        Variables that it gets; the same names are filled in.
    prepare : callable
        Makes what it loads of the model's folder, in the folder of its own.
    pins : str
        Whose environment it has, `requirements/peer-PINS.in`; that of its key unless given.
    """

    key: str
    name: str
    command: str
    advice: str
    packages: tuple[str, ...]
    dialect: Dialect = field(default_factory=dialects.own)
    model: str = "onnx"
    environ: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, Path], None] | None = None
    pins: str = ""

    @property
    def environment(self) -> str:
        """The name of its environment."""
        return self.pins or self.key

    def contender(self, model: Path, folder: Path, ready: Request) -> Contender:
        """Return how it is started on the model in a folder; `folder` is empty and its own.

        Raises
        ------
        MeasureError
            Where its environment or what it loads cannot be made.
        """
        programs = environment(self.environment)
        if self.prepare:
            self.prepare(model, folder)

        def filled(text: str) -> str:
            known = {"{bin}": programs, "{apps}": _APPS, "{folder}": folder}
            for name, value in known.items():
                text = text.replace(name, str(value))
            return text

        environ = {
            "MODEL_FOLDER": str(model),
            "MODEL_KIND": self.model,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PEER_PORT": "{port}",
        }
        more = {name: filled(value) for name, value in self.environ.items()}
        return Contender(self.name, [filled(part) for part in self.command.split()], ready, environ | more)


def _keep_for_mlflow(model: Path, folder: Path) -> None:
    script = str(_APPS / "mlflow_model.py")
    command = [str(environment("mlflow") / "python"), script, str(model / "model.onnx"), str(folder / "model")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MeasureError(f"MLflow does not keep the model:\n{done.stderr[-2000:]}")


def _keep_for_mlserver(model: Path, folder: Path, batching: Mapping[str, float] | None = None) -> None:
    script = str(_APPS / "mlserver_model.py")
    command = [str(environment("mlserver") / "python"), script, str(model), str(folder / "model.joblib")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MeasureError(f"scikit-learn does not keep the model:\n{done.stderr[-2000:]}")
    model_settings = {
        "name": "tickline",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "extra": {"predict_fn": "predict_proba"}},
        **(batching or {}),
    }
    (folder / "model-settings.json").write_text(json.dumps(model_settings))
    server = {"debug": False, "gzip_enabled": False, "metrics_endpoint": None, "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps(server))


FASTAPI = Peer(
    "fastapi",
    "FastAPI + onnxruntime",
    _UVICORN + " bench.peers.fastapi_app:app",
    "uvloop, httptools, asynchronous handlers, declared response models",
    ("fastapi", "uvicorn", "onnxruntime"),
)
FASTAPI_SKLEARN = Peer(
    "fastapi-sklearn",
    "FastAPI + scikit-learn",
    _UVICORN + " bench.peers.fastapi_app:app",
    FASTAPI.advice,
    ("fastapi", "uvicorn", "scikit-learn"),
    model="joblib",
)
FLASK = Peer(
    "flask",
    "Flask + gunicorn + joblib",
    "{bin}/gunicorn --workers 1 --no-control-socket --log-level warning --bind 127.0.0.1:{port}"
    " bench.peers.flask_app:app",
    "gunicorn's own worker, as it advises where work takes the processor",
    ("flask", "gunicorn", "scikit-learn"),
    model="joblib",
)
GRANIAN = Peer(
    "granian",
    "Granian RSGI + onnxruntime",
    "{bin}/granian --interface rsgi --http 1 --no-ws --loop uvloop --runtime-mode st --workers 1 --no-log --port {port}"
    " bench.peers.granian_app:app",
    "its own interface RSGI, single-threaded runtime, no web sockets, uvloop, orjson",
    ("granian", "onnxruntime"),
)
LITSERVE = Peer(
    "litserve",
    "LitServe + onnxruntime",
    "{bin}/python {apps}/litserve_app.py",
    "its fast queue, one worker and one API server",
    ("litserve", "onnxruntime"),
    dialects.own("/predict"),
)
RAY = Peer(
    "ray",
    "Ray Serve + onnxruntime",
    "{bin}/python {apps}/ray_app.py",
    "its mode optimized for throughput, requests as they are, no access log, no dashboard",
    ("ray", "onnxruntime"),
    dialects.own("/predict"),
    environ={
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": "{folder}",
    },
)
MLSERVER = Peer(
    "mlserver",
    "MLServer, scikit-learn runtime",
    "{bin}/mlserver start {folder}",
    "no pool of processes, which one core cannot use; no debug mode, no metrics, no compression",
    ("mlserver", "scikit-learn"),
    dialects.inference("tickline"),
    model="joblib",
    environ={
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "0",
    },
    prepare=_keep_for_mlserver,
)


def _batching(peer: Peer, **changes: Any) -> Peer:
    """Return a peer that predicts together what arrives together, as its documentation advises under load."""
    return replace(
        peer,
        key=f"{peer.key}-batching",
        name=f"{peer.name}, batching",
        advice=f"{peer.advice}; up to {MOST_TOGETHER} requests together, which wait 5 ms for one another",
        pins=peer.environment,
        **changes,
    )


PEERS = (
    GRANIAN,
    FASTAPI,
    Peer(
        "robyn",
        "Robyn + onnxruntime",
        "{bin}/python {apps}/robyn_app.py --processes 1 --workers 1 --log-level ERROR --disable-openapi",
        "one process for the one core, asynchronous handler, no log, orjson",
        ("robyn", "onnxruntime"),
    ),
    Peer(
        "mlflow",
        "MLflow models serve + onnxruntime",
        "{bin}/mlflow models serve --model-uri {folder}/model --env-manager local --workers 1 --port {port}",
        "the ONNX flavour on one thread, in the environment as it is",
        ("mlflow", "onnxruntime"),
        dialects.invocations(),
        environ={"MLFLOW_DISABLE_TELEMETRY": "true"},
        prepare=_keep_for_mlflow,
    ),
    Peer(
        "kserve",
        "KServe + onnxruntime",
        "{bin}/python {apps}/kserve_app.py",
        "asynchronous predict, uvloop, no gRPC, no lines of log a request, binary tensors",
        ("kserve", "onnxruntime"),
        dialects.inference("tickline", binary=True),
    ),
    LITSERVE,
    _batching(LITSERVE, environ={"MAX_BATCH_SIZE": str(MOST_TOGETHER)}),
    Peer(
        "bentoml",
        "BentoML + onnxruntime",
        "{bin}/bentoml serve bench.peers.bentoml_app:Predictor --host 127.0.0.1 --port {port}",
        "one worker, asynchronous API, no access log, no metrics",
        ("bentoml", "onnxruntime"),
        environ={"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": "{folder}"},
    ),
    RAY,
    _batching(RAY, environ={**RAY.environ, "MAX_BATCH_SIZE": str(MOST_TOGETHER)}),
    FASTAPI_SKLEARN,
    FLASK,
    MLSERVER,
    _batching(
        MLSERVER,
        prepare=partial(_keep_for_mlserver, batching={"max_batch_size": MOST_TOGETHER, "max_batch_time": 0.005}),
    ),
)
"""All peers, in the order in which they are measured."""


def ours(model: Path, workers: int = 1, **settings: str) -> Contender:
    """Return this server with one worker or several, on a model file or the folder of one, and with other settings."""
    environ = {"HOST": "127.0.0.1", "PORT": "{port}", "WORKERS": str(workers), "MODEL_PATH": str(model), **settings}
    command = [sys.executable, "-m", "tickline", "serve"]
    name = ", ".join(["Tickline", *(f"{variable}={value}" for variable, value in settings.items())])
    return Contender(name, command, Request("/health/ready"), environ)


def nginx(folder: Path) -> Contender:
    """Return nginx with a reply of 11 bytes, which keeps its files in a folder."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text((_APPS / "nginx.conf").read_text().replace("PORT", str(port)))
    command = [find_program("nginx", "nginx"), "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    return Contender(NGINX, command, Request("/"), port=port)
